"""Log records that are step events: their event name is `stallwatch.step.started` and the like.

| of the log record | becomes |
|---|---|
| `event_name`, or the attribute `event.name` | `event`, without the prefix |
| attributes `stallwatch.<field>` | the step event's fields; text is taken for numbers and booleans |
| other attributes | the step event's `attributes` |
| `time_unix_nano`, else `observed_time_unix_nano` | `time`, unless `stallwatch.time` says it |
| `trace_id`, `span_id` | the same, unless `stallwatch.trace_id`, `stallwatch.span_id` say them |
| the resource's `stallwatch.namespace` | `namespace`, unless the record says it |
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.events import EVENTS_MAX, Parsed
from collector.limits import Accept, as_it_is
from collector.refusals import TooLarge
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent, event_from_dict

PREFIX: Final = "stallwatch."
EVENT_NAME: Final = "event.name"
"""Where SDKs put the name that came before the field `event_name` of OTLP 1.5."""
_NAMESPACE: Final = f"{PREFIX}namespace"
_DEPTH_MAX: Final = 32
_REASONS_MAX: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_TEXT: Final[dict[str, Any]] = {
    field.name: field.type
    for field in msgspec.structs.fields(StepEvent)
    if field.type in (int | None, float | None, bool)
}


@dataclass(slots=True)
class Records:
    """What a request held: step events, and `others` that are none of ours."""

    steps: Parsed = field(default_factory=Parsed)
    others: int = 0

    @property
    def count(self) -> int:
        """How many records there are."""
        return self.others + self.steps.accepted + self.steps.rejected

    @property
    def rejected(self) -> int:
        """How many records are not stored."""
        return self.others + self.steps.rejected

    def told(self) -> str:
        """Why records are not stored, in words; empty if all are."""
        reasons = []
        if self.others:
            records = (
                "1 log record is no step event"
                if self.others == 1
                else (f"{self.others} log records are no step events")
            )
            reasons.append(f"{records} (event name {PREFIX}*) and not stored")
        if self.steps.rejected:
            first = "; ".join(
                f"record {e.index}: {e.message}" for e in self.steps.errors[:_REASONS_MAX]
            )
            more = "; …" if self.steps.rejected > _REASONS_MAX else ""
            events = "step event is" if self.steps.rejected == 1 else "step events are"
            reasons.append(f"{self.steps.rejected} {events} refused: {first}{more}")
        return ". ".join(reasons)


def read_records(
    request: ExportLogsServiceRequest,
    received_at: datetime,
    namespace: str,
    accept: Accept = as_it_is,
) -> Records:
    """The step events among log records, checked by the rules of `/v1/events`. Records count from 0 in the request.

    `accept` has the last word on each (see `Limits.of`). Raises TooLarge if there are too many.
    """
    records = Records()
    steps = records.steps
    for index, (record, resource) in enumerate(_each(request)):
        name = _name(record)
        if not name.startswith(PREFIX):
            records.others += 1
            continue
        if steps.accepted + steps.rejected == EVENTS_MAX:
            raise TooLarge(f"more than {EVENTS_MAX} step events: split the request")
        try:
            fields = _fields(record, resource)
            fields["event"] = name.removeprefix(PREFIX)
            steps.events.append(accept(event_from_dict(fields, received_at, namespace)))
        except InputError as error:
            steps.reject(index, str(error))
        except OverflowError:
            steps.reject(index, "a number or a time is out of range")
        else:
            steps.accepted += 1
    return records


def _each(request: ExportLogsServiceRequest) -> Iterator[tuple[LogRecord, Iterable[KeyValue]]]:
    """Every record, with the attributes of its resource."""
    for group in request.resource_logs:
        resource = group.resource.attributes
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield record, resource


def _name(record: LogRecord) -> str:
    if record.event_name:
        return record.event_name
    for pair in record.attributes:
        if pair.key == EVENT_NAME:
            return pair.value.string_value
    return ""


def _fields(record: LogRecord, resource: Iterable[KeyValue]) -> dict[str, Any]:
    """A step event as a JSON decoder would give it. Of a key that is there twice the last value counts."""
    fields: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for pair in resource:
        if pair.key == _NAMESPACE:
            fields["namespace"] = _plain(pair.value)
    for pair in record.attributes:
        value = _plain(pair.value)
        if not pair.key.startswith(PREFIX):
            others[pair.key] = value
        elif value is not None:
            name = pair.key.removeprefix(PREFIX)
            fields[name] = _as_typed(name, value)
    others.pop(EVENT_NAME, None)
    said = fields.get("attributes", {})
    # What is no object is left for the check of the event to refuse.
    fields["attributes"] = {**others, **said} if isinstance(said, dict) else said
    if "time" not in fields and (
        nanoseconds := record.time_unix_nano or record.observed_time_unix_nano
    ):
        fields["time"] = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    # Ids of zeros are how some SDKs say that there is none.
    if any(record.trace_id):
        fields.setdefault("trace_id", record.trace_id.hex())
    if any(record.span_id):
        fields.setdefault("span_id", record.span_id.hex())
    return fields


def _as_typed(name: str, value: Any) -> Any:
    """Numbers and booleans out of text, for senders whose attributes are texts only."""
    if isinstance(value, str) and name in _NOT_TEXT:
        try:
            return msgspec.convert(value, _NOT_TEXT[name], strict=False)
        except msgspec.ValidationError:
            return value
    return value


def _plain(value: AnyValue, depth: int = 0) -> Any:
    """An attribute's value as a JSON decoder would give it; bytes in base64."""
    if depth > _DEPTH_MAX:
        raise InputError(f"an attribute is nested more than {_DEPTH_MAX} levels deep")
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "array_value":
            return [_plain(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value, depth + 1) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return None
