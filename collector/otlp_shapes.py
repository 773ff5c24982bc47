"""The shapes of OTLP in JSON: field names in camel case, every field may be left out or null."""

import msgspec

Number = int | float | str | None
"""64-bit numbers are texts; senders write plain numbers as well."""


class Struct(msgspec.Struct, rename="camel", gc=False):
    """Not for the garbage collector: what is decoded has no cycles."""


class Value(Struct):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: "Values | None" = None
    kvlist_value: "KeyValues | None" = None
    bytes_value: str | None = None


class KeyValue(Struct):
    key: str | None = None
    value: Value | None = None


class Values(Struct):
    values: list[Value] | None = None


class KeyValues(Struct):
    values: list[KeyValue] | None = None


class Entity(Struct):
    schema_url: str | None = None
    type: str | None = None
    id_keys: list[str] | None = None
    description_keys: list[str] | None = None


class Resource(Struct):
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    entity_refs: list[Entity] | None = None


class Scope(Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None


class Event(Struct):
    time_unix_nano: Number = None
    name: str | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None


class Link(Struct):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    flags: Number = None


class Status(Struct):
    message: str | None = None
    code: int | str | None = None


class Span(Struct):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    parent_span_id: str | None = None
    flags: Number = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    events: list[Event] | None = None
    dropped_events_count: Number = None
    links: list[Link] | None = None
    dropped_links_count: Number = None
    status: Status | None = None


class ScopeSpans(Struct):
    scope: Scope | None = None
    spans: list[Span] | None = None
    schema_url: str | None = None


class ResourceSpans(Struct):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None
    schema_url: str | None = None


class TraceRequest(Struct):
    resource_spans: list[ResourceSpans] | None = None


class LogRecord(Struct):
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: Value | None = None
    attributes: list[KeyValue] | None = None
    dropped_attributes_count: Number = None
    flags: Number = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class ScopeLogs(Struct):
    scope: Scope | None = None
    log_records: list[LogRecord] | None = None
    schema_url: str | None = None


class ResourceLogs(Struct):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None
    schema_url: str | None = None


class LogsRequest(Struct):
    resource_logs: list[ResourceLogs] | None = None


class Points(Struct):
    data_points: list[msgspec.Raw] | None = None


class Metric(Struct):
    gauge: Points | None = None
    sum: Points | None = None
    histogram: Points | None = None
    exponential_histogram: Points | None = None
    summary: Points | None = None


class ScopeMetrics(Struct):
    metrics: list[Metric] | None = None


class ResourceMetrics(Struct):
    scope_metrics: list[ScopeMetrics] | None = None


class MetricsRequest(Struct):
    resource_metrics: list[ResourceMetrics] | None = None
