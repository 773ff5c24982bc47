"""The way out of the spool: oldest first, in large inserts, beside live traffic and never before it twice."""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence, Sized
from typing import Final

from collector.items import Item, Sink, write
from collector.meters import Meters
from collector.spool import Group, Spool
from stallwatch.clock import Clock
from stallwatch.errors import StoreRefused, StoreUnavailable, Transient

DRAIN_BYTES: Final = 8 * 1024 * 1024
"""How much is inserted at once while live requests wait: they wait for no more than this."""
DRAIN_BYTES_MAX: Final = 32 * 1024 * 1024
RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 5.0
_IDLE_S: Final = 1.0
_LIVE_WAIT_S: Final = 1.0

log = logging.getLogger(__name__)


class Drainer:
    """Inserts what is in the spool, from a thread of its own, from the start on.

    1. Requests get the token of their insert on disk before it is tried, so that an end of the process between the
       commit and the removal does not store them twice.
    2. While the store is away it is asked again, after pauses that grow up to RETRY_MAX_S.
    3. After each insert one live batch goes first, if one waits.
    4. A group that the store refuses is halved; a request that is refused alone is set aside: its sender was
       answered OK long ago.
    """

    def __init__(
        self,
        spool: Spool,
        store: Sink,
        clock: Clock,
        meters: Meters,
        on_commit: Sequence[Callable[[], None]],
        live: Sized,
        live_passed: threading.Event,
        note_lost: Callable[[str, str, int], None],
    ) -> None:
        """`live`: the live requests that wait for an insert; `live_passed` is set whenever one ended."""
        self._spool = spool
        self._store = store
        self._clock = clock
        self._meters = meters
        self._on_commit = tuple(on_commit)
        self._live = live
        self._live_passed = live_passed
        self._note_lost = note_lost
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self, timeout_s: float) -> None:
        """End after the insert that is under way, if that ends in time; the rest stays in the spool."""
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        delay_s = RETRY_MIN_S
        while not self._closing.is_set():
            if not self._spool.wait_for_records(_IDLE_S):
                continue
            try:
                done = self._drain_one()
            except Transient as error:
                if self._closing.is_set():
                    return
                log.warning("the spool is not drained: %s", error)
                self._clock.wait(self._closing, max(delay_s, error.retry_after_s or 0))
                delay_s = min(2 * delay_s, RETRY_MAX_S)
                continue
            delay_s = RETRY_MIN_S
            if not done:
                # All that is there belongs to inserts that go on.
                self._closing.wait(_IDLE_S)
            self._let_live_pass()

    def _drain_one(self) -> bool:
        """Insert the oldest group; False if there is none that may be. Raises Transient."""
        limit_bytes = DRAIN_BYTES if self._live else DRAIN_BYTES_MAX
        group = self._spool.next_group(limit_bytes, uuid.uuid4().hex)
        if group is None:
            return False
        if not group.items:
            return True
        began_s = self._clock.monotonic_s()
        try:
            write(self._store, group.items, group.token)
        except StoreUnavailable:
            self._meters.batches.labels("unavailable").inc()
            self._spool.store_away = True
            raise
        except StoreRefused as error:
            self._meters.batches.labels("refused").inc()
            self._halve(group, error)
        else:
            self._meters.batches.labels("committed").inc()
            self._meters.commit_seconds.observe(self._clock.monotonic_s() - began_s)
            self._spool.remove(group.token)
            self._count(group.items)
            for callback in self._on_commit:
                callback()
        self._spool.store_away = False
        return True

    def _halve(self, group: Group, error: StoreRefused) -> None:
        middle = len(group.items) // 2
        if middle:
            self._spool.stamp(group.items[:middle], f"{group.token}.0")
            self._spool.stamp(group.items[middle:], f"{group.token}.1")
        else:
            [item] = group.items
            self._spool.set_aside(item.number, f"the store refused this: {error}", "refused")
            for lost in item.rejections():
                self._note_lost(*lost)

    def _count(self, items: Sequence[Item]) -> None:
        for item in items:
            self._meters.accepted.labels(item.kind).inc(item.count)
            self._meters.drained.labels(item.kind).inc(item.count)

    def _let_live_pass(self) -> None:
        self._live_passed.clear()
        if self._live:
            self._live_passed.wait(_LIVE_WAIT_S)
