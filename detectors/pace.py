"""How often detectors are asked, and how long one may take: one that is slow or fails must not hold up another.

Each has its tick length. One whose statement takes longer than the budget is stopped: it is skipped, counted, and its
findings stay as they are. One that takes long is asked again only after it has rested REST times as long, so that all
slow ones together leave the thread to the others. Detectors compute what holds now, so a skipped tick loses nothing.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from opentelemetry.metrics import Meter

from detectors.registry import DETECTORS
from stallwatch.clock import Clock

BUDGET_S: Final = 5.0
REST: Final = 3.0

log = logging.getLogger(__name__)


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
        self._failures = meter.create_counter(
            "stallwatch.detector.failures", "1", "Ticks in which a detector failed"
        )
        self._failing: dict[str, str] = {}

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
            if detector in self._failing:
                log.info("detector works again", extra={"detector": detector})
                self._failing = {k: v for k, v in self._failing.items() if k != detector}
        finally:
            took_s = self._clock.monotonic_s() - began_s
            self._took_s[detector] = took_s
            self._seconds.record(took_s, {"detector": detector})

    def skipped(self, detector: str) -> None:
        """Count a tick in which the detector was over its budget."""
        self._skipped.add(1, {"detector": detector})

    def failed(self, detector: str, error: Exception) -> None:
        """Count a tick in which the detector failed; the log tells of the first, and when it fails in another way."""
        self._failures.add(1, {"detector": detector})
        said = f"{type(error).__name__}: {error}"
        if self._failing.get(detector) != said:
            log.error("detector fails", extra={"detector": detector}, exc_info=error)
        # Another mapping, since another thread may be reading this one.
        self._failing = {**self._failing, detector: said}

    @property
    def failing(self) -> Mapping[str, str]:
        """The detectors that failed when they were asked last, and how."""
        return self._failing
