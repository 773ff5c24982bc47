"""Temporal's JSON: how times, durations, enumerations and payloads are spelled, now and by older tools.

Today's form is the JSON of protobuf: `EVENT_TYPE_…`, 64-bit numbers as text, durations as `"1.500s"`. Older servers'
tools wrote `WorkflowExecutionStarted`, numbers as numbers, and durations as `{"seconds": 1}` or `…Seconds`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from stallwatch.errors import InputError

ERROR_CHARACTERS: Final = 2000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSET_BEFORE: Final = datetime(1971, 1, 1, tzinfo=UTC)
"""An unset time is written as the year 1 or as 1970."""
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FRACTION: Final = re.compile(r"(\.\d{6})\d+")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_SHOUTED: Final = re.compile(r"[A-Z0-9_]+")


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one where something else stands."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing where something else stands."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def name(value: object) -> str:
    """`{"name": "x"}` or `"x"`: how types and queues are given."""
    return text(mapping(value).get("name")) or text(value)


def number(value: object, field: str) -> int:
    """A number, or text of one; 0 where it is not said."""
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(f"{field}: expected a number")
    try:
        return int(value)
    except (ValueError, OverflowError):
        raise InputError(f"{field}: expected a number, not {value!r:.40}") from None


def word(value: object, prefix: str) -> str:
    """An enumeration's value without its prefix: `WorkflowExecutionStarted` is `WORKFLOW_EXECUTION_STARTED`."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    spelled = str(value)
    if not _SHOUTED.fullmatch(spelled):
        spelled = _WORD.sub("_", spelled).upper()
    return spelled.removeprefix(prefix)


def camel(shouted: str) -> str:
    """`START_TO_CLOSE` is `StartToClose`."""
    return "".join(part.capitalize() for part in shouted.split("_"))


def time_text(value: object, field: str) -> str:
    """A time as RFC 3339 in UTC, with microseconds; empty if it is not said. Nanoseconds since 1970 do too."""
    if value in (None, "", 0, "0"):
        return ""
    try:
        if isinstance(value, Mapping):
            nanoseconds = int(value.get("seconds", 0)) * 10**9 + int(value.get("nanos", 0))
            at = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
        elif isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            at = _EPOCH + timedelta(microseconds=int(value) // 1000)
        elif isinstance(value, str):
            at = datetime.fromisoformat(_FRACTION.sub(r"\1", value))
        else:
            raise InputError(f"{field}: expected a time")
        if at.tzinfo is None:
            raise InputError(f"{field}: needs an offset (Z or +01:00)")
        at = at.astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        raise InputError(f"{field}: expected a time, not {value!r:.60}") from None
    return "" if at < _UNSET_BEFORE else at.isoformat(timespec="microseconds")


def when(said: str) -> datetime:
    """The time of a fact."""
    return datetime.fromisoformat(said)


def later(said: str, length_s: float) -> datetime | None:
    """So long after a fact; None where that is beyond all calendars, which is as good as never."""
    try:
        return when(said) + timedelta(seconds=length_s)
    except OverflowError:
        return None


def seconds(attributes: Mapping[str, Any], field: str) -> float | None:
    """A duration in seconds; None where it is not set, which is written as nothing or as `"0s"`."""
    spelled = (field, f"{field}Seconds", f"{field}InSeconds")
    value = next((attributes[key] for key in spelled if attributes.get(key) is not None), None)
    try:
        if isinstance(value, str):
            length_s = float(value.removesuffix("s")) if value else 0.0
        elif isinstance(value, Mapping):
            length_s = float(value.get("seconds", 0)) + float(value.get("nanos", 0)) / 1e9
        else:
            length_s = float(value or 0)
    except (TypeError, ValueError):
        raise InputError(f"{field}: expected a duration, not {value!r:.40}") from None
    # Neither endless nor negative ones mean anything.
    return length_s if 0 < length_s < float("inf") else None


def payload_bytes(value: object) -> int | None:
    """How large payloads are: `{"payloads": [{"data": …}]}` in base64, or as a tool has decoded them."""
    if value is None:
        return None
    payloads = value.get("payloads") if isinstance(value, Mapping) else value
    if not isinstance(payloads, list):
        return len(msgspec.json.encode(value))
    return sum(
        len(one["data"]) * 3 // 4
        if isinstance(one, Mapping) and isinstance(one.get("data"), str)
        else len(msgspec.json.encode(one))
        for one in payloads
    )


def payload(value: object) -> Any:
    """What a JSON payload holds; None if it is none (it may be encrypted)."""
    data = mapping(value).get("data")
    if not isinstance(data, str):
        return value if isinstance(value, Mapping) else None
    try:
        return msgspec.json.decode(base64.b64decode(data))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def trace_context(header: object) -> tuple[str, str] | None:
    """Trace and span id in the header that the tracing interceptors of all SDKs write (`_tracer-data`)."""
    fields = mapping(mapping(header).get("fields") or header)
    carried = payload(fields.get("_tracer-data"))
    found = _TRACEPARENT.fullmatch(text(mapping(carried).get("traceparent")))
    return (found[1], found[2]) if found else None


def failure(value: object) -> dict[str, str]:
    """What failed, as `type` and `message`, and `timeout` where it was one. Wrappers tell of what they wrap."""
    at = mapping(value)
    if not at:
        return {}
    depth = 0
    while at.get("cause") and depth < 20 and _is_wrapper(at):
        at, depth = mapping(at["cause"]), depth + 1
    told = {"type": _failure_type(at), "message": text(at.get("message"))[:ERROR_CHARACTERS]}
    timeout = mapping(at.get("timeoutFailureInfo")).get("timeoutType")
    if timeout is not None:
        told["timeout"] = camel(word(timeout, "TIMEOUT_TYPE_"))
    return told


def _is_wrapper(at: Mapping[str, Any]) -> bool:
    return any(
        key in at
        for key in (
            "activityFailureInfo",
            "childWorkflowExecutionFailureInfo",
            "nexusOperationExecutionFailureInfo",
        )
    )


def _failure_type(at: Mapping[str, Any]) -> str:
    if "timeoutFailureInfo" in at:
        kind = camel(word(mapping(at["timeoutFailureInfo"]).get("timeoutType"), "TIMEOUT_TYPE_"))
        return f"{kind}Timeout"
    if "applicationFailureInfo" in at:
        return text(mapping(at["applicationFailureInfo"]).get("type")) or "ApplicationFailure"
    for key, kind in (
        ("canceledFailureInfo", "CanceledFailure"),
        ("terminatedFailureInfo", "TerminatedFailure"),
        ("serverFailureInfo", "ServerFailure"),
        ("resetWorkflowFailureInfo", "ResetWorkflowFailure"),
        ("nexusHandlerFailureInfo", "NexusHandlerFailure"),
    ):
        if key in at:
            return kind
    return "Failure"
