"""TLS of the listeners: certificates checked at start, one context for HTTP, the same files for gRPC."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from stallwatch.config.settings import Protected
from stallwatch.errors import ConfigError


@dataclass(frozen=True)
class Tls:
    """What a listener speaks TLS with: PEM texts, and the context made of them."""

    cert: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext

    def grpc_credentials(self) -> Any:
        """What a gRPC server needs; Any, because grpc brings no types."""
        return grpc.ssl_server_credentials(
            [(self.key, self.cert)], self.client_ca, require_client_auth=self.client_ca is not None
        )


def tls_of(section: str, config: Protected) -> Tls | None:
    """The TLS of a section (`collector`, `web`), or None where it has none.

    Raises ConfigError that names the setting and the file: missing, unreadable, no PEM, key of another certificate.
    """
    if config.tls_cert is None or config.tls_key is None:
        return None
    cert = _read(f"{section}.tls_cert", config.tls_cert)
    key = _read(f"{section}.tls_key", config.tls_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"{section}.tls_cert = {config.tls_cert} and {section}.tls_key = {config.tls_key} are not a PEM "
            f"certificate and its key: {_reason(error)}"
        ) from None
    client_ca = None
    if config.tls_client_ca is not None:
        client_ca = _read(f"{section}.tls_client_ca", config.tls_client_ca)
        try:
            context.load_verify_locations(config.tls_client_ca)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"{section}.tls_client_ca = {config.tls_client_ca} holds no PEM certificate: {_reason(error)}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return Tls(cert, key, client_ca, context)


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from None


def _no_password() -> str:
    """Without it OpenSSL would ask for the password of an encrypted key on the terminal."""
    raise ValueError("the key is encrypted with a password, which a service cannot be asked for")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
