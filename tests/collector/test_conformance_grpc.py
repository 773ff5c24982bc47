"""OTLP/gRPC as the specification has it, on a real channel. Every test backs a row of docs/otlp.md."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
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
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)

from collector import grpc_server
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from tests.collector.helpers import NOW, FakeStore, collecting, span, trace_request

PACKAGE = "/opentelemetry.proto.collector"
TRACES = f"{PACKAGE}.trace.v1.TraceService/Export"
LOGS = f"{PACKAGE}.logs.v1.LogsService/Export"
METRICS = f"{PACKAGE}.metrics.v1.MetricsService/Export"
LIMIT_BYTES = 200_000
WAIT_S = 30
ONE = trace_request(span(1))


class Client:
    def __init__(self, store: FakeStore, collector: Collector, port: int) -> None:
        self.store = store
        self.collector = collector
        self.port = port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def call(self, body: bytes, method: str = TRACES, **options: Any) -> bytes:
        answer: bytes = self.channel.unary_unary(method)(body, **{"timeout": WAIT_S, **options})
        return answer

    def fails(self, body: bytes, method: str = TRACES, **options: Any) -> Any:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(body, method, **options)
        return caught.value


@pytest.fixture
def client() -> Iterator[Client]:
    fake = FakeStore()
    config = CollectorConfig(batch_ms=0, max_inflated_bytes=LIMIT_BYTES, max_pending_bytes=50_000)
    with collecting(fake, ManualClock(NOW), config) as collector:
        client = Client(fake, collector, collector.start_grpc("127.0.0.1:0"))
        with client.channel:
            yield client
        fake.gate.set()


def status_of(error: Any) -> status_pb2.Status:
    """google.rpc.Status in the trailers, which must say what the call says."""
    status = status_pb2.Status.FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"]
    )
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return status


def retry_after_s(error: Any) -> float:
    """The time to wait, which both kinds of trailers must say alike."""
    info, other = error_details_pb2.RetryInfo(), error_details_pb2.RetryInfo()
    assert status_of(error).details[0].Unpack(info)
    other.ParseFromString(dict(error.trailing_metadata())["google.rpc.retryinfo-bin"])
    assert info == other
    return float(info.retry_delay.ToTimedelta().total_seconds())


def test_success_is_ok_with_an_empty_message(client: Client) -> None:
    answer = ExportTraceServiceResponse.FromString(client.call(ONE))
    assert not answer.HasField("partial_success")
    assert client.store.stored() == [ONE]


@pytest.mark.parametrize("method", [TRACES, LOGS, METRICS])
def test_a_request_without_data_is_a_success(client: Client, method: str) -> None:
    assert client.call(b"", method) == b""
    assert client.store.tried == []


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_compressed_messages_are_read(client: Client, name: str) -> None:
    compression = grpc.Compression.Gzip if name == "gzip" else grpc.Compression.Deflate
    body = trace_request(*(span(number) for number in range(50)))
    client.call(body, compression=compression)
    assert client.store.stored() == [body]


def test_rejected_log_records_are_counted_in_partial_success(client: Client) -> None:
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord()])])]
    )
    answer = client.call(request.SerializeToString(), LOGS)
    told = ExportLogsServiceResponse.FromString(answer).partial_success
    assert told.rejected_log_records == 1
    assert "no step event" in told.error_message


def test_metrics_are_accepted_and_counted_in_partial_success(client: Client) -> None:
    metric = Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(as_int=1)]))
    request = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])]
    )
    answer = client.call(request.SerializeToString(), METRICS)
    told = ExportMetricsServiceResponse.FromString(answer).partial_success
    assert (told.rejected_data_points, "not stored" in told.error_message) == (1, True)


@pytest.mark.parametrize("method", [TRACES, LOGS, METRICS])
def test_bad_data_is_invalid_argument_with_bad_request(client: Client, method: str) -> None:
    error = client.fails(b"\x0a\xff", method)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert status_of(error).details[0].Unpack(bad)
    assert bad.field_violations[0].description == error.details()
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_beyond_the_limit_is_refused_for_good(
    client: Client, compression: grpc.Compression
) -> None:
    error = client.fails(b"\0" * 10_000_000, compression=compression)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # Senders repeat after RESOURCE_EXHAUSTED only with RetryInfo.
    assert not {"google.rpc.retryinfo-bin", "grpc-status-details-bin"} & set(
        dict(error.trailing_metadata() or ())
    )
    client.call(ONE)


def test_an_absent_store_is_unavailable_with_retry_info(client: Client) -> None:
    client.store.away_times, client.store.retry_after_s = 1000, 7.5
    error = client.fails(ONE)
    assert (error.code(), retry_after_s(error)) == (grpc.StatusCode.UNAVAILABLE, 7.5)


def test_full_memory_is_resource_exhausted_with_retry_info(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_BUSY_WAIT_S", 0.0)
    client.store.gate.clear()
    held = client.channel.unary_unary(TRACES).future(large(1), timeout=WAIT_S)
    assert client.store.entered.wait(WAIT_S)
    error = client.fails(large(2))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_after_s(error) > 0
    client.store.gate.set()
    held.result()


def large(number: int) -> bytes:
    """More than half of the memory that the collector has here."""
    body = trace_request(*(span(1000 * number + n) for n in range(700)))
    assert 25_000 < len(body) < 50_000
    return body


def test_a_call_waits_for_room_rather_than_being_refused(client: Client) -> None:
    """JavaScript's exporter over gRPC never sends again."""
    client.store.gate.clear()
    calls = [client.channel.unary_unary(TRACES).future(large(n), timeout=WAIT_S) for n in range(3)]
    assert client.store.entered.wait(WAIT_S)
    client.store.gate.set()
    for call in calls:
        call.result()
    assert sorted(map(str, client.store.stored())) == sorted(str(large(n)) for n in range(3))


def test_a_call_does_not_wait_for_room_beyond_its_deadline(client: Client) -> None:
    client.store.gate.clear()
    held = client.channel.unary_unary(TRACES).future(large(1), timeout=WAIT_S)
    assert client.store.entered.wait(WAIT_S)
    # Told to come back before its own patience ends, so that the sender learns how long to wait.
    assert client.fails(large(2), timeout=1.0).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    client.store.gate.set()
    held.result()


def test_many_calls_wait_for_their_commit_at_the_same_time(client: Client) -> None:
    client.store.gate.clear()
    bodies = [trace_request(span(number)) for number in range(300)]
    calls = [client.channel.unary_unary(TRACES).future(body, timeout=WAIT_S) for body in bodies]
    assert client.store.entered.wait(WAIT_S)
    assert not any(call.done() for call in calls)
    client.store.gate.set()
    for call in calls:
        call.result()
    assert sorted(map(str, client.store.stored())) == sorted(map(str, bodies))


def test_a_defect_is_internal_and_the_next_call_is_served(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("by a defect")

    with monkeypatch.context() as patched:
        patched.setattr(client.collector.batcher, "submit_otlp", broken)
        error = client.fails(ONE)
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "defect" in status_of(error).message
    client.call(ONE)


def test_a_call_that_is_cancelled_harms_no_other(client: Client) -> None:
    client.store.gate.clear()
    first = client.channel.unary_unary(TRACES).future(ONE, timeout=WAIT_S)
    assert client.store.entered.wait(WAIT_S)
    first.cancel()
    other = trace_request(span(2))
    second = client.channel.unary_unary(TRACES).future(other, timeout=WAIT_S)
    client.store.gate.set()
    second.result()
    assert set(client.store.stored()) == {ONE, other}


@pytest.mark.parametrize(
    "method",
    [
        f"{PACKAGE}.profiles.v1development.ProfilesService/Export",
        f"{PACKAGE}.trace.v1.TraceService/Import",
        "/nobody.Knows/It",
    ],
)
def test_another_service_or_method_is_unimplemented(client: Client, method: str) -> None:
    assert client.fails(ONE, method).code() == grpc.StatusCode.UNIMPLEMENTED


def test_unknown_fields_are_ignored(client: Client) -> None:
    # Field 1000, of length 3, at the end of the request.
    assert client.call(ONE + b"\xc2\x3e\x03new") == b""


def test_a_connection_serves_many_calls_at_once_from_many_threads(client: Client) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            client.call(trace_request(span(100 * number + turn)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.store.stored()) == 80


def test_the_default_ports_are_those_of_the_specification() -> None:
    config = CollectorConfig()
    assert (config.otlp_grpc, config.otlp_http) == ("127.0.0.1:4317", "127.0.0.1:4318")
