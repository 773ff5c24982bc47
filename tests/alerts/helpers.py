"""Findings, messages and real HTTP stand-ins for the alert tests."""

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from alerts.message import Message, build_message
from stallwatch.model.findings import Finding, Incident, Severity, Status

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden"


def finding(
    fingerprint: str = "f1",
    *,
    status: Status = Status.FIRING,
    severity: Severity = Severity.WARNING,
    detector: str = "stalled_step",
    workflow: str = "order",
    step: str = "charge",
    executions: tuple[str, ...] = ("o-1",),
    count: int = 1,
    number: int = 1,
) -> Finding:
    return Finding(
        detector=detector,
        severity=severity,
        status=status,
        namespace="shop",
        engine="temporal",
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        first_seen=NOW - timedelta(minutes=5),
        last_seen=NOW,
        fingerprint=fingerprint,
        title=f"{step} of {workflow} is stalled",
        explanation=f"{step} of {workflow} runs for 5m; 99 of 100 took less than 8s.",
        evidence={"p99_s": 8.0},
        next_steps=("look at the worker of payments",),
        number=number,
    )


def incident(*findings: Finding, closed_at: datetime | None = None) -> Incident:
    held = findings or (finding(),)
    return Incident(
        id="0123456789abcdef",
        cause=held[0].title,
        severity=held[0].severity,
        opened_at=NOW,
        closed_at=closed_at,
        findings=held,
    )


def message(
    *findings: Finding, closed_at: datetime | None = None, number: int = 1, why: str = ""
) -> Message:
    return build_message(
        incident(*findings, closed_at=closed_at),
        receiver="oncall",
        number=number,
        why=why,
        external_url="https://stallwatch.example.com",
    )


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class StandIn:
    """An HTTP server that keeps what it was sent; `answer` decides what it says."""

    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Answer] = lambda _: Answer()
    url: str = ""

    def script(self, *answers: Answer) -> None:
        """Give these answers in turn; the last one stays."""
        left = list(answers)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def stand_in(tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            request = Request(self.path, dict(self.headers.items()), body)
            state.requests.append(request)
            answer = state.answer(request)
            payload = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Drip:
    """A server that answers a byte at a time, `sent` of them; `left` is set when its client goes away first."""

    url: str = ""
    sent: int = 0
    left: threading.Event = field(default_factory=threading.Event)


@contextmanager
def drip(beginning: bytes, byte: bytes = b"x", tls: ssl.SSLContext | None = None) -> Iterator[Drip]:
    """Answers `beginning` at once and then `byte` again and again, for 5 s unless the client goes away."""
    state = Drip()
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100_000)
            try:
                self.request.sendall(beginning)
                for _ in range(250):
                    if stopped.wait(0.02):
                        return
                    self.request.sendall(byte)
                    state.sent += 1
            except OSError:
                state.left.set()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
