"""A ClickHouse server's HTTP interface over the embedded engine: `python -m tests.clickhouse_twin PATH PORT [VERSION]`.

A process of its own, because an engine keeps its path. It writes the port that it listens on (PORT 0: any) to
standard output. What it knows: sessions with their temporary tables, settings and parameters in the URL, inserts of
raw bodies, compressed inserts, errors with their code. VERSION is what it pretends to be.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
import lz4.frame
from clickhouse_connect.driver._backend.httpcommon import decompress_response
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from stallwatch.store.native_blocks import framed
from stallwatch.store.sql_endpoint import Verbatim

TRANSPORT: Final = frozenset(
    {
        "buffer_size", "client_protocol_version", "compress", "database", "decompress",
        "default_format", "enable_http_compression", "http_headers_progress_interval_ms", "query",
        "query_id", "quota_key", "role", "send_progress_in_http_headers", "session_check",
        "session_id", "session_timeout", "wait_end_of_query",
    }
)  # fmt: skip


class Twin(ThreadingHTTPServer):
    """The server: one engine, a client per session."""

    daemon_threads = True

    def __init__(self, path: str, port: int, version: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.path = path
        self.version = version
        self._sessions: dict[str, Client] = {}
        self._lock = threading.Lock()
        # Keeps the engine open while no session is.
        self._anchor = self.connect()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nobody needs to know that a client was killed or gave up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def connect(self) -> Client:
        return clickhouse_connect.get_client(interface="chdb", path=self.path)

    def session(self, name: str) -> Client:
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = self.connect()
            return self._sessions[name]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Twin

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test's output is the test's."""

    def do_GET(self) -> None:
        self._run(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._run(body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _run(self, body: bytes) -> None:
        url = urlsplit(self.path)
        asked = dict(parse_qsl(url.query, keep_blank_values=True))
        body = inflated(body, self.headers.get("Content-Encoding"))
        if url.path.endswith("/ping") or not (asked.get("query") or body):
            self._answer(200, b"Ok.\n", {})
            return
        settings = {
            name: value
            for name, value in asked.items()
            if name not in TRANSPORT and not name.startswith("param_")
        }
        # What is read-only stays so until its client is closed.
        lasting = "session_id" in asked and "readonly" not in settings
        client = self.server.session(asked["session_id"]) if lasting else self.server.connect()
        try:
            self._answer(*self._execute(client, asked, body, settings))
        except DatabaseError as error:
            code = str(error.code or 1002)
            self._answer(500, f"{error}\n".encode(), {"X-ClickHouse-Exception-Code": code})
        finally:
            if not lasting:
                client.close()

    def _execute(
        self, client: Client, asked: dict[str, str], body: bytes, settings: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        if asked.get("query"):
            sql, data = asked["query"], body
        elif body[:6].upper() == b"INSERT" and b" FORMAT " in body.split(b"\n", 1)[0]:
            first_line, _, data = body.partition(b"\n")
            sql = first_line.decode()
        else:
            sql, data = body.decode(), b""
        client.database = asked.get("database") or "default"
        if sql[:6].upper() == "INSERT" and data:
            head, _, format_ = sql.strip().rpartition(" FORMAT ")
            client.raw_insert(
                head.split(None, 2)[2],
                insert_block=data,
                fmt=format_,
                settings=settings,
            )
            return 200, b"", {"X-ClickHouse-Summary": "{}"}
        if settings.pop("readonly", "0") != "0":
            for name, value in settings.items():
                client.set_client_setting(name, value)
            settings = {}
            client.command("SET readonly = 1")
        if self.server.version:
            sql = sql.replace("SELECT version()", f"SELECT '{self.server.version}'")
        given = {
            name.removeprefix("param_"): Verbatim(value)
            for name, value in asked.items()
            if name.startswith("param_")
        }
        result = client.raw_query(sql, parameters=given or None, settings=settings)
        if sql.rstrip().endswith("FORMAT Native"):
            result = framed(result, int(asked.get("client_protocol_version", "0")))
        return 200, result, {"X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": "{}"}

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def inflated(body: bytes, encoding: str | None) -> bytes:
    """A body as it was before its Content-Encoding."""
    # The library's own function gives at most as many bytes as were compressed.
    return lz4.frame.decompress(body) if encoding == "lz4" else decompress_response(body, encoding)


def main() -> None:
    """Serve until killed."""
    path, port, *version = sys.argv[1:]
    twin = Twin(path, int(port), version[0] if version else "")
    sys.stdout.write(f"{twin.server_address[1]}\n")
    sys.stdout.flush()
    twin.serve_forever()


if __name__ == "__main__":
    main()
