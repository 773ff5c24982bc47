"""Who is measured: `stallwatch serve` and rotel, each a process of its own that is stopped at the end; and the sink."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

import httpx
import msgspec

from benchmarks.sink import Counts
from stallwatch.clock import SystemClock

ROOT: Final = Path(__file__).parents[1]
_STALLWATCH: Final = Path(sys.executable).with_name("stallwatch")
_WAIT_S: Final = 60.0
_PAUSE_S: Final = 0.05
_QUIET_S: Final = 3.0
"""When nothing more was forwarded for so long, nothing more comes."""
_SETTINGS: Final = """
[store]
url = "{url}"
state = "{folder}/state"
[collector]
otlp_http = "127.0.0.1:0"
otlp_grpc = "127.0.0.1:0"
[web]
listen = "127.0.0.1:0"
[telemetry]
log_level = "error"
"""


@dataclass(frozen=True)
class Contestant:
    """A collector that runs."""

    name: str
    pid: int
    http: str
    """host:port of OTLP/HTTP."""
    grpc: str
    web: str = ""

    def address(self, grpc: bool) -> str:
        return self.grpc if grpc else self.http

    def ask(self, sql: str) -> str:
        """A value from the public views, as of now: what was acknowledged is folded before."""
        answer = httpx.post(f"http://{self.web}/clickhouse", content=sql, timeout=_WAIT_S)
        answer.raise_for_status()
        return answer.text.strip()


class SinkProcess:
    """A `benchmarks.sink` that runs."""

    def __init__(self, port: int, client: httpx.Client) -> None:
        self.address = f"127.0.0.1:{port}"
        self._client = client
        self._counts = self.counts()

    def counts(self) -> Counts:
        """What came since the sink was started."""
        answer = self._client.get(f"http://{self.address}/counts")
        return msgspec.json.decode(answer.content, type=Counts)

    def wait_for(self, spans: int) -> int:
        """Return when so many spans more came than at the last call, or none did for a while; how many came."""
        clock, pause = SystemClock(), threading.Event()
        before, last = self._counts, self.counts()
        moved_s = clock.monotonic_s()
        while last.spans - before.spans < spans and clock.monotonic_s() - moved_s < _QUIET_S:
            clock.wait(pause, _PAUSE_S)
            now = self.counts()
            if now != last:
                last, moved_s = now, clock.monotonic_s()
        self._counts = last
        return last.spans - before.spans


@contextmanager
def sink(folder: Path) -> Iterator[SinkProcess]:
    """A sink for the length of a block."""
    command = [sys.executable, "-m", "benchmarks.sink", str(folder)]
    with (
        _running(command, stdout=subprocess.PIPE) as process,
        httpx.Client(timeout=_WAIT_S) as client,
    ):
        assert process.stdout is not None
        yield SinkProcess(int(process.stdout.readline()), client)


@contextmanager
def stallwatch(name: str, folder: Path, url: str, roles: str) -> Iterator[Contestant]:
    """A `stallwatch serve` on the store at `url` that listens on ports of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "stallwatch.toml"
    config.write_text(_SETTINGS.format(url=url, folder=folder), encoding="utf-8")
    command = [str(_STALLWATCH), "serve", "--roles", roles, "--config", str(config)]
    with _running(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        told = _addresses(process.stderr)
        # Whatever else it says must not fill the pipe.
        reader = threading.Thread(target=process.stderr.read, name="stderr", daemon=True)
        reader.start()
        yield Contestant(
            name,
            process.pid,
            told["OTLP/HTTP and /v1/events"],
            told["OTLP/gRPC"],
            told.get("web", ""),
        )


def rotel_agent() -> Path | None:
    """The program in the package `rotel`, if that is installed."""
    found = find_spec("rotel")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).with_name("rotel-agent")


@contextmanager
def rotel(
    name: str, agent: Path, folder: Path, sink_address: str, compression: str
) -> Iterator[Contestant]:
    """rotel with its ClickHouse exporter; `compression` is `none` or `lz4` (its default). All else as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    http, grpc = (f"127.0.0.1:{port}" for port in _free_ports(2))
    command = [
        str(agent),
        "start",
        *("--pid-file", str(folder / "pid"), "--log-file", str(folder / "log")),
        *("--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc),
        *("--exporter", "clickhouse", "--clickhouse-exporter-endpoint", f"http://{sink_address}"),
        *("--clickhouse-exporter-compression", compression),
    ]
    with _running(command, stdout=subprocess.DEVNULL) as process:
        for address in (http, grpc):
            _wait_for_listener(address)
        yield Contestant(name, process.pid, http, grpc)


@contextmanager
def _running(
    command: list[str], stdout: int | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _addresses(stream: IO[str]) -> dict[str, str]:
    """What `serve` prints once it listens: a name and an address a line, OTLP/gRPC last."""
    said, told = [], {}
    for line in stream:
        said.append(line)
        name, _, address = line.strip().partition(": ")
        told[name] = address.removeprefix("http://")
        if name == "OTLP/gRPC":
            return told
    raise RuntimeError(f"stallwatch serve did not start: {''.join(said)}")


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _wait_for_listener(address: str) -> None:
    clock, pause = SystemClock(), threading.Event()
    host, _, port = address.rpartition(":")
    deadline_s = clock.monotonic_s() + _WAIT_S
    while True:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            if clock.monotonic_s() > deadline_s:
                raise
            clock.wait(pause, _PAUSE_S)
        else:
            return
