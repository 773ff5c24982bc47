"""OTLP requests made by hand, also wrong ones."""

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue


@dataclass
class Span:
    name: str
    start_at: datetime | None = None
    duration_s: float = 1.0
    start_ns: int | None = None
    trace_id: bytes = field(default_factory=lambda: os.urandom(16))
    span_id: bytes = field(default_factory=lambda: os.urandom(8))
    parent_span_id: bytes = b""
    attributes: dict[str, Any] = field(default_factory=dict)


def request(*spans: Span, service: str = "shop", scope: str = "test") -> bytes:
    """A serialised ExportTraceServiceRequest of one resource and one scope."""
    message = ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.append(
        KeyValue(key="service.name", value=AnyValue(string_value=service))
    )
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    for span in spans:
        start_ns = span.start_ns
        if start_ns is None:
            assert span.start_at is not None
            start_ns = round(span.start_at.timestamp() * 1e6) * 1000
        scope_spans.spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            name=span.name,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=min(2**64 - 1, start_ns + round(span.duration_s * 1e9)),
            attributes=[KeyValue(key=k, value=any_value(v)) for k, v in span.attributes.items()],
        )
    return message.SerializeToString()


def any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case _:
            return AnyValue(string_value=str(value))
