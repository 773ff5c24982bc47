"""The assembled service and its commands, as their users run them: processes, a folder, real addresses."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from unittest.mock import patch

import httpx
import msgspec

from stallwatch.app.claim import FILE_NAME, Serving
from stallwatch.cli import main
from stallwatch.clock import SystemClock

STALLWATCH: Final = Path(sys.executable).with_name("stallwatch")
ROOT: Final = Path(__file__).parents[2]
WAIT_S: Final = 60.0
"""How long anything may take before a test gives up: the machine may be busy."""
DRAIN_WAIT_S: Final = 600.0
PAUSE_S: Final = 0.1
SETTINGS: Final = """
[store]
url = "chdb://{data}"
[collector]
otlp_http = "127.0.0.1:0"
otlp_grpc = "127.0.0.1:0"
[web]
listen = "127.0.0.1:0"
[telemetry]
log_level = "warning"
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What `--format json` printed."""
        return json.loads(self.out)


def run_here(*argv: str) -> Ended:
    """Run a command in this process. Not for what opens a store: an engine keeps its path until the process ends."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = None
    with (
        patch.object(sys, "argv", ["stallwatch", *argv]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return Ended(code, _text(out), _text(err))


def run_alone(*argv: str, stdin: bytes = b"") -> Ended:
    """Run the installed command as a process of its own."""
    ended = subprocess.run(
        [STALLWATCH, *argv], input=stdin, capture_output=True, timeout=WAIT_S, check=False
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def run_all(commands: Sequence[Sequence[str]]) -> list[Ended]:
    """Run commands one after the other in one process of their own: starting Python once is enough."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.app.running"],
        input=json.dumps(commands).encode(),
        capture_output=True,
        cwd=ROOT,
        timeout=2 * WAIT_S,
        check=True,
    )
    return [Ended(**one) for one in json.loads(ended.stdout)]


def until(condition: Callable[[], bool], wait_s: float = WAIT_S) -> None:
    """Return when the condition holds; asked often."""
    clock, pause = SystemClock(), threading.Event()
    deadline_s = clock.monotonic_s() + wait_s
    while not condition():
        assert clock.monotonic_s() < deadline_s, "it never came to hold"
        clock.wait(pause, PAUSE_S)


@dataclass
class Place:
    """An installation: a folder with a configuration and a data folder that belong to one test."""

    folder: Path
    more: str = ""
    """Further sections of the configuration."""
    url: str = ""
    """The store, where it is not embedded in the data folder."""
    roles: str = ""
    """What of the service runs; empty: all."""
    spooling: str = ""
    """Further lines of the section [collector]."""
    config: Path = field(init=False)
    data: Path = field(init=False)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.config = self.folder / "stallwatch.toml"
        text = SETTINGS.format(data=self.data).replace("[web]", f"{self.spooling}[web]")
        if self.url:
            text = text.replace(f'"chdb://{self.data}"', f'"{self.url}"\nstate = "{self.data}"')
        self.config.write_text(text + self.more, encoding="utf-8")

    def argv(self, *argv: str) -> list[str]:
        """The command's words with this place's configuration behind them."""
        return [*argv, "--config", str(self.config)]

    def here(self, *argv: str) -> Ended:
        """Run a command through the service that serves here."""
        return run_here(*self.argv(*argv))

    @contextmanager
    def serving(self) -> Iterator["Running"]:
        """A `serve` that is ready; killed at the end if it still runs."""
        running = Running(self)
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.kill()


class Running:
    """A `stallwatch serve` in a process of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.said: list[str] = []
        self._ready = threading.Event()
        # The last of the addresses that it prints.
        self._last = "web: " if place.roles and "collector" not in place.roles else "OTLP/gRPC: "
        self._process = subprocess.Popen(
            [STALLWATCH, *place.argv("serve", *(["--roles", place.roles] if place.roles else []))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout])
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return when it listens and says where."""
        assert self._ready.wait(WAIT_S), self.said
        assert self._process.poll() is None, self.said
        if self.place.url:
            self.web, self.ingest = self._printed("web: "), self._printed("OTLP/HTTP")
            return
        announced = (self.place.data / FILE_NAME).read_bytes()
        serving = msgspec.json.decode(announced, type=Serving)
        assert serving.pid == self._process.pid
        self.web, self.ingest = serving.web, serving.ingest

    def _printed(self, what: str) -> str:
        lines = [line for line in self.said if line.startswith(what)]
        return lines[0].rpartition(" ")[2].strip() if lines else ""

    def terminate(self) -> int:
        """SIGTERM; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """SIGKILL, unless it ended already."""
        if self._process.poll() is None:
            self._process.kill()
        self._ended()

    def select(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query over the public views."""
        answer = httpx.post(
            f"{self.web}/clickhouse",
            content=sql,
            params={"default_format": "JSONEachRow"},
            timeout=WAIT_S,
        )
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = httpx.get(f"{self.web}/metrics", timeout=WAIT_S).text.splitlines()
        samples = [line for line in lines if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in samples)

    def until_drained(self) -> None:
        """Return when nothing waits on the collector's disk."""
        until(lambda: self.metric("collector_spool_records") == 0, DRAIN_WAIT_S)

    def tell(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Send step events, all of which must be accepted."""
        answer = httpx.post(f"{self.ingest}/v1/events", json=events, timeout=WAIT_S)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        assert said["accepted"] == len(events), said
        return said

    def _ended(self) -> int:
        code = self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.said.append(line)
                if line.startswith(self._last):
                    self._ready.set()
        self._ready.set()


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


if __name__ == "__main__":
    results = [run_here(*argv) for argv in json.load(sys.stdin)]
    json.dump([vars(one) for one in results], sys.stdout)
