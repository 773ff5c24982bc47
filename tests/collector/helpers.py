"""Real servers on ports of this machine, OTLP bodies, and a store that does as it is told."""

import gzip
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from prometheus_client import CollectorRegistry

from collector.service import Collector
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.definitions import Definition
from stallwatch.store import Body, EventRow, Store

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def span(number: int, at: datetime = NOW, name: str = "") -> Span:
    start_ns = int(at.timestamp()) * 1_000_000_000
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name=name or f"span {number}",
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 1_000_000,
    )


def trace_request(*spans: Span, service: str = "shop") -> bytes:
    resource = Resource(
        attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))]
    )
    group = ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[group]).SerializeToString()


def step_event(number: int, **fields: object) -> dict[str, object]:
    return {
        "event": "step.started",
        "time": "2026-01-05T11:59:00Z",
        "workflow": "order",
        "execution_id": f"o-{number}",
        "step": "charge",
        **fields,
    }


def zip_bomb(inflated_bytes: int) -> bytes:
    return gzip.compress(b"\0" * inflated_bytes, compresslevel=9)


@dataclass
class Insert:
    """One insert that reached the fake store."""

    token: str
    payloads: list[object]


@dataclass
class FakeStore:
    """Remembers inserts; refuses marked payloads, is away as often as told, and can be held up."""

    inserts: list[Insert] = field(default_factory=list)
    tried: list[Insert] = field(default_factory=list)
    rejections: list[tuple[str, int]] = field(default_factory=list)
    bad: set[object] = field(default_factory=set)
    definitions: list[Definition] = field(default_factory=list)
    looks: list[tuple[str, str, datetime, datetime]] = field(default_factory=list)
    away_times: int = 0
    retry_after_s: float | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None:
        self._insert([body.request for body in bodies], token)

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None:
        self._insert([row.event.execution_id for row in rows], token)

    def note_rejected(
        self, sender: str, namespace: str, received_at: datetime, rejected: int
    ) -> None:
        self.rejections.append((sender, rejected))

    def note_look(
        self, sender: str, namespace: str, began_at: datetime, ended_at: datetime
    ) -> None:
        self.looks.append((sender, namespace, began_at, ended_at))

    def write_definitions(self, definitions: Sequence[Definition], now: datetime) -> None:
        self.definitions += definitions

    def stored(self) -> list[object]:
        return [payload for insert in self.inserts for payload in insert.payloads]

    def _insert(self, payloads: Sequence[object], token: str) -> None:
        self.entered.set()
        assert self.gate.wait(30)
        insert = Insert(token, list(payloads))
        self.tried.append(insert)
        if self.away_times > 0:
            self.away_times -= 1
            raise StoreUnavailable("the store is restarting", self.retry_after_s)
        if self.bad & set(payloads):
            raise StoreRefused("cannot parse this")
        self.inserts.append(insert)


@contextmanager
def collecting(
    store: Store | FakeStore, clock: Clock, config: CollectorConfig | None = None
) -> Iterator[Collector]:
    collector = Collector(config or CollectorConfig(batch_ms=5), store, clock, CollectorRegistry())
    try:
        yield collector
    finally:
        collector.close()


@contextmanager
def serving(collector: Collector) -> Iterator[str]:
    """The collector's HTTP app on a real socket; gives its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # From here on connections wait in the backlog, so nobody needs to wait for the server to be up.
    listener.listen(64)
    server = uvicorn.Server(
        uvicorn.Config(
            collector.http_app, log_level="warning", lifespan="off", ws="none", proxy_headers=False
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
