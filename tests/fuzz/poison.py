"""Bodies made to do harm: what memory, a parser, the engine or a neighbour in the same batch would suffer from."""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests import spans

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Poison:
    """A request and how it must be answered."""

    name: str
    status: int
    body: Callable[[datetime], bytes]
    path: str = "/v1/traces"
    media: str = PROTOBUF

    def headers(self) -> dict[str, str]:
        """All bodies are sent compressed: most of them are large and empty."""
        return {"content-type": self.media, "content-encoding": "gzip"}

    def content(self, now: datetime) -> bytes:
        return gzip.compress(self.body(now), 1)


def length_delimited(field: int, data: bytes) -> bytes:
    """A field of protobuf."""
    length, out = len(data), bytearray([field << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + data


def in_span(data: bytes) -> bytes:
    """A request of one span that consists of these bytes."""
    return in_scope(length_delimited(2, data))


def in_scope(data: bytes) -> bytes:
    return length_delimited(1, length_delimited(2, data))


def _one(**said: object) -> Callable[[datetime], bytes]:
    return lambda now: spans.request(spans.Span("odd", **{"start_at": now, **said}))  # type: ignore[arg-type]


def _nested(levels: int) -> Callable[[datetime], bytes]:
    def body(now: datetime) -> bytes:
        value = b"\x0a\x01x"
        for _ in range(levels):
            value = length_delimited(5, length_delimited(1, value))
        request = _one()(now)
        pair = length_delimited(1, b"deep") + length_delimited(2, value)
        return request + in_span(length_delimited(9, pair))

    return body


def _resources(size_bytes: int, count: int) -> Callable[[datetime], bytes]:
    """The engine writes the resource beside each span."""

    def body(now: datetime) -> bytes:
        request = ExportTraceServiceRequest.FromString(
            spans.request(*(spans.Span("copied", now) for _ in range(count)))
        )
        pair = KeyValue(key="large", value=AnyValue(string_value="x" * size_bytes))
        request.resource_spans[0].resource.attributes.append(pair)
        return request.SerializeToString()

    return body


def _bytes(data: bytes) -> Callable[[datetime], bytes]:
    return lambda _now: data


_MANY: Final = 2 * MIB
_VALUE: Final = length_delimited(2, b"\x0a\x01a" + b"\x10\x01" + b"\x0a\x01b")
"""An AnyValue with three values, of which the last counts."""

POISONS: Final = (
    Poison("ids of no length", 200, _one(trace_id=b"", span_id=b"")),
    Poison("ids of three bytes", 200, _one(trace_id=b"abc", span_id=b"abc")),
    Poison("ids of a megabyte", 200, _one(trace_id=b"a" * MIB, span_id=b"b" * MIB)),
    Poison("a parent of three bytes", 200, _one(parent_span_id=b"abc")),
    Poison("ids of zeros", 200, _one(trace_id=bytes(16), span_id=bytes(8))),
    *(
        Poison(f"a start of {start_ns}", 200, _one(start_ns=start_ns))
        for start_ns in (0, 1, 946_684_799_999_999_999, 2**63 - 1, 2**63, 2**64 - 1)
    ),
    Poison("an attribute 20 levels deep", 200, _nested(20)),
    Poison("an attribute 200 levels deep", 400, _nested(200)),
    Poison("20,000 attributes", 200, _one(attributes={f"key-{n}": n for n in range(20_000)})),
    Poison("an attribute of 15 MiB", 200, _one(attributes={"large": "x" * (15 * MIB)})),
    Poison("names with control characters", 200, _one(attributes={"\x00\x1b[31m\u202e": "\x00"})),
    Poison("text that is not UTF-8", 400, _bytes(in_span(length_delimited(5, b"\xff\xfe")))),
    # The engine's reader of protobuf is stricter than protobuf's own: these come back from the store.
    Poison("three values in one", 400, _bytes(in_span(length_delimited(9, _VALUE)))),
    Poison("a list of pairs as value", 200, _bytes(in_span(length_delimited(9, b"\x12\x06\x32\x04\x0a\x02\x0a\x00")))),
    Poison("wrong wire types", 400, _bytes(in_span(b"\x08\x01\x10\x01\x3d\x01\x01\x01\x01"))),
    Poison("a group", 400, _bytes(in_span(b"\x0b\x08\x01\x0c"))),
    Poison("a group without an end", 400, _bytes(in_span(b"\x0b\x08\x01"))),
    Poison("an overlong varint", 400, _bytes(in_span(b"\x80\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"))),
    Poison("a varint of eleven bytes", 400, _bytes(in_span(b"\x80\x01" + b"\xff" * 10 + b"\x01"))),
    Poison("a length beyond the end", 400, _bytes(b"\x0a\x7f\x00")),
    Poison("10,000 resources without a span", 200, _bytes(b"\x0a\x00" * 10_000)),
    Poison("a million resources", 413, _bytes(b"\x0a\x00" * (_MANY // 2))),
    Poison("a million scopes", 413, _bytes(length_delimited(1, b"\x12\x00" * (_MANY // 2)))),
    Poison("a million spans", 413, _bytes(in_scope(b"\x12\x00" * (_MANY // 2)))),
    Poison("600,000 small spans", 413, _bytes(in_scope(b"\x12\x06\x80\x01\xff\xff\xff\x01" * 600_000))),
    Poison("a million attributes", 413, _bytes(in_span(b"\x4a\x00" * (_MANY // 2)))),
    Poison("1,200,000 small attributes", 413, _bytes(in_span(b"\x4a\x05\x0a\x03abc" * 1_200_000))),
    Poison("a million events", 413, _bytes(in_span(b"\x5a\x00" * (_MANY // 2)))),
    Poison("a million log records", 413, _bytes(in_scope(b"\x12\x00" * (_MANY // 2))), "/v1/logs"),
    Poison("a million metrics", 413, _bytes(in_scope(b"\x12\x00" * (_MANY // 2))), "/v1/metrics"),
    Poison("a large resource, many spans", 413, _resources(MIB, 200)),
    Poison("two million empty spans in JSON", 413,
           _bytes(b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 2_000_000 + b"{}]}]}]}"), media=JSON),
    Poison("two million lists in an event", 413,
           _bytes(b'{"event":"step.started","attributes":{"a":[' + b"[]," * 2_000_000 + b"[]]}}"), "/v1/events", JSON),
    Poison("a hundred thousand brackets", 400, _bytes(b"[" * 100_000), "/v1/events", JSON),
    Poison("what is no protobuf", 400, lambda _now: os.urandom(100_000) + b"\x07"),
)  # fmt: skip
