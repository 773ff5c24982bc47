"""`[engines.prefect]`: Prefect, polled."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.fields import DurationS, OptionalFile


class PrefectConfig(PolledEngine):
    """Where Prefect's API is, and who asks."""

    url: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:4200/api"
    """PREFECT_API_URL. In Prefect Cloud: `https://api.prefect.cloud/api/accounts/<id>/workspaces/<id>`."""
    api_key: SecretStr | None = None
    """A key of Prefect Cloud."""
    api_key_file: OptionalFile = None
    auth_string: SecretStr | None = None
    """`user:password` of a server that asks for it (PREFECT_SERVER_API_AUTH_STRING)."""
    auth_string_file: OptionalFile = None
    ca_file: OptionalFile = None
    """Certificates that are trusted besides the usual ones."""
    timeout: Annotated[DurationS, Field(gt=0, le=600)] = 30.0
    """How long one request may take."""
    namespace: Annotated[str, Field(min_length=1)] = "default"

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = (self.api_key, self.api_key_file, self.auth_string, self.auth_string_file)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("set one of api_key, api_key_file, auth_string and auth_string_file")
        return self
