"""What the collector tells the store of itself, now and then: rejections, and how much waits in the spool."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from collector.items import Sink
from collector.meters import Meters
from collector.spool import Spool
from stallwatch.clock import Clock
from stallwatch.errors import StoreRefused, StoreUnavailable

EVERY_S: Final = 5.0
_SENDERS_MAX: Final = 1000

log = logging.getLogger(__name__)


class Reporter:
    """Writes from a thread of its own, so that nobody waits for it. While the store is away it keeps what it has."""

    def __init__(
        self,
        store: Sink,
        clock: Clock,
        meters: Meters,
        spool: Spool | None,
        tell_spooled: Callable[[dict[tuple[str, str], int]], None] | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._meters = meters
        self._spool = spool
        self._tell_spooled = tell_spooled
        self._told: dict[tuple[str, str], int] = {} if spool is None else spool.bytes_by_sender()
        self._lock = threading.Lock()
        self._rejected: dict[tuple[str, str], int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def note_rejected(self, kind: str, sender: str, namespace: str, count: int) -> None:
        """Count what went back to its sender."""
        self._meters.rejected.labels(kind).inc(count)
        self.note_lost(sender, namespace, count)

    def note_lost(self, sender: str, namespace: str, count: int) -> None:
        """Count what the store refused after its sender was answered: `ingest_health` shows both as rejected."""
        self._keep({(sender, namespace): count})

    def close(self, timeout_s: float) -> None:
        """Write a last time, if the store takes it in time."""
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(EVERY_S)
            if self._spool is not None and self._spool.store_away:
                continue
            try:
                self._write_rejected()
                self._write_spooled()
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("what was rejected or spooled could not be noted: %s", error)

    def _write_rejected(self) -> None:
        with self._lock:
            counts, self._rejected = self._rejected, {}
        while counts:
            (sender, namespace), count = counts.popitem()
            try:
                self._store.note_rejected(sender, namespace, self._clock.now(), count)
            except StoreUnavailable:
                self._keep({**counts, (sender, namespace): count})
                raise

    def _keep(self, counts: dict[tuple[str, str], int]) -> None:
        with self._lock:
            for key, count in counts.items():
                if key in self._rejected or len(self._rejected) < _SENDERS_MAX:
                    self._rejected[key] = self._rejected.get(key, 0) + count

    def _write_spooled(self) -> None:
        if self._spool is None or self._tell_spooled is None:
            return
        waiting = self._spool.bytes_by_sender()
        # Those of whom nothing waits any more are told once, with zero.
        changed = {
            key: waiting.get(key, 0)
            for key in {*waiting, *self._told}
            if waiting.get(key, 0) != self._told.get(key, 0)
        }
        if changed or (waiting and not self._told):
            self._tell_spooled(changed or waiting)
        self._told = waiting
