"""Where log records go: arguments first, then the variables of the OpenTelemetry specification.

"OpenTelemetry Protocol Exporter": the variable of the signal wins over the general one; the general endpoint is a base
to which `/v1/logs` is added, the signal's is taken as it is; headers are `name=value` pairs with commas between them,
values percent-encoded.
"""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

PATH: Final = "/v1/logs"
DEFAULT: Final = "http://127.0.0.1:4318"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Destination:
    """An URL, what is sent with every request, and how the server is believed. Headers may be secret: never printed."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)


def destination(
    endpoint: str | None, headers: Mapping[str, str] | None, environment: Mapping[str, str]
) -> Destination:
    """Raises ValueError for an endpoint that is not http or https, OSError for a certificate that cannot be read."""
    url = _url(endpoint, environment)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"endpoint: {url!r} is not an http or https address")
    said = _first(environment, "HEADERS")
    told = dict(headers) if headers is not None else parse_headers(said)
    return Destination(url, told, _tls(environment) if parts.scheme == "https" else None)


def parse_headers(text: str) -> dict[str, str]:
    """`Authorization=Bearer%20abc,x-team=shop`; pairs that are none are left out, and said so without their value."""
    headers = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        name, separator, value = pair.partition("=")
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        if not separator or not name or not (name + value).isprintable():
            _logger.warning("a pair in OTEL_EXPORTER_OTLP_HEADERS is not name=value: left out")
            continue
        headers[name] = value
    return headers


def _url(endpoint: str | None, environment: Mapping[str, str]) -> str:
    own = environment.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "").strip()
    if endpoint is None and own:
        return own
    base = endpoint or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or DEFAULT
    base = base.rstrip("/")
    return base if base.endswith(PATH) else base + PATH


def _first(environment: Mapping[str, str], name: str) -> str:
    own = environment.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}", "").strip()
    return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=_first(environment, "CERTIFICATE") or None)
    if certificate := _first(environment, "CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, _first(environment, "CLIENT_KEY") or None)
    return context
