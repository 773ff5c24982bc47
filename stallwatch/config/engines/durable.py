"""`[engines.durable]`: Azure Durable Functions and the Durable Task SDKs, polled."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.fields import Address, DurationS, OptionalFile


def _bare_url(value: str) -> str:
    """Refused without being repeated: what stands in a URL may be a secret."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http:// or https:// and a host")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("write the URL alone; keys belong into their own setting")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_bare_url)]
SOURCES = ("url", "grpc", "connection_string", "connection_string_file", "account_url")


class DurableConfig(PolledEngine):
    """Where the orchestrations are (a Functions app, a task hub over gRPC, the tables of one), and who asks."""

    namespace: Annotated[str, Field(min_length=1)] = "default"
    """The namespace of what is found."""
    task_hub: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = ""
    """The task hub. With `url`, empty is the app's own; the tables and the Durable Task Scheduler need it."""
    url: Url | None = None
    """The Functions app: its HTTP management API is asked."""
    key: SecretStr | None = None
    """The system key `durabletask_extension` of the app. Never shown."""
    key_file: OptionalFile = None
    """A file whose first line is the key."""
    connection: str = ""
    """With `url`: the app setting that names the storage, if it is not the app's own."""
    grpc: Address | None = None
    """The Durable Task Scheduler, its emulator, or a sidecar."""
    grpc_tls: bool = True
    """Whether gRPC is spoken over TLS. Tokens are never sent without."""
    connection_string: SecretStr | None = None
    """The storage account of the task hub, with a key or a shared access signature. Never shown."""
    connection_string_file: OptionalFile = None
    """A file whose first line is the connection string."""
    account_url: Url | None = None
    """The table service of the storage account, `https://….table.core.windows.net`, entered with `credential`."""
    credential: Literal["default", "none"] = "default"
    """How `grpc` and `account_url` are entered: `default`, what azure-identity finds (a managed identity, a login, the
    environment); or `none`, for emulators and sidecars."""
    max_open: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """How many open instances are followed."""
    max_histories: Annotated[int, Field(ge=2, le=100_000)] = 1_000
    """How many histories are read at one look; the others have their turn at the next."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """How many histories are read at a time."""
    timeout: Annotated[DurationS, Field(gt=0, le=600)] = 30.0
    """How long one answer may take."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [name for name in SOURCES if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"set exactly one of {', '.join(SOURCES)}")
        if self.key is not None and self.key_file is not None:
            raise ValueError("set key or key_file, not both")
        if self.url is None and (self.key is not None or self.key_file or self.connection):
            raise ValueError("key, key_file and connection go with url")
        if not self.task_hub and named[0] not in ("url", "grpc"):
            raise ValueError("task_hub: is needed to find the tables")
        return self
