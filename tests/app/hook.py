"""A stand-in for whoever receives alerts over HTTP."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.app.running import WAIT_S


@dataclass
class Hook:
    """Takes what is posted to it, or answers 503 while it is `away`."""

    url: str = ""
    away: bool = False
    told: list[str] = field(default_factory=list)
    """What it took: `firing order`, `resolved order`."""
    keys: set[str] = field(default_factory=set)
    """The idempotency keys of what it took."""
    arrived: queue.SimpleQueue[tuple[str, int]] = field(default_factory=queue.SimpleQueue)
    """Everything that came, and how it was answered."""

    def take(self, body: dict[str, Any], key: str) -> int:
        """Note a telling; the status to answer with."""
        labels = body["groupLabels"]
        what = f"{body['status']} {labels['workflow']}"
        status = 503 if self.away else 200
        if not self.away:
            self.told.append(what)
            self.keys.add(key)
        self.arrived.put((what, status))
        return status

    def wait_for(self, what: str, status: int = 200) -> None:
        """Return when this telling came and was answered so."""
        while self.arrived.get(timeout=WAIT_S) != (what, status):
            pass


@contextmanager
def listening() -> Iterator[Hook]:
    """A hook on an address of its own."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = hook.take(body, self.headers["Idempotency-Key"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
