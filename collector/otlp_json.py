"""OTLP in JSON to protobuf, as the OTLP specification has it and not as protobuf's JSON mapping does.

Trace and span ids are hex (protobuf's own JSON parser would take them for base64), 64-bit numbers are texts or
numbers, enum values are numbers (names are taken too), bytes are base64, unknown fields are left out.

What is written is what protobuf's own writer would write: opentelemetry/proto/trace/v1/trace.proto and its neighbours
have the numbers of the fields.
"""

from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector import otlp_shapes as shapes
from collector import wire
from collector.json_text import decode
from collector.otlp_values import (
    any_value,
    attributes,
    count,
    enum_number,
    flags,
    hex_id,
    nanoseconds,
)
from stallwatch.errors import InputError

_KINDS: Final = dict(Span.SpanKind.items())
_CODES: Final = dict(Status.StatusCode.items())
_SEVERITIES: Final = dict(SeverityNumber.items())


def trace_bytes(body: bytes) -> bytes:
    """The ExportTraceServiceRequest that `body` says, in protobuf. Raises InputError with the place and the reason."""
    request = decode(body, shapes.TraceRequest)
    return wire.messages(1, map(_resource_spans, request.resource_spans or ()))


def trace_request(body: bytes) -> ExportTraceServiceRequest:
    """Raises InputError with the place and the reason."""
    return parsed_traces(trace_bytes(body))


def parsed_traces(written: bytes) -> ExportTraceServiceRequest:
    """What `trace_bytes` wrote. Raises InputError if it is nested more deeply than protobuf's parsers go."""
    try:
        return ExportTraceServiceRequest.FromString(written)
    except DecodeError as error:
        raise InputError(f"not an ExportTraceServiceRequest: {error}") from None


def logs_request(body: bytes) -> ExportLogsServiceRequest:
    """Raises InputError with the place and the reason."""
    request = decode(body, shapes.LogsRequest)
    written = wire.messages(1, map(_resource_logs, request.resource_logs or ()))
    try:
        return ExportLogsServiceRequest.FromString(written)
    except DecodeError as error:
        raise InputError(f"not an ExportLogsServiceRequest: {error}") from None


def _resource_spans(group: shapes.ResourceSpans) -> bytes:
    return (
        _resource(group.resource)
        + wire.messages(2, map(_scope_spans, group.scope_spans or ()))
        + wire.text(3, group.schema_url)
    )


def _scope_spans(group: shapes.ScopeSpans) -> bytes:
    return (
        _scope(group.scope)
        + wire.messages(2, map(_span, group.spans or ()))
        + wire.text(3, group.schema_url)
    )


def _resource_logs(group: shapes.ResourceLogs) -> bytes:
    return (
        _resource(group.resource)
        + wire.messages(2, map(_scope_logs, group.scope_logs or ()))
        + wire.text(3, group.schema_url)
    )


def _scope_logs(group: shapes.ScopeLogs) -> bytes:
    return (
        _scope(group.scope)
        + wire.messages(2, map(_log_record, group.log_records or ()))
        + wire.text(3, group.schema_url)
    )


def _resource(resource: shapes.Resource | None) -> bytes:
    if resource is None:
        return b""
    return wire.message(
        1,
        attributes(1, resource.attributes)
        + count(2, resource.dropped_attributes_count)
        + wire.messages(3, map(_entity, resource.entity_refs or ())),
    )


def _entity(entity: shapes.Entity) -> bytes:
    return (
        wire.text(1, entity.schema_url)
        + wire.text(2, entity.type)
        + wire.messages(3, map(str.encode, entity.id_keys or ()))
        + wire.messages(4, map(str.encode, entity.description_keys or ()))
    )


def _scope(scope: shapes.Scope | None) -> bytes:
    if scope is None:
        return b""
    return wire.message(
        1,
        wire.text(1, scope.name)
        + wire.text(2, scope.version)
        + attributes(3, scope.attributes)
        + count(4, scope.dropped_attributes_count),
    )


def _log_record(record: shapes.LogRecord) -> bytes:
    severity = enum_number("severityNumber", record.severity_number, _SEVERITIES)
    return (
        nanoseconds(1, "timeUnixNano", record.time_unix_nano)
        + wire.varint(2, severity)
        + wire.text(3, record.severity_text)
        + (b"" if record.body is None else wire.message(5, any_value(record.body)))
        + attributes(6, record.attributes)
        + count(7, record.dropped_attributes_count)
        + flags(8, record.flags)
        + hex_id(9, "traceId", record.trace_id)
        + hex_id(10, "spanId", record.span_id)
        + nanoseconds(11, "observedTimeUnixNano", record.observed_time_unix_nano)
        + wire.text(12, record.event_name)
    )


def _span(span: shapes.Span) -> bytes:
    return (
        hex_id(1, "traceId", span.trace_id)
        + hex_id(2, "spanId", span.span_id)
        + wire.text(3, span.trace_state)
        + hex_id(4, "parentSpanId", span.parent_span_id)
        + wire.text(5, span.name)
        + wire.varint(6, enum_number("kind", span.kind, _KINDS))
        + nanoseconds(7, "startTimeUnixNano", span.start_time_unix_nano)
        + nanoseconds(8, "endTimeUnixNano", span.end_time_unix_nano)
        + attributes(9, span.attributes)
        + count(10, span.dropped_attributes_count)
        + (wire.messages(11, map(_event, span.events)) if span.events else b"")
        + count(12, span.dropped_events_count)
        + (wire.messages(13, map(_link, span.links)) if span.links else b"")
        + count(14, span.dropped_links_count)
        + (b"" if span.status is None else wire.message(15, _status(span.status)))
        + flags(16, span.flags)
    )


def _event(event: shapes.Event) -> bytes:
    return (
        nanoseconds(1, "timeUnixNano", event.time_unix_nano)
        + wire.text(2, event.name)
        + attributes(3, event.attributes)
        + count(4, event.dropped_attributes_count)
    )


def _link(link: shapes.Link) -> bytes:
    return (
        hex_id(1, "traceId", link.trace_id)
        + hex_id(2, "spanId", link.span_id)
        + wire.text(3, link.trace_state)
        + attributes(4, link.attributes)
        + count(5, link.dropped_attributes_count)
        + flags(6, link.flags)
    )


def _status(status: shapes.Status) -> bytes:
    code = enum_number("status.code", status.code, _CODES)
    return wire.text(2, status.message) + wire.varint(3, code)


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
