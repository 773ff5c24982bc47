"""What one tick of all detectors costs over a store as it is after four busy weeks, and the hourly calibration.

Goal: all detectors over 1,000,000 open attempts and 100,000,000 past ones in at most 2 s on 2 cores, the memory stated.
The store is written anew in SQL (about 8 GB on the disk, gone afterwards), on the embedded engine. CPU seconds stand
beside the clock's, because other work on the machine changes these only. Merges are waited for first.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from opentelemetry.metrics import NoOpMeter

from benchmarks.detectors import table
from benchmarks.detectors._sweep_data import Size, fill
from benchmarks.process import peak_memory
from detectors.brain import Brain
from detectors.pace import Pace
from detectors.registry import DETECTORS
from stallwatch.clock import SystemClock
from stallwatch.config import load_detectors
from stallwatch.store import Store, open_store
from stallwatch.store.state import State

NAME = "What a tick costs"
FULL: Final = Size(past=100_000_000, open=1_000_000)
QUICK: Final = Size(past=1_000_000, open=10_000)
TICKS: Final = 3
NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
NO_BUDGET_S: Final = 600.0
SETTLED_WITHIN_S: Final = 600
_MIB: Final = 1024 * 1024


class Stopwatch(Pace):
    """Keeps how long each detector took, by the clock and in CPU seconds."""

    def __init__(self) -> None:
        super().__init__(SystemClock(), NoOpMeter("sweep"), NO_BUDGET_S)
        self.took: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def timing(self, detector: str) -> Iterator[None]:
        began = time.perf_counter(), time.process_time()
        yield
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        self.took.setdefault(detector, []).append(took)


def measure(quick: bool) -> str:
    """The section's text."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        size = QUICK if quick else FULL
        store = open_store(f"chdb://{Path(folder)}")
        store.migrate(NOW)
        for _ in fill(store, size, NOW):
            pass
        settle(store)
        told = swept(store, size)
        store.close()
    return told


def settle(store: Store) -> None:
    """Wait until what was written is merged, which else counts as the detectors' work."""
    for _ in range(SETTLED_WITHIN_S):
        if not store.select("SELECT 1 FROM system.merges LIMIT 1"):
            return
        threading.Event().wait(1.0)


def swept(store: Store, size: Size) -> str:
    """Calibrate and tick over a store that is filled."""
    watch = Stopwatch()
    brain = Brain(store, State(None), load_detectors({}, "sweep"), NOW - timedelta(days=1), watch)
    rows = []
    with peak_memory(os.getpid()) as peak:
        before = peak.size_bytes
        began = time.perf_counter(), time.process_time()
        brain.calibrate(NOW)
        rows.append(("calibration", *_seconds(began), _mib(peak.size_bytes)))
    with peak_memory(os.getpid()) as peak:
        for number in range(TICKS):
            began = time.perf_counter(), time.process_time()
            brain.tick(NOW + timedelta(seconds=number))
            last = _seconds(began)
        rows.append(("one tick of all detectors", *last, _mib(peak.size_bytes)))
    for detector in DETECTORS:
        took_s, cpu_s = min(watch.took.get(detector.id, [(0.0, 0.0)]))
        rows.append((f"`{detector.id}`", f"{took_s:.3f}", f"{cpu_s:.3f}", ""))
    headings = ("what", "seconds", "CPU seconds", "peak MiB")
    return "\n\n".join(
        (
            f"{size.past:,} past attempts of four weeks, {size.open:,} open ones; a process of "
            f"{before / _MIB:,.0f} MiB before. The tick is the last of {TICKS}, detectors the quickest of {TICKS}.",
            table(headings, rows),
        )
    )


def _seconds(began: tuple[float, float]) -> tuple[str, str]:
    return f"{time.perf_counter() - began[0]:.2f}", f"{time.process_time() - began[1]:.2f}"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:,.0f}"
