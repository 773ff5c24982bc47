"""Spans as plain dictionaries, and the OTLP request that carries them.

A span: `trace_id`, `span_id` (hex), `name`, `start_ns` (nanoseconds since 1970), and where they differ from the
defaults `end_ns` (the start), `parent_span_id`, `scope`, `service`, `kind`, `status` (`ok`, `error`), `message`,
`attributes`, `events` (each `name`, `at_ns`, `attributes`). Recorded ones also have `exported_at_s`, seconds since the
recording began.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.spans import any_value

FIXTURES: Final = Path(__file__).parent / "fixtures"
_KINDS: Final = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}
_STATUSES: Final = {
    "": Status.STATUS_CODE_UNSET,
    "ok": Status.STATUS_CODE_OK,
    "error": Status.STATUS_CODE_ERROR,
}
SpanDict = Mapping[str, Any]


def recorded(name: str) -> list[dict[str, Any]]:
    """The spans of `fixtures/spans_<name>.jsonl`, in the order of their export."""
    lines = (FIXTURES / f"spans_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def request(spans: Iterable[SpanDict]) -> bytes:
    """One serialized `ExportTraceServiceRequest` with these spans in this order."""
    message = ExportTraceServiceRequest()
    for span in spans:
        resource_spans = message.resource_spans.add()
        resource_spans.resource.attributes.extend(
            _attributes({"service.name": span.get("service", "test")})
        )
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = span.get("scope", "test")
        out = scope_spans.spans.add(
            trace_id=bytes.fromhex(span["trace_id"]),
            span_id=bytes.fromhex(span["span_id"]),
            parent_span_id=bytes.fromhex(span.get("parent_span_id", "")),
            name=span["name"],
            kind=_KINDS[span.get("kind", "internal")],
            start_time_unix_nano=span["start_ns"],
            end_time_unix_nano=span.get("end_ns", span["start_ns"]),
            attributes=_attributes(span.get("attributes", {})),
        )
        out.status.CopyFrom(
            Status(code=_STATUSES[span.get("status", "")], message=span.get("message", ""))
        )
        for event in span.get("events", ()):
            out.events.add(
                name=event["name"],
                time_unix_nano=event["at_ns"],
                attributes=_attributes(event.get("attributes", {})),
            )
    return message.SerializeToString()


def _attributes(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]
