"""OTLP in JSON becomes the protobuf that the same sender would have sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp import LOGS, METRICS, TRACES
from collector.otlp_json import trace_request
from stallwatch.errors import InputError
from tests.collector.helpers import NOW


def one_span(**fields: Any) -> Span:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()
    return trace_request(body).resource_spans[0].scope_spans[0].spans[0]


def value(**fields: Any) -> AnyValue:
    return one_span(attributes=[{"key": "k", "value": fields}]).attributes[0].value


def test_a_whole_span() -> None:
    read = one_span(
        traceId="0AF7651916CD43DD8448EB211C80319C",
        spanId="b7ad6b7169203331",
        parentSpanId="",
        traceState="a=b",
        flags=257,
        name="charge é",
        kind="SPAN_KIND_CONSUMER",
        startTimeUnixNano="1795340742087218387",
        endTimeUnixNano=1795340742087218400,
        droppedAttributesCount=1,
        events=[{"timeUnixNano": "5", "name": "e", "attributes": [{"key": "a"}]}],
        links=[{"traceId": "0a", "spanId": "0b", "flags": 1}],
        status={"code": "STATUS_CODE_ERROR", "message": "m"},
        newField={"x": 1},
    )
    assert read == Span(
        trace_id=bytes.fromhex("0AF7651916CD43DD8448EB211C80319C"),
        span_id=bytes.fromhex("b7ad6b7169203331"),
        trace_state="a=b",
        flags=257,
        name="charge é",
        kind=Span.SPAN_KIND_CONSUMER,
        start_time_unix_nano=1795340742087218387,
        end_time_unix_nano=1795340742087218400,
        dropped_attributes_count=1,
        events=[Span.Event(time_unix_nano=5, name="e", attributes=[KeyValue(key="a")])],
        links=[Span.Link(trace_id=b"\x0a", span_id=b"\x0b", flags=1)],
        status=Status(code=Status.STATUS_CODE_ERROR, message="m"),
    )


def test_values() -> None:
    assert value(stringValue="") == AnyValue(string_value="")
    assert value(boolValue=False) == AnyValue(bool_value=False)
    assert value(intValue="-9223372036854775808") == AnyValue(int_value=-(2**63))
    assert value(intValue=7.0) == AnyValue(int_value=7)
    assert value(doubleValue="Infinity").double_value == float("inf")
    assert value(doubleValue=1) == AnyValue(double_value=1.0)
    assert value(bytesValue="-_8") == AnyValue(bytes_value=b"\xfb\xff")
    assert value(arrayValue={"values": [{"intValue": 0}, {}]}) == AnyValue(
        array_value=ArrayValue(values=[AnyValue(int_value=0), AnyValue()])
    )
    assert value(kvlistValue={"values": [{"key": "a", "value": {"boolValue": True}}]}) == AnyValue(
        kvlist_value=KeyValueList(values=[KeyValue(key="a", value=AnyValue(bool_value=True))])
    )
    assert value(stringValue=None) == AnyValue()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"traceId": "zz"}, "traceId"),
        ({"spanId": "abc"}, "spanId"),
        ({"traceId": 5}, "traceId"),
        ({"startTimeUnixNano": "-1"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 2**64}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "9" * 5000}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 1.5}, "startTimeUnixNano"),
        ({"startTimeUnixNano": "²"}, "startTimeUnixNano"),
        ({"kind": "SPAN_KIND_FAST"}, "SPAN_KIND_FAST"),
        ({"kind": 2**40}, "kind"),
        ({"flags": -1}, "32 bits"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"attributes": [{"key": "k", "value": {"intValue": "1e3"}}]}, "intValue"),
        ({"attributes": [{"key": "k", "value": {"doubleValue": "fast"}}]}, "doubleValue"),
        ({"attributes": [{"key": "k", "value": {"bytesValue": "é"}}]}, "bytesValue"),
        ({"attributes": [{"key": "k", "value": "plain"}]}, "value"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        one_span(**fields)


def test_nesting_is_bounded() -> None:
    deep: dict[str, Any] = {"intValue": 1}
    for _ in range(30):
        deep = {"arrayValue": {"values": [deep]}}
    assert TRACES.check_protobuf(_request(deep)).count == 1
    for _ in range(10):
        deep = {"arrayValue": {"values": [deep]}}
    with pytest.raises(InputError, match="nested"):
        _request(deep)


def test_what_protobuf_could_not_read_again_is_refused() -> None:
    """A level of a list of pairs is three of protobuf's, which stops at 100."""
    deep: dict[str, Any] = {"intValue": 1}
    for _ in range(31):
        deep = {"kvlistValue": {"values": [{"key": "k", "value": deep}]}}
    assert TRACES.check_protobuf(_request(deep)).count == 1
    deep = {"kvlistValue": {"values": [{"key": "k", "value": deep}]}}
    with pytest.raises(InputError):
        _request(deep)
    record = {"attributes": [{"key": "k", "value": deep}]}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    with pytest.raises(InputError):
        LOGS.read(body, True, NOW, "default")


@pytest.mark.parametrize("length", [0, 1, 100, 101, 127, 128, 1023, 1024, 16_384, 2_097_152])
def test_lengths(length: int) -> None:
    text = "x" * length
    read = one_span(name=text, attributes=[{"key": text, "value": {"stringValue": text}}])
    pair = KeyValue(key=text, value=AnyValue(string_value=text))
    assert read == Span(name=text, attributes=[pair])


@pytest.mark.parametrize("number", [0, 1, 127, 128, 1023, 1024, 2**63 - 1, -1, -(2**63)])
def test_integers(number: int) -> None:
    assert value(intValue=str(number)) == AnyValue(int_value=number)


@pytest.mark.parametrize("place", ["attributes", "events"])
def test_what_is_remembered_is_told_from_what_is_like_it(place: str) -> None:
    """By key, by type, and by where attributes stand in their message."""
    ones = [
        ({"stringValue": "1"}, AnyValue(string_value="1")),
        ({"intValue": "1"}, AnyValue(int_value=1)),
        ({"intValue": 1}, AnyValue(int_value=1)),
        ({"intValue": 1.0}, AnyValue(int_value=1)),
        ({"boolValue": True}, AnyValue(bool_value=True)),
        ({"doubleValue": 1}, AnyValue(double_value=1.0)),
        ({"stringValue": ""}, AnyValue(string_value="")),
    ]
    keys = ("", "1", "k")
    said = [{"key": key, "value": one} for _ in range(2) for key in keys for one, _ in ones]
    wanted = [KeyValue(key=key, value=one) for _ in range(2) for key in keys for _, one in ones]
    if place == "events":
        assert one_span(events=[{"attributes": said}]).events[0] == Span.Event(attributes=wanted)
    else:
        assert one_span(attributes=said) == Span(attributes=wanted)


def _request(attribute: dict[str, Any]) -> bytes:
    spans = [{"attributes": [{"key": "k", "value": attribute}]}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    return TRACES.check_json(body).request


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_any_value: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.dictionaries(
            st.sampled_from(
                ["stringValue", "intValue", "doubleValue", "boolValue", "bytesValue", "arrayValue"]
            ),
            _json,
            max_size=1,
        )
        | st.builds(
            lambda inner: {"arrayValue": {"values": inner}}, st.lists(_any_value, max_size=2)
        )
    )
)
_span_keys = st.sampled_from(
    [
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "events",
        "links",
        "status",
        "flags",
    ]
)
_attributes = st.lists(
    st.fixed_dictionaries({"key": st.text(max_size=5), "value": _any_value}), max_size=2
)
_spans = st.dictionaries(_span_keys, _json | st.lists(_json, max_size=2) | _attributes, max_size=4)


@given(st.lists(_spans | _json, max_size=2))
def test_no_json_makes_the_decoder_fail(spans: list[Any]) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    try:
        checked = TRACES.check(body, is_json=True)
    except InputError as error:
        reason = str(error)
    else:
        assert TRACES.check(checked.request, is_json=False).count == checked.count == len(spans)
        return
    assert reason


@given(st.binary(max_size=100), st.booleans(), st.sampled_from([TRACES, LOGS, METRICS]))
def test_no_bytes_make_a_check_fail(body: bytes, is_json: bool, signal: Any) -> None:
    try:
        checked = signal.read(body, is_json, NOW, "default")
    except InputError as error:
        reason = str(error)
    else:
        assert checked.count >= 0
        return
    assert reason
