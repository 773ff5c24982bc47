"""Unmodified OpenTelemetry SDKs deliver every span."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from collector.batcher import RETRY_DELAYS_S
from collector.otlp import TRACES
from collector.service import Collector
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, serving
from tests.requirements import npm_installed

COUNT = 1000
JS = Path(__file__).parent.parent / "js"


@pytest.fixture
def collector(store: Store) -> Iterator[Collector]:
    with collecting(store, SystemClock()) as collector:
        yield collector


def send(exporter: SpanExporter) -> None:
    """Spans in parent-child pairs, through the processor that applications use."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=COUNT))
    tracer = provider.get_tracer("stallwatch-test")
    for number in range(COUNT // 2):
        with (
            tracer.start_as_current_span("parent", attributes={"number": number}),
            tracer.start_as_current_span("child") as child,
        ):
            child.add_event("said")
    provider.shutdown()


def assert_complete(store: Store, sender: str, service: str = "shop") -> None:
    store.fold(NOW)
    row = store.select(
        "SELECT count() AS n, uniqExact(span_id) AS different, any(service) AS service, "
        "any(sender) AS sender FROM span_log"
    )[0]
    assert row == {"n": COUNT, "different": COUNT, "service": service, "sender": sender}
    assert store.select("SELECT 1 FROM quarantine") == []
    orphans = store.select(
        "SELECT count() AS n FROM span_log WHERE name = 'child' "
        "AND (trace_id, parent_span_id) NOT IN (SELECT trace_id, span_id FROM span_log)"
    )
    assert orphans == [{"n": 0}]


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_python_over_http(store: Store, collector: Collector, compression: Compression) -> None:
    with serving(collector) as url:
        send(HttpExporter(endpoint=f"{url}/v1/traces", compression=compression))
    assert_complete(store, "127.0.0.1 OTel-OTLP-Exporter-Python")


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_python_over_grpc(
    store: Store, collector: Collector, compression: grpc.Compression
) -> None:
    port = collector.start_grpc("127.0.0.1:0")
    send(GrpcExporter(endpoint=f"127.0.0.1:{port}", insecure=True, compression=compression))
    assert_complete(store, "127.0.0.1 OTel-OTLP-Exporter-Python")


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_python_sends_again_what_an_absent_store_did_not_take(way: str) -> None:
    """The answer asks to come back after a moment: the SDK does, and nothing is lost."""
    fake = FakeStore(away_times=len(RETRY_DELAYS_S) + 1, retry_after_s=0.05)
    with collecting(fake, ManualClock(NOW)) as collector, serving(collector) as url:
        exporter: SpanExporter
        if way == "http":
            exporter = HttpExporter(endpoint=f"{url}/v1/traces")
        else:
            port = collector.start_grpc("127.0.0.1:0")
            exporter = GrpcExporter(endpoint=f"127.0.0.1:{port}", insecure=True)
        send(exporter)
    bodies = [payload for payload in fake.stored() if isinstance(payload, bytes)]
    assert sum(TRACES.check_protobuf(body).count for body in bodies) == COUNT
    assert fake.away_times == 0


@pytest.fixture(scope="session")
def javascript() -> None:
    """The SDK as its lock file says, in `tests/js/node_modules`."""
    npm_installed(JS)


@pytest.mark.usefixtures("javascript")
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", ["http", "proto"])
def test_javascript(store: Store, collector: Collector, kind: str, compression: str) -> None:
    """`http` sends JSON with hex ids, `proto` protobuf; both in chunks."""
    with serving(collector) as url:
        done = subprocess.run(
            ["node", str(JS / "send.mjs"), f"{url}/v1/traces", kind, compression, str(COUNT)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert_complete(store, "127.0.0.1 OTel-OTLP-Exporter-JavaScript", "unknown_service:node")
    store.fold(NOW)
    row = store.select(
        "SELECT attributes, scope, length(events) AS events FROM span_log WHERE name = 'js 7'"
    )[0]
    assert row == {
        "attributes": {"number": "7", "half": "3.5"},
        "scope": "stallwatch-test",
        "events": 1,
    }
