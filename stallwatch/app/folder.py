"""The thread that folds: soon after each commit, never twice at once, and less often when folding takes long."""

import logging
import threading
from datetime import datetime
from typing import Final, Protocol

from opentelemetry.metrics import Meter

from stallwatch.clock import Clock
from stallwatch.errors import StallwatchError

PAUSE_MIN_S: Final = 2.0
PAUSE_AFTER_LITTLE_S: Final = 5.0
LITTLE: Final = 1000
"""Fewer executions than this take longer to plan than to fold: they may gather, and who reads folds them before."""
REST_S: Final = 2.5
"""Who asks every second folds every third one at most: what trickles in costs as much as a thousand executions."""
RETRY_S: Final = 2.0
_log = logging.getLogger(__name__)


class Foldable(Protocol):
    """What the folder needs of the store."""

    def fold(self, now: datetime) -> int: ...


class Folder:
    """Folds what was committed. Readers that must see their own writes call `catch_up`."""

    def __init__(self, store: Foldable, clock: Clock, meter: Meter) -> None:
        self._store = store
        self._clock = clock
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._folded_at_s = self._rested_at_s = 0.0
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="folder", daemon=True)
        self._seconds = meter.create_histogram(
            "stallwatch.fold.duration", "s", "How long one fold took"
        )
        self._executions = meter.create_counter(
            "stallwatch.folded.executions", "1", "Executions folded"
        )
        self._failures = meter.create_counter(
            "stallwatch.fold.failures", "1", "Folds that failed and are tried again"
        )

    def start(self) -> None:
        """Begin; what was committed before and not folded comes first."""
        self._dirty.set()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread does its work."""
        return self._thread.is_alive()

    def committed(self) -> None:
        """Note that there is something to fold."""
        self._dirty.set()

    def catch_up(self) -> None:
        """Return when everything committed before this call is folded."""
        self._fold()

    def catch_up_when_rested(self) -> bool:
        """The same for who comes again soon. False: something waits, and REST_S have not passed since the last time."""
        waits = self._dirty.is_set()
        if waits and self._clock.monotonic_s() < self._rested_at_s:
            return False
        self._fold()
        if waits:
            self._rested_at_s = self._clock.monotonic_s() + REST_S
        return True

    def stop(self) -> None:
        """End after a last fold."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join()
        try:
            self.catch_up()
        except StallwatchError as error:
            # What is committed is folded at the next start; the other parts must still be stopped.
            _log.warning("the last fold failed", extra={"reason": str(error)})

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.is_set():
            self._dirty.wait()
            started_s = self._clock.monotonic_s()
            early_s = self._folded_at_s + pause_s - started_s
            if early_s > 0:
                # Others fold as well, and how long is waited counts from them.
                self._clock.wait(self._stopping, early_s)
                continue
            try:
                folded = self._fold()
                took_s = self._clock.monotonic_s() - started_s
                pause_s = PAUSE_AFTER_LITTLE_S if folded < LITTLE else max(PAUSE_MIN_S, took_s)
                self._told = ""
            except StallwatchError as error:
                if str(error) != self._told:
                    # While the store is away it fails again and again.
                    self._told = str(error)
                    _log.error("fold failed, will be tried again", extra={"reason": self._told})
                self._failures.add(1)
                self._dirty.set()
                self._clock.wait(self._stopping, RETRY_S)

    def _fold(self) -> int:
        # Cleared first: what is committed while this fold runs asks for another.
        self._dirty.clear()
        began_s = self._clock.monotonic_s()
        folded = self._store.fold(self._clock.now())
        self._folded_at_s = self._clock.monotonic_s()
        if folded:
            self._seconds.record(self._folded_at_s - began_s)
            self._executions.add(folded)
        return folded
