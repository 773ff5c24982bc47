"""The kinds of values that sections of `stallwatch.toml` have."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, parse_duration_s


def _duration(value: object) -> float:
    try:
        return parse_duration_s(value)
    except InputError as error:
        raise ValueError(str(error)) from None


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"write host:port, not {value!r}")
    return value


def _store_url(value: str) -> str:
    """Its form, so that the message names the line; `stallwatch.store` takes it apart."""
    parts = urlsplit(value)
    if parts.scheme == "chdb":
        if parts.netloc or not parts.path:
            raise ValueError("write chdb:///path (three slashes)")
    elif parts.scheme not in ("clickhouse", "clickhouses"):
        raise ValueError(
            f"begins with chdb://, clickhouse:// or clickhouses://, not {parts.scheme!r}"
        )
    elif not parts.hostname:
        raise ValueError(f"{parts.scheme}:// needs a host")
    else:
        # Reading the port is what looks at it. The value is not repeated: it may hold a password.
        _ = parts.port
    return value


def web_address(value: str) -> str:
    """The address, if it is one of the web; ValueError does not repeat it: it may be a secret."""
    try:
        parts = urlsplit(value)
        # Reading the port is what looks at it.
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError("must be an address that begins with http:// or https:// and names a host")
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("must be an address without blanks, line breaks and control characters")
    return value


def credential(value: str) -> str:
    """The token or key, if it can be sent in a header; ValueError does not repeat it: it is a secret."""
    if not value.strip():
        raise ValueError("is empty")
    if not value.isascii() or not value.isprintable():
        raise ValueError("must have no line breaks, control characters or characters beyond ASCII")
    return value


DurationS = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str)
]
Address = Annotated[str, AfterValidator(_address)]
WebUrl = Annotated[str, AfterValidator(web_address)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A file, or none where the text is empty."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
