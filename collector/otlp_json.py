"""OTLP in JSON to protobuf, as the OTLP specification has it and not as protobuf's JSON mapping does.

Trace and span ids are hex (protobuf's own JSON parser would take them for base64), 64-bit numbers are texts or
numbers, enum values are numbers (names are taken too), bytes are base64, unknown fields are left out.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from collector import otlp_shapes as shapes
from collector.json_text import decode
from stallwatch.errors import InputError

_DEPTH_MAX: Final = 32
"""Of an attribute's value; protobuf parsers stop at 100 levels of messages, and a level here is two of them."""
_UINT64_MAX: Final = 2**64 - 1
_INT64: Final = (-(2**63), 2**63 - 1)
_UINT32: Final = (0, 2**32 - 1)
_DIGITS_MAX: Final = 20


def trace_request(body: bytes) -> ExportTraceServiceRequest:
    """Raises InputError with the place and the reason."""
    request = decode(body, shapes.TraceRequest)
    return ExportTraceServiceRequest(
        resource_spans=[_resource_spans(r) for r in request.resource_spans or ()]
    )


def _resource_spans(group: shapes.ResourceSpans) -> trace_pb2.ResourceSpans:
    resource = group.resource
    return trace_pb2.ResourceSpans(
        resource=None
        if resource is None
        else resource_pb2.Resource(
            attributes=_attributes(resource.attributes),
            dropped_attributes_count=_uint32(resource.dropped_attributes_count),
        ),
        scope_spans=[_scope_spans(s) for s in group.scope_spans or ()],
        schema_url=group.schema_url or "",
    )


def _scope_spans(group: shapes.ScopeSpans) -> trace_pb2.ScopeSpans:
    scope = group.scope
    return trace_pb2.ScopeSpans(
        scope=None
        if scope is None
        else common_pb2.InstrumentationScope(
            name=scope.name or "",
            version=scope.version or "",
            attributes=_attributes(scope.attributes),
            dropped_attributes_count=_uint32(scope.dropped_attributes_count),
        ),
        spans=[_span(s) for s in group.spans or ()],
        schema_url=group.schema_url or "",
    )


def _span(span: shapes.Span) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=_hex("traceId", span.trace_id),
        span_id=_hex("spanId", span.span_id),
        trace_state=span.trace_state or "",
        parent_span_id=_hex("parentSpanId", span.parent_span_id),
        flags=_uint32(span.flags),
        name=span.name or "",
        kind=_enum("kind", span.kind, trace_pb2.Span.SpanKind.items()),  # type: ignore[arg-type]
        start_time_unix_nano=_nanoseconds("startTimeUnixNano", span.start_time_unix_nano),
        end_time_unix_nano=_nanoseconds("endTimeUnixNano", span.end_time_unix_nano),
        attributes=_attributes(span.attributes),
        dropped_attributes_count=_uint32(span.dropped_attributes_count),
        events=[_event(e) for e in span.events or ()],
        dropped_events_count=_uint32(span.dropped_events_count),
        links=[_link(item) for item in span.links or ()],
        dropped_links_count=_uint32(span.dropped_links_count),
        status=None if span.status is None else _status(span.status),
    )


def _event(event: shapes.Event) -> trace_pb2.Span.Event:
    return trace_pb2.Span.Event(
        time_unix_nano=_nanoseconds("timeUnixNano", event.time_unix_nano),
        name=event.name or "",
        attributes=_attributes(event.attributes),
        dropped_attributes_count=_uint32(event.dropped_attributes_count),
    )


def _link(link: shapes.Link) -> trace_pb2.Span.Link:
    return trace_pb2.Span.Link(
        trace_id=_hex("traceId", link.trace_id),
        span_id=_hex("spanId", link.span_id),
        trace_state=link.trace_state or "",
        attributes=_attributes(link.attributes),
        dropped_attributes_count=_uint32(link.dropped_attributes_count),
        flags=_uint32(link.flags),
    )


def _status(status: shapes.Status) -> trace_pb2.Status:
    code = _enum("status.code", status.code, trace_pb2.Status.StatusCode.items())
    return trace_pb2.Status(message=status.message or "", code=code)  # type: ignore[arg-type]


def _attributes(pairs: list[shapes.KeyValue] | None, depth: int = 0) -> list[common_pb2.KeyValue]:
    return [
        common_pb2.KeyValue(
            key=pair.key or "", value=None if pair.value is None else _value(pair.value, depth)
        )
        for pair in pairs or ()
    ]


def _value(value: shapes.Value, depth: int) -> common_pb2.AnyValue:
    if depth > _DEPTH_MAX:
        raise InputError(f"an attribute is nested more than {_DEPTH_MAX} levels deep")
    if value.string_value is not None:
        return common_pb2.AnyValue(string_value=value.string_value)
    if value.bool_value is not None:
        return common_pb2.AnyValue(bool_value=value.bool_value)
    if value.int_value is not None:
        return common_pb2.AnyValue(int_value=_integer("intValue", value.int_value, *_INT64))
    if value.double_value is not None:
        return common_pb2.AnyValue(double_value=_double(value.double_value))
    if value.array_value is not None:
        items = [_value(item, depth + 1) for item in value.array_value.values or ()]
        return common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=items))
    if value.kvlist_value is not None:
        pairs = _attributes(value.kvlist_value.values, depth + 1)
        return common_pb2.AnyValue(kvlist_value=common_pb2.KeyValueList(values=pairs))
    if value.bytes_value is not None:
        return common_pb2.AnyValue(bytes_value=_base64(value.bytes_value))
    return common_pb2.AnyValue()


def _hex(field: str, text: str | None) -> bytes:
    try:
        return binascii.unhexlify(text or "")
    except ValueError:
        raise InputError(f"{field}: {(text or '')[:40]!r} is not hex") from None


def _base64(text: str) -> bytes:
    """Standard or URL alphabet, padded or not, as protobuf's JSON mapping allows."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise InputError(f"bytesValue: {text[:40]!r} is not base64") from None


def _nanoseconds(field: str, number: shapes.Number) -> int:
    return _integer(field, number, 0, _UINT64_MAX)


def _uint32(number: shapes.Number) -> int:
    return _integer("a count", number, *_UINT32)


def _integer(field: str, number: shapes.Number, low: int, high: int) -> int:
    if number is None:
        return 0
    if isinstance(number, str):
        digits = number.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
            raise InputError(f"{field}: {number[:40]!r} is not an integer")
        number = int(number)
    elif isinstance(number, float):
        if not number.is_integer():
            raise InputError(f"{field}: {number} is not an integer")
        number = int(number)
    if not low <= number <= high:
        raise InputError(f"{field}: is beyond its {64 if high > 2**32 else 32} bits")
    return number


def _double(number: int | float | str) -> float:
    """A number, or one of protobuf's texts `NaN`, `Infinity`, `-Infinity`, or a number as text."""
    try:
        return float(number)
    except (ValueError, OverflowError):
        raise InputError(f"doubleValue: {str(number)[:40]!r} is not a number") from None


def _enum(field: str, value: int | str | None, names: Sequence[tuple[str, int]]) -> int:
    if isinstance(value, str):
        for name, number in names:
            if name == value:
                return number
        raise InputError(f"{field}: {value[:40]!r} is not known")
    if value is not None and not -(2**31) <= value < 2**31:
        raise InputError(f"{field}: is beyond its 32 bits")
    return value or 0


def log_records(body: bytes) -> int:
    """How many log records are in an ExportLogsServiceRequest; raises InputError."""
    groups = decode(body, shapes.LogsRequest).resource_logs or ()
    return sum(len(s.log_records or ()) for r in groups for s in r.scope_logs or ())


def data_points(body: bytes) -> int:
    """How many data points are in an ExportMetricsServiceRequest; raises InputError."""
    groups = decode(body, shapes.MetricsRequest).resource_metrics or ()
    metrics = (m for r in groups for s in r.scope_metrics or () for m in s.metrics or ())
    kinds = (
        p
        for m in metrics
        for p in (m.gauge, m.sum, m.histogram, m.exponential_histogram, m.summary)
    )
    return sum(len(points.data_points or ()) for points in kinds if points is not None)
