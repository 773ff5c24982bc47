"""`[engines.dbos]`: DBOS, polled."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.fields import DurationS, OptionalFile


class DbosConfig(PolledEngine):
    """Where the system database of DBOS is, and how it is read."""

    url: SecretStr | None = None
    """`postgresql://…`, or `sqlite:////path/of/the.sqlite`. It may hold a password and is never shown."""
    url_file: OptionalFile = None
    """A file whose first line is the URL."""
    database_schema: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")] = "dbos"
    """PostgreSQL only: where DBOS keeps its tables."""
    statement_timeout: Annotated[DurationS, Field(gt=0, le=600)] = 10.0
    """PostgreSQL only: what takes longer is given up and tried again."""
    namespace: str = "default"

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if self.url is not None and self.url_file is not None:
            raise ValueError("set url or url_file, not both")
        if self.url is None and self.url_file is None:
            raise ValueError("set url or url_file")
        return self
