"""One measurement: a load, the process that takes it, and what it cost until the last span was where it belongs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

from rich.progress import Progress

from benchmarks.bodies import Shape
from benchmarks.contestants import Contestant
from benchmarks.generator import Generator, Load, Sent
from benchmarks.process import cpu_s, peak_memory
from stallwatch.clock import SystemClock

MIB: Final = 1024 * 1024
_SETTLED_S: Final = 6.0
_SAMPLE_S: Final = 0.5
_AT_REST: Final = 0.06
"""Of a core: a process that uses less has done what it had to do."""


@dataclass(frozen=True)
class Measured:
    """What a load cost."""

    sent: Sent
    cpu_s: float
    peak_bytes: int
    arrived: int
    """Spans seen at the other end."""

    @property
    def rate(self) -> float:
        """Spans per CPU second."""
        return self.sent.spans / self.cpu_s

    @property
    def complete(self) -> bool:
        return self.arrived == self.sent.spans and not self.sent.refused


@dataclass
class Bench:
    """What every case needs."""

    generator: Generator
    folder: Path
    seconds: float
    rounds: int
    progress: Progress
    clock: SystemClock
    command: str = ""
    """How to repeat the case that runs."""

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._pause = threading.Event()

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Shows what is being done."""
        task = self.progress.add_task(text, total=None)
        try:
            yield
        finally:
            self.progress.remove_task(task)

    def load(self, shape: Shape, spans_per_s: float) -> Load:
        """A load for about `seconds`, if so many spans a second are carried; never the same bodies twice."""
        requests = max(2, round(self.seconds * spans_per_s / shape.spans_per_body))
        begin_ns = int(self.clock.now().timestamp() * 1e9)
        return Load(shape, requests, begin_ns, next(self._numbers))

    def measure(self, contestant: Contestant, load: Load, arrived: Callable[[], int]) -> Measured:
        """Send a prepared load and wait until `arrived` returns how many spans came through."""
        before_s = cpu_s(contestant.pid)
        with peak_memory(contestant.pid) as peak:
            sent = self.generator.run(load, contestant.address(load.grpc))
            came = arrived()
            spent_s = cpu_s(contestant.pid) - before_s
        return Measured(sent, spent_s, peak.size_bytes, came)

    def settle(self, pid: int) -> None:
        """Return when the process has come to rest (merges in the background are over), or after a while."""
        until_s = self.clock.monotonic_s() + _SETTLED_S
        before_s = cpu_s(pid)
        while self.clock.monotonic_s() < until_s:
            self.wait(_SAMPLE_S)
            now_s = cpu_s(pid)
            if now_s - before_s < _AT_REST * _SAMPLE_S:
                return
            before_s = now_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.wait(self._pause, seconds)

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        return folder


def rate_of(rounds: Sequence[Measured]) -> float:
    """Spans per CPU second over all rounds."""
    return sum(m.sent.spans for m in rounds) / sum(m.cpu_s for m in rounds)


def ratio_of(ours: Sequence[Measured], theirs: Sequence[Measured]) -> str:
    """The median over the rounds of ours by theirs, with the smallest and the largest: `3.10 (2.90 to 3.30)`."""
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def arrived_of(rounds: Sequence[Measured]) -> str:
    """`all`, or how many of how many."""
    if all(m.complete for m in rounds):
        return "all"
    came, sent = sum(m.arrived for m in rounds), sum(m.sent.spans for m in rounds)
    refused = sum(m.sent.refused for m in rounds)
    return f"{came:,} of {sent:,}" + (f", {refused:,} refused" if refused else "")
