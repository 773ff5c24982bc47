"""The bodies that are sent: as many steps as said, no two alike, countable in every encoding."""

import gzip
import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.bodies import MARK, SERVICES, Encoding, Shape, bodies, encoded
from collector import otlp_json

BEGIN_NS = 1_790_000_000_000_000_000


def spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]


def attribute(span: Span, name: str) -> str:
    return next((a.value.string_value for a in span.attributes if a.key == name), "")


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.2, 18), (1.0, 90)])
def test_the_share_of_steps(share: float, steps: int) -> None:
    body = next(bodies(Shape(100, step_share=share), 1, BEGIN_NS, seed=1))
    made = [span for span in spans(body) if attribute(span, "stallwatch.step")]
    assert len(made) == steps
    assert len({attribute(span, "stallwatch.execution_id") for span in made}) == steps // 9


def test_no_two_spans_alike_even_of_one_template() -> None:
    made = list(bodies(Shape(20, step_share=1.0), SERVICES + 1, BEGIN_NS, seed=1))
    everyone = [span for body in made for span in spans(body)]
    assert len({span.span_id for span in everyone}) == len(everyone) == 20 * (SERVICES + 1)
    assert len({span.trace_id for span in everyone}) == len(everyone) // 10
    executions = {attribute(span, "stallwatch.execution_id") for span in everyone}
    assert len(executions) == len(everyone) // 10
    first, again = spans(made[0]), spans(made[SERVICES])
    assert [s.name for s in first] == [s.name for s in again]
    assert all(
        a.start_time_unix_nano < b.start_time_unix_nano for a, b in zip(first, again, strict=True)
    )


def test_traces_hang_together() -> None:
    made = spans(next(bodies(Shape(20), 1, BEGIN_NS, seed=1)))
    for begin in (0, 10):
        root, *children = made[begin : begin + 10]
        assert root.parent_span_id == b""
        assert root.start_time_unix_nano >= BEGIN_NS
        for child in children:
            assert (child.trace_id, child.parent_span_id) == (root.trace_id, root.span_id)
            assert child.end_time_unix_nano > child.start_time_unix_nano


def test_the_same_seed_makes_the_same_bodies() -> None:
    one, same, other = (list(bodies(Shape(10), 3, BEGIN_NS, seed)) for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("encoding", ["protobuf", "gzip", "json"])
def test_every_span_is_counted_once(encoding: Encoding) -> None:
    body = next(bodies(Shape(30, step_share=0.2), 1, BEGIN_NS, seed=1))
    sent = encoded(body, encoding)
    plain = gzip.decompress(sent) if encoding == "gzip" else sent
    assert plain.count(MARK) == 30


def test_json_says_the_same() -> None:
    body = next(bodies(Shape(30, step_share=0.2), 1, BEGIN_NS, seed=1))
    said = encoded(body, "json")
    first = json.loads(said)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert first["traceId"] == spans(body)[0].trace_id.hex()
    assert otlp_json.trace_request(said) == ExportTraceServiceRequest.FromString(body)
