"""The load, from a process of its own: prepared requests over raw sockets, so that sending costs little.

`prepare` makes the requests, `run` sends them and says how long each answer took. Whoever measures calls both in the
same process (`Generator` sees to that) and waits meanwhile. What this process costs is not counted.
"""

import multiprocessing
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np

from benchmarks.bodies import Encoding, Shape, bodies, encoded, headers

GRPC_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_READ_BYTES: Final = 64 * 1024
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Load:
    """What to send, and how."""

    shape: Shape
    requests: int
    begin_ns: int
    """When the first span starts; nanoseconds since 1970."""
    seed: int
    encoding: Encoding = "protobuf"
    connections: int = 64
    rate_per_s: float | None = None
    """Requests a second, sent when due, whether or not earlier ones were answered; None: as fast as answered."""
    grpc: bool = False

    @property
    def spans(self) -> int:
        return self.requests * self.shape.spans_per_body


@dataclass(frozen=True)
class Sent:
    """How it went."""

    seconds: float
    spans: int
    size_bytes: int
    """Of all bodies as they were sent."""
    refused: int
    """Answers other than 200 (OK)."""
    latencies_ms: tuple[float, float, float]
    """From when a request was due until its answer: the median, the 99th percentile, the largest."""


class Generator:
    """The load's process. One load at a time."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def prepare(self, load: Load) -> None:
        """Make the requests of a load; keeps only the last one's."""
        self._pool.submit(_prepare, load).result()

    def run(self, load: Load, address: str) -> Sent:
        """Send them to `host:port`. Everything that is not of the load's time is done before its clock starts."""
        return self._pool.submit(_run, load, address).result()


@contextmanager
def generator() -> Iterator[Generator]:
    """A generator for the length of a block."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield Generator(pool)


_prepared: dict[Load, list[bytes]] = {}


def _prepare(load: Load) -> None:
    _prepared.clear()
    made = bodies(load.shape, load.requests, load.begin_ns, load.seed)
    _prepared[load] = [_request(encoded(body, load.encoding), load) for body in made]


def _request(body: bytes, load: Load) -> bytes:
    if load.grpc:
        return body
    head = (
        "POST /v1/traces HTTP/1.1\r\nHost: collector\r\nUser-Agent: benchmark\r\n"
        f"{headers(load.encoding)}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _run(load: Load, address: str) -> Sent:
    requests = _prepared[load]
    if load.grpc:
        return _over_grpc(load, requests, address)
    driver = _Driver(load, requests, _host_port(address))
    driver.run()
    return _sent(load, requests, driver.seconds, driver.refused, driver.latencies_s)


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _sent(
    load: Load, requests: list[bytes], seconds: float, refused: int, latencies_s: list[float]
) -> Sent:
    p50, p99, largest = np.percentile(np.array(latencies_s) * 1000, [50, 99, 100])
    size_bytes = sum(map(len, requests))
    latencies_ms = (float(p50), float(p99), float(largest))
    return Sent(seconds, load.spans, size_bytes, refused, latencies_ms)


class _Connection:
    """One keep-alive connection and the request under way on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, _PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due_s = 0.0
        self.left = memoryview(b"")
        self.answer = b""

    def begin(self, request: bytes, due_s: float) -> None:
        self.left, self.answer, self.due_s = memoryview(request), b"", due_s

    def send(self) -> bool:
        """Whether all of the request is on its way."""
        try:
            while self.left:
                self.left = self.left[self.socket.send(self.left) :]
        except BlockingIOError:
            return False
        return True

    def receive(self) -> int | None:
        """The status once the whole answer is here."""
        piece = self.socket.recv(_READ_BYTES)
        if not piece:
            raise ConnectionError("the server closed a connection that it should keep")
        self.answer += piece
        head, separator, body = self.answer.partition(b"\r\n\r\n")
        if not separator:
            return None
        _, found, rest = head.lower().partition(b"content-length:")
        size = int(rest.split(b"\r\n", 1)[0]) if found else 0
        return int(head[9:12]) if len(body) >= size else None


class _Driver:
    """Sends prepared requests over many connections from one thread.

    A request is due at its turn (`rate_per_s`), or as soon as a connection is free. Connections take turns, so that
    none is idle for so long that the server closes it. When all wait for answers a request is sent late, but its
    latency counts from when it was due: slow answers cannot hide the next ones.
    """

    def __init__(self, load: Load, requests: list[bytes], address: tuple[str, int]) -> None:
        self._interval_s = 1 / load.rate_per_s if load.rate_per_s else 0.0
        self._left = deque(requests)
        self._free = deque(
            _Connection(address) for _ in range(min(load.connections, len(requests)))
        )
        self._selector = selectors.DefaultSelector()
        self._under_way = 0
        self.latencies_s: list[float] = []
        self.refused = 0
        self.seconds = 0.0

    def run(self) -> None:
        began_s = time.perf_counter()
        due_s = began_s
        connections = list(self._free)
        while self._left or self._under_way:
            now_s = time.perf_counter()
            while self._left and self._free and due_s <= now_s:
                self._begin(self._free.popleft(), due_s if self._interval_s else now_s)
                due_s += self._interval_s
            # Where all are busy, the next thing to happen is an answer.
            waits_for_turn = self._left and self._free
            self._wait(max(0.0, due_s - now_s) if waits_for_turn else _PATIENCE_S)
        self.seconds = time.perf_counter() - began_s
        for connection in connections:
            connection.socket.close()

    def _begin(self, connection: _Connection, due_s: float) -> None:
        connection.begin(self._left.popleft(), due_s)
        self._under_way += 1
        done = connection.send()
        events = selectors.EVENT_READ if done else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.register(connection.socket, events, connection)

    def _wait(self, timeout_s: float) -> None:
        ready = self._selector.select(timeout_s)
        if not ready and timeout_s == _PATIENCE_S:
            raise TimeoutError(f"no answer within {_PATIENCE_S:.0f} s")
        for key, events in ready:
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE and connection.send():
                self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            if events & selectors.EVENT_READ and (status := connection.receive()) is not None:
                self.latencies_s.append(time.perf_counter() - connection.due_s)
                self.refused += status != 200
                self._selector.unregister(connection.socket)
                self._free.append(connection)
                self._under_way -= 1


def _over_grpc(load: Load, requests: list[bytes], address: str) -> Sent:
    """Unary calls over a few channels, `connections` of them under way at once."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options) for _ in range(4)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(_PATIENCE_S)
    # Without serializers the calls carry the bytes that they are given.
    calls = [channel.unary_unary(GRPC_METHOD) for channel in channels]
    latencies_s: list[float] = []
    refused = 0
    under_way: deque[tuple[float, grpc.Future]] = deque()
    began_s = time.perf_counter()
    for number, request in enumerate(requests):
        if len(under_way) >= load.connections:
            refused += _ended(under_way.popleft(), latencies_s)
        call = calls[number % len(calls)].future(request, timeout=_PATIENCE_S)
        under_way.append((time.perf_counter(), call))
    while under_way:
        refused += _ended(under_way.popleft(), latencies_s)
    seconds = time.perf_counter() - began_s
    for channel in channels:
        channel.close()
    return _sent(load, requests, seconds, refused, latencies_s)


def _ended(call: tuple[float, grpc.Future], latencies_s: list[float]) -> bool:
    """Wait for a call; whether it was refused."""
    begun_s, future = call
    code = future.code()
    latencies_s.append(time.perf_counter() - begun_s)
    return bool(code is not grpc.StatusCode.OK)
