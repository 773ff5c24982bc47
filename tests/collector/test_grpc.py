"""OTLP/gRPC on a real port."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from collector import grpc_server
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, span, trace_request

PACKAGE = "/opentelemetry.proto.collector"
TRACE = f"{PACKAGE}.trace.v1.TraceService/Export"
WAIT_S = 30


class Client:
    def __init__(self, store: FakeStore, collector: Collector, port: int) -> None:
        self.store = store
        self.collector = collector
        self.port = port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def call(self, body: bytes, method: str = TRACE, **options: Any) -> bytes:
        answer: bytes = self.channel.unary_unary(method)(body, timeout=WAIT_S, **options)
        return answer


@pytest.fixture
def client() -> Iterator[Client]:
    fake = FakeStore()
    config = CollectorConfig(batch_ms=0, max_inflated_bytes=200_000, max_pending_bytes=50_000)
    with collecting(fake, ManualClock(NOW), config) as collector:
        client = Client(fake, collector, collector.start_grpc("127.0.0.1:0"))
        with client.channel:
            yield client


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_is_stored_as_it_came(client: Client, compression: grpc.Compression) -> None:
    body = trace_request(span(1), span(2))
    answer = client.call(body, compression=compression)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert client.store.stored() == [body]
    assert client.call(b"") == b""


def test_logs_and_metrics_say_that_they_are_not_stored(client: Client) -> None:
    logs = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord()])])]
    )
    answer = client.call(logs.SerializeToString(), f"{PACKAGE}.logs.v1.LogsService/Export")
    told = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (told.rejected_log_records, "not stored" in told.error_message) == (1, True)
    metric = Metric(name="m", sum=Sum(data_points=[NumberDataPoint(as_int=1)]))
    request = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])]
    )
    answer = client.call(request.SerializeToString(), f"{PACKAGE}.metrics.v1.MetricsService/Export")
    points = ExportMetricsServiceResponse.FromString(answer).partial_success
    assert (points.rejected_data_points, "not stored" in points.error_message) == (1, True)


@pytest.mark.parametrize(
    ("body", "options", "code"),
    [
        (b"\x0a\xff", {}, grpc.StatusCode.INVALID_ARGUMENT),
        (trace_request(span(1))[:-3], {}, grpc.StatusCode.INVALID_ARGUMENT),
        (b"x" * 200_001, {}, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (
            b"\0" * 20_000_000,
            {"compression": grpc.Compression.Gzip},
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_for_good(
    client: Client, body: bytes, options: dict[str, Any], code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.call(body, **options)
    assert caught.value.code() == code
    assert "google.rpc.retryinfo-bin" not in dict(caught.value.trailing_metadata() or ())
    client.call(trace_request(span(1)))
    assert len(client.store.stored()) == 1


def test_an_unknown_service_is_unimplemented(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.call(b"", f"{PACKAGE}.profiles.v1development.ProfilesService/Export")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def retry_after_s(error: grpc.RpcError) -> float:
    trailers = dict(error.trailing_metadata())
    info = error_details_pb2.RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    return float(info.retry_delay.ToTimedelta().total_seconds())


def test_a_store_that_is_away_is_unavailable_with_the_time_to_wait(client: Client) -> None:
    client.store.away_times = 1000
    with pytest.raises(grpc.RpcError) as caught:
        client.call(trace_request(span(1)))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert retry_after_s(caught.value) > 0


def test_full_memory_says_when_to_come_back(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_BUSY_WAIT_S", 0.0)
    body = trace_request(*(span(n) for n in range(700)))
    assert 25_000 < len(body) < 50_000
    client.store.gate.clear()
    first = client.channel.unary_unary(TRACE).future(body, timeout=WAIT_S)
    assert client.store.entered.wait(WAIT_S)
    with pytest.raises(grpc.RpcError) as caught:
        client.call(body)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_after_s(caught.value) > 0
    client.store.gate.set()
    first.result()
    client.call(body)
    assert client.store.stored() == [body, body]


def test_the_sender_is_named(store: Store) -> None:
    with collecting(store, ManualClock(NOW)) as collector:
        port = collector.start_grpc("127.0.0.1:0")
        with grpc.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.primary_user_agent", "MyExporter/1.2")]
        ) as channel:
            export = channel.unary_unary(TRACE)
            export(trace_request(span(1)), timeout=WAIT_S)
            export(
                trace_request(span(2)), timeout=WAIT_S, metadata=[("stallwatch-sender", "gateway")]
            )
    senders = store.select("SELECT sender FROM span_log ORDER BY span_id")
    assert [row["sender"] for row in senders] == ["127.0.0.1 MyExporter", "gateway"]


def test_stopping_lets_calls_under_way_end(client: Client) -> None:
    client.store.gate.clear()
    future = client.channel.unary_unary(TRACE).future(trace_request(span(1)), timeout=WAIT_S)
    assert client.store.entered.wait(WAIT_S)
    closing = threading.Thread(target=client.collector.close)
    closing.start()
    client.store.gate.set()
    future.result()
    closing.join()
    assert len(client.store.stored()) == 1


def test_a_port_that_is_taken_is_named(client: Client) -> None:
    with (
        collecting(FakeStore(), ManualClock(NOW)) as second,
        pytest.raises(InputError, match=str(client.port)),
    ):
        second.start_grpc(f"127.0.0.1:{client.port}")
