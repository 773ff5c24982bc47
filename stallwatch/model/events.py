"""The step event: the lifecycle fact that every road leads to (CONTRACT "Step event")."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from stallwatch.errors import InputError
from stallwatch.model.plain_text import json_type

_WORKFLOW_KINDS: Final = (
    "started", "completed", "failed", "timed_out", "cancelled", "terminated", "continued",
    "suspended", "resumed",
)  # fmt: skip
_STEP_KINDS: Final = (
    "scheduled", "started", "heartbeat", "waiting", "retrying", "completed", "failed", "timed_out",
    "cancelled", "skipped",
)  # fmt: skip
WORKFLOW_EVENTS: Final = frozenset(f"workflow.{kind}" for kind in _WORKFLOW_KINDS)
STEP_EVENTS: Final = frozenset(f"step.{kind}" for kind in _STEP_KINDS)
WAITS: Final = frozenset({"timer", "signal", "callback", "human", "child"})
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE_MAX: Final = timedelta(hours=24)


class StepEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lifecycle fact. Empty text and None mean "not said"; times are aware UTC; `_s` is seconds."""

    event: str
    time: datetime
    workflow: str
    execution_id: str
    step: str = ""
    engine: str = "custom"
    namespace: str = ""
    run_id: str = ""
    workflow_version: str = ""
    parent_execution_id: str = ""
    step_run_id: str = ""
    attempt: int | None = None
    branch: str = ""
    event_id: str = ""
    sequence: int | None = None
    queue: str = ""
    worker: str = ""
    downstream: str = ""
    region: str = ""
    idempotency_key: str = ""
    timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    schedule_to_start_timeout_s: float | None = None
    schedule_to_close_timeout_s: float | None = None
    max_attempts: int | None = None
    backoff_s: float | None = None
    backoff_rate: float | None = None
    backoff_max_s: float | None = None
    waiting_on: str = ""
    due: datetime | None = None
    error_type: str = ""
    error_message: str = ""
    payload_bytes: int | None = None
    compensates: str = ""
    is_replay: bool = False
    trace_id: str = ""
    span_id: str = ""
    attributes: dict[str, Any] = {}


FIELDS: Final = frozenset(StepEvent.__struct_fields__)
_REQUIRED: Final = ("event", "time", "workflow", "execution_id")
_NON_NEGATIVE: Final = (
    "timeout_s", "heartbeat_timeout_s", "schedule_to_start_timeout_s",
    "schedule_to_close_timeout_s", "backoff_s", "backoff_rate", "backoff_max_s", "payload_bytes",
    "sequence",
)  # fmt: skip
_INT64_MAX: Final = 2**63 - 1
_HEX_LENGTHS: Final = {"trace_id": 32, "span_id": 16}


def event_from_dict(data: object, received_at: datetime, namespace: str = "default") -> StepEvent:
    """Check one decoded event and complete it: namespace, event id, unknown fields to `attributes`.

    `data` is what a JSON or YAML decoder gave. Raises InputError that names the field.
    """
    if not isinstance(data, dict):
        raise InputError(f"an event is an object, not {json_type(data)}")
    for field in _REQUIRED:
        if data.get(field) in (None, ""):
            raise InputError(f"{field}: is required")
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in data.items():
        if key in FIELDS:
            if value is not None:
                known[key] = value
        else:
            extra[str(key)] = value
    if extra:
        attributes = known.get("attributes", {})
        if not isinstance(attributes, dict):
            raise InputError("attributes: must be an object")
        known["attributes"] = {**extra, **attributes}
    try:
        event = msgspec.convert(known, StepEvent, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(_field_first(str(error))) from None
    check_event(event, received_at)
    changes: dict[str, Any] = {"time": event.time.astimezone(UTC)}
    # As spans have them, so that the two can be joined.
    for name in _HEX_LENGTHS:
        changes[name] = getattr(event, name).lower()
    if event.due is not None:
        changes["due"] = event.due.astimezone(UTC)
    if not event.namespace:
        changes["namespace"] = namespace
    if not event.event_id:
        changes["event_id"] = content_id(event)
    return msgspec.structs.replace(event, **changes)


def content_id(event: StepEvent) -> str:
    """The default event id: a hash of all that the sender said, so an identical event is the same event."""
    encoded = msgspec.json.encode(event, order="sorted")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def check_event(event: StepEvent, received_at: datetime) -> None:
    """Raises InputError, naming the field, for what no step event may say."""
    if event.event not in WORKFLOW_EVENTS and event.event not in STEP_EVENTS:
        raise InputError(f"event: {event.event!r} is not a known event")
    if event.event in STEP_EVENTS and not event.step:
        raise InputError("step: is required for step.* events")
    if event.time.tzinfo is None:
        raise InputError("time: needs an offset (Z or +01:00)")
    if event.time < EARLIEST:
        raise InputError(f"time: {event.time.isoformat()} is before 2000")
    if event.time > received_at + FUTURE_MAX:
        raise InputError(f"time: {event.time.isoformat()} is more than 24 h ahead")
    if event.due is not None and event.due.tzinfo is None:
        raise InputError("due: needs an offset (Z or +01:00)")
    if event.waiting_on and event.waiting_on not in WAITS:
        raise InputError(f"waiting_on: must be one of {', '.join(sorted(WAITS))}")
    for field in ("attempt", "max_attempts"):
        value = getattr(event, field)
        if value is not None and not 0 <= value < 2**31:
            raise InputError(f"{field}: must be between 0 and 2147483647")
    if event.attempt == 0:
        raise InputError("attempt: is counted from 1")
    for field in _NON_NEGATIVE:
        value = getattr(event, field)
        if value is not None and not 0 <= value <= _INT64_MAX:
            raise InputError(f"{field}: must not be negative or beyond 64 bits")
    for field, length in _HEX_LENGTHS.items():
        text = getattr(event, field)
        if text and (len(text) != length or not _is_hex(text)):
            raise InputError(f"{field}: must be {length} hex digits")


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def _field_first(message: str) -> str:
    """Turn msgspec's "Expected `str`, got `int` - at `$.step`" into "step: Expected …"."""
    reason, separator, path = message.partition(" - at `$.")
    return f"{path.rstrip('`')}: {reason}" if separator else message
