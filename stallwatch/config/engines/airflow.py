"""`[engines.airflow]`: Apache Airflow, polled."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.fields import DurationS, OptionalFile


class AirflowConfig(PolledEngine):
    """Where Airflow's API server is, and who asks."""

    url: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:8080"
    """Where the API server is, without `/api/v2`."""
    username: str = ""
    """Who asks for a token at `/auth/token`, with a password."""
    password: SecretStr | None = None
    password_file: OptionalFile = None
    token: SecretStr | None = None
    """A token that is used as it is, of a managed Airflow for instance."""
    token_file: OptionalFile = None
    """A file with that token; it is read again whenever Airflow does not take the old one any more."""
    dags: tuple[str, ...] = ()
    """The ids of the DAGs that are looked at; none: all that may be read."""
    ca_file: OptionalFile = None
    """Certificates that are trusted besides the usual ones."""
    timeout: Annotated[DurationS, Field(gt=0, le=600)] = 30.0
    """How long one request may take."""
    namespace: Annotated[str, Field(min_length=1)] = "default"

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        tokens = (self.token, self.token_file)
        passwords = (self.password, self.password_file)
        given = [sum(one is not None for one in ways) for ways in (tokens, passwords)]
        if sum(given) > 1:
            raise ValueError("set one of token, token_file, password and password_file")
        if bool(self.username) != bool(given[1]):
            raise ValueError("username goes with password or password_file, and they need it")
        return self
