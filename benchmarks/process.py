"""What a process costs, as Linux counts it: CPU seconds and resident memory, its children's included."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_S: Final = 0.05
_SCHEDULED: Final = 2
"""The kernel's name for the clock of the time that a process ran."""


def cpu_s(pid: int) -> float:
    """User and system time of a process, threads that ended included, and of its children, living or waited for."""
    # Linux makes the clock of any process out of its id (clock_getcpuclockid(3)); /proc counts in steps of 10 ms.
    own_s = time.clock_gettime(~pid << 3 | _SCHEDULED)
    # The name in parentheses may hold anything; the fields count from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    waited_for_s = sum(int(field) for field in fields[13:15]) / _TICKS_PER_S
    return own_s + waited_for_s + _of_children(pid, cpu_s)


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and its living children."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES + int(_of_children(pid, memory_bytes))


@dataclass
class Peak:
    """The largest memory seen."""

    size_bytes: int = 0


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """Looks at the memory of a process twenty times a second for the length of a block."""
    peak, done = Peak(memory_bytes(pid)), threading.Event()

    def watch() -> None:
        while not done.wait(_SAMPLE_S):
            peak.size_bytes = max(peak.size_bytes, memory_bytes(pid))

    watcher = threading.Thread(target=watch, name="peak-memory")
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _of_children(pid: int, measure: Callable[[int], float]) -> float:
    """The sum over the living children; one that ends while it is looked at counts as nothing."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread ends between its listing and its reading as easily as a child does.
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                with suppress(OSError):
                    total += measure(int(child))
    return total
