"""Where log records go: arguments first, then the variables of the OpenTelemetry specification.

"OpenTelemetry Protocol Exporter": the variable of the signal wins over the general one; the general endpoint is a base
to which `/v1/logs` is added, the signal's is taken as it is; headers are `name=value` pairs with commas between them,
values percent-encoded. A user and password in the address are sent as a header, and are no part of the URL, which is
logged.
"""

import base64
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

PATH: Final = "/v1/logs"
DEFAULT: Final = "http://127.0.0.1:4318"
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
"""One line of what Python's HTTP client can send: Latin-1."""
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
    """Raises ValueError for an endpoint that is not http or https and for headers that cannot be sent, OSError for a
    certificate that cannot be read.
    """
    parts = _parts(_url(endpoint, environment))
    said = _first(environment, "HEADERS")
    told = _checked(headers) if headers is not None else parse_headers(said)
    if parts.username and not any(name.lower() == "authorization" for name in told):
        told["authorization"] = _basic(parts)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Destination(url, told, _tls(environment) if parts.scheme == "https" else None)


def parse_headers(text: str) -> dict[str, str]:
    """`Authorization=Bearer%20abc,x-team=shop`; pairs that are none are left out, and said so without their value."""
    headers = {}
    for pair in filter(None, (one.strip() for one in text.split(","))):
        name, separator, value = pair.partition("=")
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        if not separator or not _can_be_sent(name, value):
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


def _parts(url: str) -> SplitResult:
    """What the URL consists of. Raises ValueError, which names it without user and password."""
    try:
        parts = urlsplit(url)
        # A port that is no number is found when it is asked for.
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http:
        shown = url.rpartition("@")[2]
        raise ValueError(f"endpoint: {shown!r} is not an http or https address")
    return parts


def _basic(parts: SplitResult) -> str:
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """A copy. Raises ValueError, without the value, and without a name that may be a whole header with its value."""
    for name, value in headers.items():
        if not _can_be_sent(name, ""):
            raise ValueError("headers: a name is not one that HTTP allows")
        if not _can_be_sent(name, value):
            raise ValueError(f"headers: the value of {name!r} is not one line of Latin-1 text")
    return dict(headers)


def _can_be_sent(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and _HEADER_NAME.fullmatch(name) is not None
        and _HEADER_VALUE.fullmatch(value) is not None
    )


def _first(environment: Mapping[str, str], name: str) -> str:
    own = environment.get(f"OTEL_EXPORTER_OTLP_LOGS_{name}", "").strip()
    return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=_first(environment, "CERTIFICATE") or None)
    if certificate := _first(environment, "CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, _first(environment, "CLIENT_KEY") or None)
    return context
