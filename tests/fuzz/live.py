"""A real `serve` under garbage on all its sockets, with good requests in between that must all land, once."""

import contextlib
import gzip
import itertools
import json
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import quote, quote_from_bytes, urlsplit

import grpc
import httpx

from stallwatch.clock import SystemClock
from tests.app.loader import STEPS, Parcel, parcels
from tests.app.running import Running
from tests.fuzz import corpus
from tests.fuzz.mutating import TEXTS, mutate_bytes, mutate_json, mutate_protobuf

TIMEOUT_S: Final = 60.0
"""What takes longer is a hang."""
THREADS: Final = 8
ALLOWED: Final = frozenset({429, 503})
"""Of the answers from 500 up, and when too much is sent."""
_GRPC_DEFECTS: Final = frozenset({"UNKNOWN", "INTERNAL", "DEADLINE_EXCEEDED", "DATA_LOSS"})
_SERVICES: Final = ("trace", "logs", "metrics")
_MEDIA: Final = (
    "application/json", "application/x-protobuf", "application/x-ndjson", "application/cloudevents+json",
    "application/json; charset=utf-8", "text/plain", "", "application/json; charset=\"\\", "multipart/form-data",
)  # fmt: skip
_PATHS: Final = (
    "/api/findings", "/api/incidents", "/api/executions", "/api/executions/", "/api/steps", "/api/recommendations",
    "/", "/steps", "/executions", "/executions/", "/static/", "/readyz", "/metrics", "/clickhouse",
)  # fmt: skip


@dataclass
class Live:
    """Threads of garbage. `defects`: answers of 5xx, silence, a dead process, an error logged."""

    running: Running
    seed: int
    good_every: int = 1000
    answers: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    rss_max_bytes: int = 0
    _good: list[Parcel] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        prefix = "OTLP/gRPC: "
        said = next(line for line in self.running.said if line.startswith(prefix))
        self.grpc_address = said.removeprefix(prefix).strip()

    @property
    def requests(self) -> int:
        return self.answers.total()

    def attack(self, seconds: float, requests: int) -> None:
        """Send garbage until either is used up, then look whether everything good is there, exactly once."""
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + seconds
        at = clock.now() - timedelta(minutes=30)
        self._parcels = parcels(f"good-{self.seed}", at)
        go_on = lambda: self.requests < requests and clock.monotonic_s() < deadline_s  # noqa: E731
        threads = [
            threading.Thread(target=self._run, args=(Random(self.seed + n), go_on))
            for n in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._tell_good()
        self._look_for_good()
        self.defects += [line for line in self.running.said if '"level": "error"' in line][:20]

    def _run(self, random: Random, go_on: Callable[[], bool]) -> None:
        # Control runs the detectors over a day: seldom.
        kinds = (
            *[self._ingest] * 7,
            self._web,
            self._web,
            *[self._grpc] * 3,
            self._sql,
            self._socket,
            self._control,
        )
        with (
            httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client,
            grpc.insecure_channel(self.grpc_address) as channel,
        ):
            for number in itertools.count(1):
                if not go_on() or len(self.defects) > 20:
                    return
                kind = random.choice(kinds)
                try:
                    kind(random, client, channel)
                except httpx.TimeoutException as error:
                    self._defect(f"{kind.__name__}: no answer: {error!r}")
                except httpx.HTTPError as error:
                    # A server may close on what is no HTTP; whether it lives, the good requests tell.
                    self._count(type(error).__name__)
                if number % max(1, self.good_every // THREADS) == 0:
                    self._tell_good()

    # Garbage -----------------------------------------------------------------------------------

    def _ingest(self, random: Random, client: httpx.Client, _channel: grpc.Channel) -> None:
        path, media, body = _body(random)
        headers = {"content-type": random.choice(_MEDIA) if random.random() < 0.1 else media}
        match random.randrange(12):
            case 0:
                headers["content-encoding"], body = "gzip", gzip.compress(body, 1)
            case 1:
                headers["content-encoding"], body = "deflate", zlib.compress(body)
            case 2:
                headers["content-encoding"] = random.choice(
                    ["gzip", "deflate", "zstd", "br", "\x7f"]
                )
            case 3:
                headers["content-encoding"] = "gzip"
                body = mutate_bytes(gzip.compress(body, 1), random)
            case 4:
                name = random.choice(
                    ["stallwatch-sender", "user-agent", "ce-specversion", "ce-type"]
                )
                headers[name] = quote(random.choice(TEXTS), safe=" ")
            case _:
                pass
        self._http(client, "POST", f"{self.running.ingest}{path}", content=body, headers=headers)

    def _web(self, random: Random, client: httpx.Client, _channel: grpc.Channel) -> None:
        path = random.choice(_PATHS)
        if path.endswith("/") and path != "/":
            path += quote_from_bytes(mutate_bytes(b"order-1/%2F..", random))
        query = mutate_bytes(random.choice(corpus.queries()), random)
        text = quote_from_bytes(query, safe="&=%+-:")
        method = random.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "X"])
        self._http(client, method, f"{self.running.web}{path}?{text}")

    def _sql(self, random: Random, client: httpx.Client, _channel: grpc.Channel) -> None:
        statement = random.choice(_STATEMENTS)
        parameters = {"param_x": random.choice(TEXTS), "default_format": random.choice(_FORMATS)}
        url = f"{self.running.web}/clickhouse?" + "&".join(
            f"{name}={quote(value, errors='surrogatepass')}" for name, value in parameters.items()
        )
        self._http(client, "POST", url, content=mutate_bytes(statement, random))

    def _control(self, random: Random, client: httpx.Client, _channel: grpc.Channel) -> None:
        seed = random.choice(
            [b'{"execution_id": "x"}', b'{"at": "now", "only": []}', b"[]", b"7", b"[" * 5000]
        )
        url = f"{self.running.web}/control/{random.choice(['forget', 'detect', 'fold', 'x'])}"
        headers = {"content-type": "application/json"}
        self._http(client, "POST", url, content=mutate_json(seed, random), headers=headers)

    def _grpc(self, random: Random, _client: httpx.Client, channel: grpc.Channel) -> None:
        signal = random.randrange(3)
        bodies = (corpus.traces(), corpus.logs(), corpus.metrics())[signal]
        name = _SERVICES[signal]
        export = channel.unary_unary(
            f"/opentelemetry.proto.collector.{name}.v1.{'Trace' if signal == 0 else name.title()}Service/Export"
        )
        metadata = (("stallwatch-sender", quote(random.choice(TEXTS), safe=" ")),)
        compression = random.choice([None, grpc.Compression.Gzip, grpc.Compression.Deflate])
        body = mutate_protobuf(random.choice(bodies), random)
        try:
            export(body, timeout=TIMEOUT_S, metadata=metadata, compression=compression)
            self._count("gRPC OK")
        except grpc.RpcError as error:
            code = error.code().name
            self._count(f"gRPC {code}")
            if code in _GRPC_DEFECTS:
                self._defect(f"gRPC {name}: {code} {error.details()} to {body[:2000]!r}")

    def _socket(self, random: Random, _client: httpx.Client, _channel: grpc.Channel) -> None:
        """What is hardly HTTP, or hardly HTTP/2."""
        url = random.choice([self.running.web, self.running.ingest, f"http://{self.grpc_address}"])
        parts = urlsplit(url)
        raw = mutate_bytes(random.choice(_RAW), random)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(
                (parts.hostname or "", parts.port or 0), TIMEOUT_S
            ) as connection,
        ):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.2)
            answer = connection.recv(64)
            if answer.startswith(b"HTTP/1.1 5"):
                self._defect(f"{answer!r} to {raw!r}")
        self._count("raw")

    # What must work nevertheless ---------------------------------------------------------------

    def _tell_good(self) -> None:
        with self._lock:
            some = list(itertools.islice(self._parcels, 2))
        with httpx.Client(base_url=self.running.ingest, timeout=TIMEOUT_S) as client:
            for parcel in some:
                if parcel.send(client):
                    self._good.append(parcel)
                else:
                    self._defect(f"a good request was refused after {self.requests}")
        status = Path(f"/proc/{self.running.pid}/status").read_text(encoding="ascii")
        rss_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        self.rss_max_bytes = max(self.rss_max_bytes, int(rss_kb) * 1024)

    def _look_for_good(self) -> None:
        rows = self.running.select(
            "SELECT execution_id, count() AS n, countIf(status = 'completed') AS completed, uniqExact(step) AS steps "
            f"FROM attempts WHERE startsWith(execution_id, 'good-{self.seed}') GROUP BY execution_id"
        )
        found = {row["execution_id"]: (row["n"], row["completed"], row["steps"]) for row in rows}
        for parcel in self._good:
            numbers = tuple(int(n) for n in found.get(parcel.execution_id, ()))
            if numbers != (STEPS,) * 3:
                self._defect(f"{parcel.execution_id} of {parcel.path} became {numbers}")

    # Bookkeeping -------------------------------------------------------------------------------

    def _http(
        self, client: httpx.Client, method: str, url: str, **said: bytes | dict[str, str]
    ) -> None:
        try:
            answer = client.request(method, url, **said)  # type: ignore[arg-type]
        except (httpx.InvalidURL, UnicodeEncodeError):
            return
        self._count(str(answer.status_code))
        if answer.status_code >= 500 and answer.status_code not in ALLOWED:
            told = {
                name: value[:2000] if isinstance(value, bytes) else value
                for name, value in said.items()
            }
            self._defect(f"{answer.status_code} {answer.text[:300]} to {method} {url} {told}")

    def _count(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1

    def _defect(self, what: str) -> None:
        with self._lock:
            self.defects.append(what)


def _body(random: Random) -> tuple[str, str, bytes]:
    """(path, content type, body)."""
    match random.randrange(4):
        case 0:
            seed = random.choice(corpus.otlp_bodies())
            name = ("traces", "logs", "metrics")[seed[0]]
            return f"/v1/{name}", "application/x-protobuf", mutate_protobuf(seed[1:], random)
        case 1:
            seed = random.choice(corpus.otlp_texts())
            name = ("traces", "logs", "metrics")[seed[0]]
            return f"/v1/{name}", "application/json", mutate_json(seed[1:], random)
        case 2:
            return "/v1/events", "application/json", mutate_json(_now(corpus.EVENT), random)
        case _:
            seed = _now(random.choice([corpus.CLOUD, corpus.PLAIN_CLOUD]))
            return "/v1/events", "application/cloudevents+json", mutate_json(seed, random)


def _now(said: object) -> bytes:
    return json.dumps(said).encode()


def frames() -> Iterator[bytes]:
    """HTTP/2 as a client begins it."""
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x05\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x00"


_RAW: Final = (
    b"GET /api/findings HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /executions/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
    b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    *frames(),
)
_FORMATS: Final = (
    "JSON",
    "JSONEachRow",
    "TabSeparated",
    "CSV",
    "Native",
    "Null",
    "x",
    "",
    "Parquet",
)
_STATEMENTS: Final = (
    b"SELECT execution_id, status FROM executions LIMIT 3",
    b"SELECT {x:String}, count() FROM attempts GROUP BY 1",
    b"SELECT workflow, quantile(0.9)(duration_s) FROM attempts GROUP BY workflow FORMAT JSON",
    b"WITH a AS (SELECT 1 AS b) SELECT * FROM a, numbers(10) WHERE b IN (SELECT 1)",
    b"SHOW TABLES", b"DESCRIBE TABLE attempts", b"SELECT * FROM system.users",
    b"SELECT arrayJoin(range(10)), toDateTime64('2026-01-01 00:00:00', 6), map('a', 1)['a']",
)  # fmt: skip
