"""Whatever can be said in protobuf is read the same from JSON; the JSON is written by protobuf's own writer."""

import base64
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    EntityRef,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from collector.otlp import LOGS, TRACES
from collector.otlp_json import logs_request, trace_request
from tests.collector.helpers import NOW

IDS = frozenset({"traceId", "spanId", "parentSpanId"})

_text = st.text(max_size=5)
_count = st.integers(0, 2**32 - 1)
_nanoseconds = st.integers(0, 2**64 - 1)
_ids = st.binary(max_size=16)
_doubles = st.floats(allow_nan=False) | st.just(float("nan"))
_scalars = (
    st.builds(AnyValue)
    | st.builds(AnyValue, string_value=_text)
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=_doubles)
    | st.builds(AnyValue, bytes_value=st.binary(max_size=5))
)


def _pairs(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[list[KeyValue]]:
    return st.lists(st.builds(KeyValue, key=_text, value=st.none() | values), max_size=2)


_values = st.recursive(
    _scalars,
    lambda inner: (
        st.builds(
            AnyValue,
            array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=2)),
        )
        | st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=_pairs(inner)))
    ),
    max_leaves=4,
)
_attributes = _pairs(_values)
_entities = st.builds(
    EntityRef,
    schema_url=_text,
    type=_text,
    id_keys=st.lists(_text, max_size=2),
    description_keys=st.lists(_text, max_size=1),
)
_resources = st.none() | st.builds(
    Resource,
    attributes=_attributes,
    dropped_attributes_count=_count,
    entity_refs=st.lists(_entities, max_size=1),
)
_scopes = st.none() | st.builds(
    InstrumentationScope,
    name=_text,
    version=_text,
    attributes=_attributes,
    dropped_attributes_count=_count,
)
_spans = st.builds(
    Span,
    trace_id=_ids,
    span_id=_ids,
    parent_span_id=_ids,
    trace_state=_text,
    flags=_count,
    name=_text,
    kind=st.integers(0, 5),
    start_time_unix_nano=_nanoseconds,
    end_time_unix_nano=_nanoseconds,
    attributes=_attributes,
    dropped_attributes_count=_count,
    events=st.lists(
        st.builds(Span.Event, time_unix_nano=_nanoseconds, name=_text, attributes=_attributes),
        max_size=1,
    ),
    dropped_events_count=_count,
    links=st.lists(
        st.builds(
            Span.Link,
            trace_id=_ids,
            span_id=_ids,
            trace_state=_text,
            attributes=_attributes,
            flags=_count,
        ),
        max_size=1,
    ),
    dropped_links_count=_count,
    status=st.none() | st.builds(Status, message=_text, code=st.integers(0, 2)),
)
_records = st.builds(
    LogRecord,
    time_unix_nano=_nanoseconds,
    observed_time_unix_nano=_nanoseconds,
    severity_number=st.integers(0, 24),
    severity_text=_text,
    body=st.none() | _values,
    attributes=_attributes,
    dropped_attributes_count=_count,
    flags=_count,
    trace_id=_ids,
    span_id=_ids,
    event_name=_text | st.just("stallwatch.step.started"),
)
_traces = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            ResourceSpans,
            resource=_resources,
            schema_url=_text,
            scope_spans=st.lists(
                st.builds(
                    ScopeSpans, scope=_scopes, spans=st.lists(_spans, max_size=2), schema_url=_text
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)
_logs = st.builds(
    ExportLogsServiceRequest,
    resource_logs=st.lists(
        st.builds(
            ResourceLogs,
            resource=_resources,
            schema_url=_text,
            scope_logs=st.lists(
                st.builds(
                    ScopeLogs,
                    scope=_scopes,
                    log_records=st.lists(_records, max_size=2),
                    schema_url=_text,
                ),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)


def as_json(message: Message, enum_names: bool, upper: bool) -> bytes:
    """Protobuf's JSON with the one thing that OTLP has otherwise: ids are hex."""

    def with_hex(value: Any) -> Any:
        if isinstance(value, list):
            return [with_hex(item) for item in value]
        if isinstance(value, dict):
            return {
                key: hex_of(item) if key in IDS else with_hex(item) for key, item in value.items()
            }
        return value

    def hex_of(text: str) -> str:
        digits = base64.b64decode(text).hex()
        return digits.upper() if upper else digits

    said = json_format.MessageToDict(message, use_integers_for_enums=not enum_names)
    return json.dumps(with_hex(said)).encode()


@given(_traces, st.booleans(), st.booleans())
def test_traces(message: ExportTraceServiceRequest, enum_names: bool, upper: bool) -> None:
    read = trace_request(as_json(message, enum_names, upper))
    # As bytes: NaN equals itself only so.
    assert read.SerializeToString() == message.SerializeToString()
    checked = TRACES.check_protobuf(message.SerializeToString())
    assert checked == TRACES.check_json(as_json(message, enum_names, upper))


@given(_logs, st.booleans(), st.booleans())
def test_logs(message: ExportLogsServiceRequest, enum_names: bool, upper: bool) -> None:
    body = as_json(message, enum_names, upper)
    assert logs_request(body).SerializeToString() == message.SerializeToString()
    in_protobuf = LOGS.read(message.SerializeToString(), False, NOW, "default")
    assert LOGS.read(body, True, NOW, "default") == in_protobuf
