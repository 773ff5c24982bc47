"""Does memory stay flat? `python -m tests.app.soak --minutes 20`: a service at a fixed rate, a line a minute.

Exit status 1 if it used more memory towards the end than after its first quarter, or if anything was not taken.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from stallwatch.clock import SystemClock
from tests import spans
from tests.app.running import WAIT_S, Place, Running

REQUEST_SPANS: Final = 100
TRACE_SPANS: Final = 10
SENDERS: Final = 4
"""At once, since a sender waits for its answer, which takes longer than its turn."""
LOOK_S: Final = 5.0
GROWTH_MAX: Final = 1.10
CLOCK: Final = SystemClock()


def rss_mib(running: Running) -> float:
    """Resident memory of the service's process."""
    for line in Path(f"/proc/{running.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("it has ended")


def request(number: int) -> bytes:
    """Ten traces, new in every request; two of them are workflows: one span in five is a step or its execution."""
    at = CLOCK.now() - timedelta(seconds=2)
    told: list[spans.Span] = []
    for trace in range(REQUEST_SPANS // TRACE_SPANS):
        marked = {
            "stallwatch.workflow": "soak",
            "stallwatch.execution_id": f"soak-{number}-{trace}",
        }
        root = spans.Span("soak", at, 2.0, attributes=marked if trace % 5 == 0 else {})
        told.append(root)
        told += [
            spans.Span(
                f"step-{n}",
                at + timedelta(seconds=0.2 * n),
                0.1,
                trace_id=root.trace_id,
                parent_span_id=root.span_id,
            )
            for n in range(TRACE_SPANS - 1)
        ]
    return spans.request(*told)


class Sender:
    """Requests at a fixed rate over several connections; how long each took to be answered."""

    def __init__(self, running: Running, spans_per_s: float) -> None:
        self.refused = 0
        self.took_s: list[float] = []
        self._numbers = itertools.count()
        self._ending = threading.Event()
        self._pause_s = SENDERS * REQUEST_SPANS / spans_per_s
        self._threads = [threading.Thread(target=self._run, args=[running]) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, running: Running) -> None:
        due_s = CLOCK.monotonic_s()
        headers = {"Content-Type": "application/x-protobuf"}
        with httpx.Client(base_url=running.ingest, timeout=WAIT_S, headers=headers) as client:
            while not self._ending.wait(max(0.0, due_s - CLOCK.monotonic_s())):
                due_s += self._pause_s
                body, began_s = request(next(self._numbers)), CLOCK.monotonic_s()
                if client.post("/v1/traces", content=body).status_code == 200:
                    self.took_s.append(CLOCK.monotonic_s() - began_s)
                else:
                    self.refused += 1


def main() -> int:
    """Run it and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=1000, help="spans a second")
    asked = parser.parse_args()
    sys.stdout.write("minute  spans  refused  ack p50 ms  ack p99 ms  memory MiB\n")
    seen_mib: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Place(Path(folder)).serving() as running,
    ):
        sender = Sender(running, asked.rate)
        began_s, told = CLOCK.monotonic_s(), 0
        while (past_s := CLOCK.monotonic_s() - began_s) < asked.minutes * 60:
            threading.Event().wait(LOOK_S)
            seen_mib.append(rss_mib(running))
            if past_s // 60 > told:
                told += 1
                tell(told, sender, seen_mib[-1])
        sender.end()
        tell(told + 1, sender, seen_mib[-1])
        refused = sender.refused
        assert running.terminate() == 0
    quarter = max(1, len(seen_mib) // 4)
    early = statistics.median(seen_mib[quarter : 2 * quarter])
    late = statistics.median(seen_mib[-quarter:])
    sys.stdout.write(f"memory: {early:.0f} MiB in the second quarter, {late:.0f} MiB in the last\n")
    return int(bool(refused) or late > GROWTH_MAX * early)


def tell(minute: int, sender: Sender, memory_mib: float) -> None:
    """A line of the table."""
    took_ms = sorted(1000 * one for one in sender.took_s)
    p50, p99 = (took_ms[int(share * (len(took_ms) - 1))] for share in (0.5, 0.99))
    sent = REQUEST_SPANS * len(took_ms)
    sys.stdout.write(
        f"{minute:6}  {sent:5}  {sender.refused:7}  {p50:10.0f}  {p99:10.0f}  {memory_mib:10.0f}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
