"""Bodies that would grow out of proportion are refused before they do; large honest ones are not."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import bounds
from collector.events import EVENTS_MAX
from collector.json_text import OBJECTS_MAX, decode_any
from collector.otlp import TRACES
from collector.refusals import TooLarge
from tests import spans
from tests.fuzz.poison import POISONS, in_scope, length_delimited

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GROWING = [poison for poison in POISONS if poison.status == 413 and poison.path == "/v1/traces"]


@pytest.mark.parametrize("poison", GROWING, ids=lambda poison: poison.name)
def test_what_would_grow_is_refused(poison: object) -> None:
    body = poison.body(NOW)  # type: ignore[attr-defined]
    with pytest.raises(TooLarge):
        TRACES.check(body, poison.media == "application/json")  # type: ignore[attr-defined]


def honest(count: int) -> bytes:
    """Spans of short attributes: the most parts in the fewest bytes that senders really write."""
    attributes = {
        "http.method": "GET",
        "ok": True,
        "n": 1,
        "empty": "",
        "url": "http://example.com/foo",
        "x": 2.5,
    }
    return spans.request(*(spans.Span("charge", NOW, attributes=attributes) for _ in range(count)))


@pytest.mark.parametrize("count", [1, 1000, 50_000])
def test_honest_bodies_are_taken(count: int) -> None:
    body = honest(count)
    assert TRACES.check(body, is_json=False).count == count
    assert (len(body) > bounds.LARGE_BYTES) == (count == 50_000)


def test_spans_are_counted_before_they_are_parsed() -> None:
    """Not tiny, so only counting finds that they are too many."""
    small = length_delimited(2, length_delimited(5, b"x" * 14))
    body = in_scope(small * (bounds.ITEMS_MAX + 1))
    with pytest.raises(TooLarge, match="250000 spans"):
        bounds.check_protobuf(body)
    bounds.check_protobuf(in_scope(small * (bounds.ITEMS_MAX - 1)))


def test_the_resource_counts_as_often_as_it_is_copied() -> None:
    request = ExportTraceServiceRequest.FromString(honest(1000))
    size_bytes = bounds.COPIED_BYTES_MAX // 1000
    request.resource_spans[0].resource.attributes[0].value.string_value = "x" * (size_bytes - 100)
    assert bounds.check_spans(request, b"") == 1000
    request.resource_spans[0].resource.attributes[0].value.string_value = "x" * (size_bytes + 100)
    with pytest.raises(TooLarge, match="beside each"):
        bounds.check_spans(request, b"")


def test_attributes_are_counted() -> None:
    request = ExportTraceServiceRequest.FromString(honest(1))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for _ in range(bounds.ATTRIBUTES_MAX + 1 - len(span.attributes)):
        span.attributes.add()
    body = request.SerializeToString()
    with pytest.raises(TooLarge, match="attributes"):
        bounds.check_spans(request, body)
    del span.attributes[0]
    assert bounds.check_spans(request, request.SerializeToString()) == 1


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0f", b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 9]
)
def test_what_is_no_protobuf_is_left_for_the_parser(body: bytes) -> None:
    bounds.check_protobuf(body * 1_000_000)


def test_many_objects_in_json_are_refused_before_they_are_made() -> None:
    text = b"[" + b"{}," * OBJECTS_MAX + b"{}]"
    tracemalloc.start()
    with pytest.raises(TooLarge, match="objects"):
        decode_any(text)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1024 * 1024
    assert len(decode_any(b"[" + b"{}," * (OBJECTS_MAX - 3) + b"{}]")) == OBJECTS_MAX - 2


def test_large_bodies_are_unpacked_one_at_a_time() -> None:
    body = honest(10_000)
    assert len(body) > bounds.TURN_BYTES
    with ThreadPoolExecutor(2) as pool:
        with bounds.turn(len(body)):
            large = pool.submit(TRACES.check, body, is_json=False)
            assert pool.submit(TRACES.check, honest(1), is_json=False).result(30).count == 1
            assert not large.done()
        assert large.result(30).count == 10_000


def test_the_limits_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    limits = (bounds.ITEMS_MAX, bounds.GROUPS_MAX, bounds.ATTRIBUTES_MAX, OBJECTS_MAX, EVENTS_MAX)
    for limit in limits:
        assert f"| {limit:,} |" in text
    assert f"| {bounds.COPIED_BYTES_MAX // 2**20} MiB |" in text
