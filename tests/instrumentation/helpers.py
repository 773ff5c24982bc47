"""A receiver of OTLP logs on a real socket, and spans of the real SDK."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer
from stallwatch_otel import StallwatchSpanProcessor

from stallwatch.clock import SystemClock

WAIT_S: Final = 30.0
FAST: Final[dict[str, Any]] = {"report_after_s": 0.02, "heartbeat_s": 0.05}
STEP: Final = {
    "stallwatch.workflow": "order",
    "stallwatch.execution_id": "o-1",
    "stallwatch.step": "charge",
}


@dataclass
class Said:
    """One log record as it came over the wire, its attributes without the prefix."""

    name: str
    fields: dict[str, Any]
    record: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Receiver:
    """Answers as told (200 when nothing is left to tell), and remembers."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    taken: list[Said] = field(default_factory=list)
    """Records that were answered with 200."""
    poison: str = ""
    """Requests in which this stands are answered with 400."""
    gate: threading.Event = field(default_factory=threading.Event)
    """No answer before it is set."""

    def names(self) -> list[str]:
        return [said.name.removeprefix("stallwatch.") for said in self.taken]

    def wait_for(self, condition: Callable[["Receiver"], bool]) -> None:
        until(lambda: condition(self))

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = json.loads(body)
        self.requests.append((path, headers, request))
        status, said, answer = self.answers.pop(0) if self.answers else (200, {}, b"{}")
        if self.poison and self.poison.encode() in body:
            status = 400
        if status == 200:
            self.taken.extend(records_of(request))
        assert self.gate.wait(WAIT_S)
        return status, said, answer


def records_of(request: dict[str, Any]) -> Iterator[Said]:
    for group in request["resourceLogs"]:
        resource = _plain(group["resource"]["attributes"])
        for scope in group["scopeLogs"]:
            for record in scope["logRecords"]:
                fields = {
                    key.removeprefix("stallwatch."): value
                    for key, value in _plain(record["attributes"]).items()
                }
                yield Said(record["eventName"], fields, record, resource)


def _plain(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in pairs}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            status, said, answer = receiver.take(self.path, headers, body)
            self.send_response(status)
            for key, value in said.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            receiver.requests.append((f"GET {self.path}", {}, {}))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def tracing(processor: StallwatchSpanProcessor, **options: Any) -> Iterator[Tracer]:
    """A tracer whose spans the processor sees."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False, **options
    )
    provider.add_span_processor(processor)
    try:
        yield provider.get_tracer("shop")
    finally:
        provider.shutdown()


def step(tracer: Tracer, name: str = "charge", **more: Any) -> Span:
    """A span that is begun and marked."""
    return tracer.start_span(name, attributes={**STEP, **more})


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; asked often."""
    clock, pause = SystemClock(), threading.Event()
    deadline_s = clock.monotonic_s() + WAIT_S
    while not condition():
        assert clock.monotonic_s() < deadline_s, "it never came to hold"
        clock.wait(pause, 0.01)
