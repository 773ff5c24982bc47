"""Inserts and their outcomes: committed, refused for good, or away; each requester hears of its own."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from collector.budget import Budget
from collector.items import Item, Sink, write
from collector.meters import Meters
from collector.refusals import RETRY_AFTER_S
from collector.spool import Spool
from stallwatch.clock import Clock
from stallwatch.errors import Permanent, StallwatchError, StoreRefused, StoreUnavailable, Transient

RETRY_DELAYS_S: Final = (0.1, 0.4, 1.6)
"""Pauses between tries where there is no spool to fall back on; with one, only the first is waited."""
NO_ANSWER: Final = "the store does not answer: send again later"
ROOM_WAIT_S: Final = 2.0
"""How long a failed batch waits for room in the spool."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Batch:
    """Requests in one insert. While it goes on too long they are answered: from the spool (`spooled`), or refused."""

    items: list[Item]
    token: str
    began_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    spooled: bool = False
    sent_back: bool = False
    over: bool = False


class Committer:
    """Inserts batches; called from several threads at once.

    1. While the store is away a batch is tried again with the same token, so that one whose answer got lost lands once.
    2. Then it goes to the spool with its token and is answered OK; without a spool its futures fail with Transient.
    3. A batch that the store refuses is halved until the bad request is alone; that one fails with Permanent.
    4. A batch whose insert takes too long is written to the spool meanwhile (`rescue`) and answered; when the insert
       succeeds after all, its records are removed there. Without a spool its futures fail with Transient: what is sent
       again and lands twice collapses.
    """

    def __init__(
        self,
        store: Sink,
        spool: Spool | None,
        clock: Clock,
        meters: Meters,
        budget: Budget,
        note_rejected: Callable[[str, str, str, int], None],
        closing: threading.Event,
    ) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._meters = meters
        self._budget = budget
        self._note_rejected = note_rejected
        self._closing = closing
        self._lock = threading.Lock()
        self._under_way: set[Batch] = set()

    def begin(self, items: Sequence[Item], token: str) -> Batch:
        """Requests of one kind that are to be committed: from now on they are looked after by `rescue`."""
        batch = Batch(list(items), token, self._clock.monotonic_s())
        with self._lock:
            self._under_way.add(batch)
        return batch

    def commit(self, batch: Batch) -> None:
        """Insert what was begun and resolve its futures. Raises only by a defect."""
        items = batch.items
        try:
            self._write(batch)
        except StoreRefused as error:
            self._meters.batches.labels("refused").inc()
            self._refused(batch, error)
        except StoreUnavailable as error:
            self._meters.batches.labels("unavailable").inc()
            log.warning("%d requests could not be committed: %s", len(items), error)
            self._unavailable(batch, error)
        else:
            self._meters.batches.labels("committed").inc()
            self._meters.commit_seconds.observe(self._clock.monotonic_s() - batch.began_s)
            self._committed(batch)
        finally:
            with self._lock:
                self._under_way.discard(batch)

    def abandon(self, batches: Sequence[Batch]) -> None:
        """What was begun is not committed after all: somebody else answers it."""
        with self._lock:
            self._under_way.difference_update(batches)

    def rescue(self, after_s: float) -> None:
        """Put on disk, or send back, what has been in an insert for longer than `after_s`."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            late = [batch for batch in self._under_way if now_s - batch.began_s >= after_s]
        for batch in late:
            with batch.lock:
                if batch.over or batch.spooled or batch.sent_back:
                    continue
                if self._spool is None:
                    batch.sent_back = True
                else:
                    try:
                        self._spool.add(batch.items, batch.token, held=True)
                    except Transient as error:
                        log.warning("an insert takes long and is not spooled: %s", error)
                        continue
                    batch.spooled = True
            if batch.sent_back:
                self.fail(batch.items, Transient(NO_ANSWER, RETRY_AFTER_S))
            else:
                self._answer(batch.items)

    def fail(self, items: Sequence[Item], error: StallwatchError) -> None:
        """Tell requesters that theirs was not stored."""
        for item in items:
            self._budget.give(item.size_bytes)
            item.future.set_exception(error)

    def _write(self, batch: Batch) -> None:
        """Insert, and while the store is away a few times again with the same token."""
        delays_s = RETRY_DELAYS_S if self._spool is None else RETRY_DELAYS_S[:1]
        for delay_s in (*delays_s, None):
            try:
                write(self._store, batch.items, batch.token)
                return
            except StoreUnavailable:
                # A rescued batch is in good hands: the drain or its sender tries it again.
                if delay_s is None or batch.spooled or batch.sent_back:
                    raise
                self._meters.retries.inc()
                self._clock.wait(self._closing, delay_s)

    def _committed(self, batch: Batch) -> None:
        with batch.lock:
            batch.over = True
        items = batch.items
        size_bytes = sum(item.size_bytes for item in items)
        self._meters.accepted.labels(items[0].kind).inc(sum(item.count for item in items))
        self._meters.bytes.inc(size_bytes)
        if batch.sent_back:
            return
        self._budget.give(size_bytes)
        if batch.spooled:
            self._remove(batch.token)
        else:
            self._answer(batch.items)

    def _refused(self, batch: Batch, error: StoreRefused) -> None:
        with batch.lock:
            batch.over = True
        items, middle = batch.items, len(batch.items) // 2
        if batch.sent_back:
            return
        if batch.spooled:
            self._hand_over(batch)
        elif len(items) == 1:
            log.warning("the store refused a request: %s", error)
            for sender, namespace, count in items[0].rejections():
                self._note_rejected(items[0].kind, sender, namespace, count)
            self.fail(items, Permanent(f"the store refused this: {error}"))
        else:
            halves = (items[:middle], f"{batch.token}.0"), (items[middle:], f"{batch.token}.1")
            for half in [self.begin(*each) for each in halves]:
                self.commit(half)

    def _unavailable(self, batch: Batch, error: StoreUnavailable) -> None:
        with batch.lock:
            batch.over = True
        if batch.sent_back:
            return
        if batch.spooled:
            self._hand_over(batch)
            return
        failure = Transient(f"the store is away: {error}", error.retry_after_s or RETRY_AFTER_S)
        if self._spool is not None:
            try:
                self._spool.add(batch.items, batch.token, ROOM_WAIT_S)
            except Transient as full:
                failure = full
            else:
                self._spool.store_away = self._spool.records > 0
                for item in batch.items:
                    self._budget.give(item.size_bytes)
                self._answer(batch.items)
                return
        self.fail(batch.items, failure)

    def _hand_over(self, batch: Batch) -> None:
        """The drain is to try the spooled batch again, with its token."""
        assert self._spool is not None
        for item in batch.items:
            self._budget.give(item.size_bytes)
        self._spool.release(batch.token)

    def _remove(self, token: str) -> None:
        assert self._spool is not None
        try:
            self._spool.remove(token)
        except Transient as error:
            # The drain inserts it again, with the token of what is stored: it lands once.
            log.warning("what is committed stays in the spool for now: %s", error)
            self._spool.release(token)

    def _answer(self, items: Sequence[Item]) -> None:
        for item in items:
            item.future.set_result(None)
