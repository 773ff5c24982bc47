"""How often detectors are asked, and how long one may take: a slow one must not delay another.

Each has its tick length. One whose statement takes longer than the budget is stopped: it is skipped, counted, and its
findings stay as they are. One that takes long is asked again only after it has rested REST times as long, so that all
slow ones together leave the thread to the others. Detectors compute what holds now, so a skipped tick loses nothing.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from opentelemetry.metrics import Meter

from detectors.registry import DETECTORS
from stallwatch.clock import Clock

BUDGET_S: Final = 5.0
REST: Final = 3.0


class Pace:
    """For the one thread that ticks."""

    def __init__(self, clock: Clock, meter: Meter, budget_s: float = BUDGET_S) -> None:
        self.budget_s = budget_s
        self._clock = clock
        self._due_at: dict[str, datetime] = {}
        self._took_s: dict[str, float] = {}
        self._seconds = meter.create_histogram(
            "stallwatch.detector", "s", "How long a detector took"
        )
        self._skipped = meter.create_counter(
            "stallwatch.detector.skipped", "1", "Ticks in which a detector was over its budget"
        )

    def due(self, now: datetime) -> list[str]:
        """The detectors whose tick length has passed."""
        return [one.id for one in DETECTORS if self._due_at.get(one.id, now) <= now]

    def asked(self, detectors: Collection[str], now: datetime) -> None:
        """Note that these were asked at a tick that began at `now`."""
        for one in DETECTORS:
            if one.id in detectors:
                rest_s = max(one.every_s, REST * self._took_s.pop(one.id, 0.0))
                self._due_at[one.id] = now + timedelta(seconds=rest_s)

    @contextmanager
    def timing(self, detector: str) -> Iterator[None]:
        """Measures the block that asks a detector, however it ends."""
        began_s = self._clock.monotonic_s()
        try:
            yield
        finally:
            took_s = self._clock.monotonic_s() - began_s
            self._took_s[detector] = took_s
            self._seconds.record(took_s, {"detector": detector})

    def skipped(self, detector: str) -> None:
        """Count a tick in which the detector was over its budget."""
        self._skipped.add(1, {"detector": detector})
