"""A real Step Functions interpreter (moto), and an endpoint before it that can throttle, fail, be away, and answer
what moto cannot: pages of histories, newest first, and what a test scripts.
"""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from stallwatch.clock import SystemClock

WITHIN_S: Final = 30.0
CLOCK: Final = SystemClock()
Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[dict[str, Any]], dict[str, Any] | None]
"""What answers an action, by its parameters; None leaves it to moto."""

# Recorded from AWS: https://docs.aws.amazon.com/step-functions/latest/apireference/CommonErrors.html.
THROTTLED: Final[Answer] = (
    400,
    {"x-amzn-ErrorType": "ThrottlingException"},
    b'{"__type":"ThrottlingException","message":"Rate exceeded"}',
)


def refusal(kind: str, message: str = "no") -> Answer:
    return 400, {}, json.dumps({"__type": kind, "message": message}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def set_aws_environment(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Credentials that nobody has, and none of this machine's own."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        patch.setenv(name, value)


@contextmanager
def moto_server(folder: Path) -> Iterator[int]:
    """The port of a moto server that runs state machines."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        settings = {
            "stepfunctions": {"execute_state_machine": True},
            "lambda": {"use_docker": False},
        }
        body = json.dumps(settings).encode()
        eventually(lambda: _post(port, "/moto-api/config", body), "moto does not start")
        yield port
    finally:
        process.terminate()
        process.wait()


def _post(port: int, path: str, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status < 300
    except OSError:
        return False
    finally:
        connection.close()


def eventually(condition: Callable[[], object], otherwise: str) -> None:
    """Wait, with bounds, for what another process does."""
    since_s = CLOCK.monotonic_s()
    while not condition():
        if CLOCK.monotonic_s() - since_s > WITHIN_S:
            raise AssertionError(otherwise)
        CLOCK.wait(threading.Event(), 0.05)


class Endpoint:
    """Stands before moto. `calls` counts the actions that came, `refuse` answers the next ones instead of moto."""

    def __init__(self, moto_port: int) -> None:
        self.calls: Counter[str] = Counter()
        self.access_keys: set[str] = set()
        self.bodies: list[str] = []
        self.refuse: dict[str, deque[Answer]] = {}
        self.refuse_always: dict[str, Answer] = {}
        self.script: dict[str, Script] = {}
        self.pages_histories = False
        self._moto_port = moto_port
        self._port = free_port()
        self._server: ThreadingHTTPServer | None = None
        self.come()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                status, headers, answer = endpoint.answer(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def go_away(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None

    def close(self) -> None:
        if self._server is not None:
            self.go_away()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        action = headers.get("X-Amz-Target", "").rpartition(".")[2]
        if not action:
            # STS speaks another dialect.
            action = "AssumeRole"
            self.bodies.append(body.decode())
        self.calls[action] += 1
        self.access_keys.add(headers["Authorization"].partition("Credential=")[2].split("/")[0])
        if self.refuse.get(action):
            return self.refuse[action].popleft()
        if action in self.refuse_always:
            return self.refuse_always[action]
        parameters = {} if action == "AssumeRole" else json.loads(body)
        if action in self.script and (scripted := self.script[action](parameters)) is not None:
            return (
                200,
                {"Content-Type": "application/x-amz-json-1.0"},
                json.dumps(scripted).encode(),
            )
        status, answer_headers, answer = self._ask_moto(path, headers, body)
        if action == "GetExecutionHistory" and self.pages_histories and status == 200:
            answer = json.dumps(page_of(json.loads(answer)["events"], parameters)).encode()
        return status, answer_headers, answer

    def _ask_moto(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._moto_port, timeout=30)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            kept = {"Content-Type": response.headers.get("Content-Type", "")}
            return response.status, kept, response.read()
        finally:
            connection.close()


def page_of(events: list[dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """A page as AWS gives it.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
    """
    events = sorted(
        events, key=lambda one: int(one["id"]), reverse=parameters.get("reverseOrder", False)
    )
    start = int(parameters.get("nextToken", 0))
    end = start + parameters.get("maxResults", 100)
    return {"events": events[start:end], **({"nextToken": str(end)} if end < len(events) else {})}


def client_of(url: str, service: str = "stepfunctions") -> Any:
    return boto3.client(service, endpoint_url=url, region_name="us-east-1")  # type: ignore[call-overload]
