"""The load: latencies count from when a request was due, refusals are told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import generator
from benchmarks.bodies import Shape
from benchmarks.generator import Load
from stallwatch.clock import SystemClock

HELD_S = 0.3


class _Handler(BaseHTTPRequestHandler):
    """Holds its first answer back, and refuses every third request."""

    protocol_version = "HTTP/1.1"
    seen: list[int]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.seen:
            SystemClock().wait(threading.Event(), HELD_S)
        self.seen.append(len(body))
        self.send_response(503 if len(self.seen) % 3 == 0 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")


@contextmanager
def server() -> Iterator[tuple[str, list[int]]]:
    """A slow server: its address and the sizes of the bodies that it saw."""
    seen: list[int] = []
    handler = type("Handler", (_Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_address[1]}", seen
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("rate_per_s", [None, 100.0])
def test_what_was_sent(rate_per_s: float | None) -> None:
    load = Load(Shape(20), 9, 1_790_000_000_000_000_000, 1, connections=2, rate_per_s=rate_per_s)
    generator._prepare(load)
    with server() as (address, seen):
        sent = generator._run(load, address)
    assert len(seen) == 9
    assert min(seen) > 20 * 300
    assert (sent.spans, sent.refused) == (180, 3)
    assert sent.size_bytes >= sum(seen)


def test_requests_behind_a_slow_answer_waited_too() -> None:
    load = Load(Shape(1), 20, 1_790_000_000_000_000_000, 1, connections=1, rate_per_s=100.0)
    generator._prepare(load)
    with server() as (address, _seen):
        driver = generator._Driver(load, generator._prepared[load], generator._host_port(address))
        driver.run()
    for number, latency_s in enumerate(driver.latencies_s):
        assert latency_s >= HELD_S - number / 100.0
    assert driver.seconds >= 0.19
