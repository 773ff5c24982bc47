"""Structured logs: one line per record, as JSON or as text, through the standard logging module.

Rooms write `log.info("batch written", extra={"rows": 512})`. Whatever a sender put into a message
or a field stays on the record's own line, and what looks like a secret is not written.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from stallwatch.errors import ConfigError
from stallwatch.model.durations import rfc3339

LogFormat = Literal["json", "text"]
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
REDACTED: Final = "[redacted]"

_OWN: Final = ("time", "level", "logger", "message", "exception", "stack")
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_SECRET_NAME: Final = re.compile(
    r"password|passwd|secret|token$|^token|authorization|cookie|credential|api_?key|routing_?key",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    # What stands between :// and @ of an address, and behind an authorization scheme.
    (re.compile(r"(?<=://)[^/\s@]+(?=@)"), REDACTED),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    # The path of a Slack webhook is its password.
    (re.compile(r"(hooks\.slack\.com/)\S+?(?=[\s\"']|$)"), rf"\1{REDACTED}"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]+"), REDACTED),
)
_PLAIN_VALUE: Final = re.compile(r"[^\s\"'=\x00-\x1f\x7f]+")


class JsonFormatter(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …}`, then the fields, then the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        values = _values(self, record)
        try:
            return json.dumps(values, default=repr, allow_nan=False)
        except (TypeError, ValueError):
            # A key that is no text, a number that is none, or a circle, deep in a field.
            return json.dumps(
                {key: v if isinstance(v, str | int) else repr(v) for key, v in values.items()}
            )


class TextFormatter(logging.Formatter):
    """`2026-01-05T12:00:00.000000Z INFO logger message key=value …`, for a person's eyes."""

    def format(self, record: logging.LogRecord) -> str:
        values = _values(self, record)
        time, level, logger, message = (values.pop(key) for key in _OWN[:4])
        fields = [f"{_one_line(key)}={_quoted(value)}" for key, value in values.items()]
        return " ".join([time, level.upper(), logger, _one_line(message), *fields])


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that `configure_logging` put there, to know it again."""


def configure_logging(level: str, stream: TextIO, format: LogFormat = "json") -> None:
    """Send every record from `level` up to `stream`; called again, it replaces what it set up.

    Python's warnings become records too. ConfigError for a level or format that is not known.
    """
    if level.lower() not in LEVELS:
        raise ConfigError(f"log level: must be one of {', '.join(LEVELS)}, not {level!r}")
    if format not in ("json", "text"):
        raise ConfigError(f"log format: must be json or text, not {format!r}")
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def _values(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    """The record as a dictionary. A field that has one of our own names gets an underscore behind it."""
    values: dict[str, Any] = {
        "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _without_secrets(record.getMessage()),
    }
    for key, value in record.__dict__.items():
        if key not in _STANDARD:
            values[f"{key}_" if key in _OWN else key] = _field(key, value)
    if record.exc_info:
        values["exception"] = _without_secrets(formatter.formatException(record.exc_info))
    if record.stack_info:
        values["stack"] = _without_secrets(formatter.formatStack(record.stack_info))
    return values


def _field(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {key: _field(str(key), inner) for key, inner in value.items()}
    return value


def _without_secrets(text: str) -> str:
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _one_line(text: str) -> str:
    """The text with its control characters escaped, so that no message can forge a second line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if _PLAIN_VALUE.fullmatch(text) and text.isprintable() else json.dumps(text)
