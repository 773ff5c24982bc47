"""The only place that reads the clock. Everything else is given a Clock or a time."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is (aware, UTC), and how to wait."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC, with microseconds."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never go backwards; for measuring durations."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or `timeout_s` of this clock passed; True if it is set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the one place

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


class ManualClock:
    """A clock that moves only when told to: for simulations, scenarios and tests."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = start.astimezone(UTC)
        self._start = self._now

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return (self._now - self._start).total_seconds()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waiting is what moves this clock: the time is over at once."""
        if not event.is_set():
            self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> datetime:
        """Move forward by `seconds` (≥ 0) and return the new time."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += timedelta(seconds=seconds)
        return self._now

    def move_to(self, when: datetime) -> datetime:
        """Move forward to `when`; a time already past is refused."""
        return self.advance((when - self._now).total_seconds())
