"""`[engines.temporal]`: Temporal, polled."""

from typing import Annotated

from pydantic import Field

from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.fields import Address, OptionalFile


class TemporalConfig(PolledEngine):
    """Where Temporal's frontend is, and who asks. A Temporal namespace is the Stallwatch namespace of the same name."""

    address: Address = "127.0.0.1:7233"
    namespaces: Annotated[tuple[str, ...], Field(min_length=1)] = ("default",)
    tls: bool = False
    """TLS with the system's authorities. Implied by any of the files below."""
    tls_cert_file: OptionalFile = None
    tls_key_file: OptionalFile = None
    """The client's certificate and its key (mTLS), both PEM."""
    tls_ca_file: OptionalFile = None
    """The authority of the server's certificate, PEM, if it is not one of the system's."""
    tls_server_name: str = ""
    """The name that the server's certificate has, if it is not the address's."""
    api_key_file: OptionalFile = None
    """A file that holds an API key and nothing else; it is read again at each look."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Requests under way at a time."""
    describe_max: Annotated[int, Field(ge=1)] = 10_000
    """Open executions that are described at one look: new and busy ones first, then those seen longest ago."""
    history_max: Annotated[int, Field(ge=1)] = 2_000
    """Histories of open executions that are fetched at one look."""
