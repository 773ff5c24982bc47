"""The thread that folds: soon after each commit, never twice at once, and less often when folding takes long."""

import logging
import threading
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from stallwatch.clock import Clock
from stallwatch.errors import StallwatchError
from stallwatch.store import Store

PAUSE_MIN_S: Final = 1.0
RETRY_S: Final = 2.0
_log = logging.getLogger(__name__)


class Folder:
    """Folds what was committed. Readers that must see their own writes call `catch_up`."""

    def __init__(self, store: Store, clock: Clock, registry: CollectorRegistry) -> None:
        self._store = store
        self._clock = clock
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folder", daemon=True)
        self._seconds = Histogram(
            "stallwatch_fold_seconds", "Duration of one fold", registry=registry
        )
        self._executions = Counter(
            "stallwatch_folded_executions", "Executions folded", registry=registry
        )
        self._failures = Counter(
            "stallwatch_fold_failures", "Folds that failed and are tried again", registry=registry
        )

    def start(self) -> None:
        """Begin; what was committed before and not folded comes first."""
        self._dirty.set()
        self._thread.start()

    def committed(self) -> None:
        """Note that there is something to fold."""
        self._dirty.set()

    def catch_up(self) -> None:
        """Return when everything committed before this call is folded."""
        self._fold()

    def stop(self) -> None:
        """End after a last fold."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join()
        self.catch_up()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._dirty.wait()
            started_s = self._clock.monotonic_s()
            try:
                self._fold()
                pause_s = max(PAUSE_MIN_S, self._clock.monotonic_s() - started_s)
            except StallwatchError as error:
                _log.error("fold failed, will be tried again", extra={"reason": str(error)})
                self._failures.inc()
                self._dirty.set()
                pause_s = RETRY_S
            self._clock.wait(self._stopping, pause_s)

    def _fold(self) -> None:
        # Cleared first: what is committed while this fold runs asks for another.
        self._dirty.clear()
        with self._seconds.time():
            self._executions.inc(self._store.fold(self._clock.now()))
