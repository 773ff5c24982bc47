"""OTLP/gRPC on a real port."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

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
    store.fold(NOW)
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
