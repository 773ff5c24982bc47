"""Group commit: many senders' requests become few inserts, and each sender hears when its own is durable."""

import logging
import math
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Final

from collector.budget import Budget
from collector.committing import NO_ANSWER, RETRY_DELAYS_S, Batch, Committer
from collector.draining import Drainer
from collector.gathering import Gathering
from collector.items import KINDS, Item, Sink
from collector.meters import Meters
from collector.refusals import RETRY_AFTER_S
from collector.repeats import Repeats, digest
from collector.reporting import Reporter
from collector.spool import Spool
from collector.spooling import LOOK_S, Spooler
from stallwatch.clock import Clock
from stallwatch.errors import Transient
from stallwatch.store import Body, EventRow

__all__ = ["EVENT_BYTES", "RETRY_DELAYS_S", "Batcher", "Sink"]

EVENT_BYTES: Final = 1024
"""About what a decoded step event takes in memory beside the text of its body."""
CLOSE_S: Final = 8.0
"""How long `close` waits for inserts that are under way."""
AWAY_CLOSE_S: Final = 1.0
"""The same where the store is known to be away."""

log = logging.getLogger(__name__)


class Batcher:
    """Collects requests and commits them from a few threads.

    1. Requests gather for `batch_ms`, longer while inserts are under way (see `Gathering`).
    2. They are committed with a deduplication token (see `Committer`).
    3. What the store does not take soon enough goes to the spool (see `Spooler`, `Drainer`), and what a sender sends
       after that goes behind it. Two batches of one sender may be under way at once otherwise: only requests
       that did not wait for each other's answer can overtake one another.
    4. Futures are resolved, then `on_commit` callbacks are called from the committing thread: they must be quick
       and must not raise.
    """

    def __init__(
        self,
        store: Sink,
        clock: Clock,
        meters: Meters,
        batch_ms: int,
        max_pending_bytes: int,
        on_commit: Sequence[Callable[[], None]] = (),
        *,
        inflight_inserts: int = 1,
        repeat_window_s: float = 0.0,
        spool: Spool | None = None,
        spool_after_s: float = 5.0,
        tell_spooled: Callable[[dict[tuple[str, str], int]], None] | None = None,
    ) -> None:
        """`spool_after_s`: how long requests wait for the store; infinite: as long as it takes.

        `tell_spooled` is given what waits in the spool, in bytes by sender and namespace, every few seconds.
        """
        self.budget = Budget(max_pending_bytes, meters.pending_bytes)
        self.repeats = Repeats(repeat_window_s, clock)
        self._clock = clock
        self._meters = meters
        self._spool_after_s = spool_after_s
        self._is_patient = math.isinf(spool_after_s)
        self._on_commit = tuple(on_commit)
        self._gathering = Gathering(clock, batch_ms / 1000)
        self._number = 0 if spool is None else spool.newest_number
        self._passed = threading.Event()
        self._closing = threading.Event()
        self._spool = spool
        self._reporter = Reporter(store, clock, meters, spool, tell_spooled)
        self._committer = Committer(
            store, spool, clock, meters, self.budget, self._reporter.note_rejected, self._closing
        )
        self._spooler: Spooler | None = None
        self._drainer: Drainer | None = None
        if spool is not None:
            self._spooler = Spooler(spool, clock, self.budget, self._committer.fail, self._look)
            self._drainer = Drainer(
                spool,
                store,
                clock,
                meters,
                on_commit,
                self._gathering,
                self._passed,
                self._reporter.note_lost,
            )
            meters.spool_age_seconds.set_function(self._spool_age_s)
            self._spooler.start()
            self._drainer.start()
        elif not self._is_patient:
            threading.Thread(target=self._look_often, name="look", daemon=True).start()
        self._threads = [
            threading.Thread(target=self._run, name=f"committer-{number}", daemon=True)
            for number in range(inflight_inserts)
        ]
        for thread in self._threads:
            thread.start()

    # For senders -----------------------------------------------------------------------------------------

    def submit_otlp(self, body: Body, spans: int, wait_s: float = 0.0) -> Future[None]:
        """Queue a well-formed trace body. The future resolves when it is durable, or fails with Transient or Permanent.

        Raises Busy if there is no room within `wait_s`, Transient when closing.
        """
        return self._submit(Item(len(body.request), spans, body=body), wait_s)

    def submit_events(
        self, rows: Sequence[EventRow], size_bytes: int, wait_s: float = 0.0
    ) -> Future[None]:
        """Queue step events that came in a body of `size_bytes`; else like `submit_otlp`."""
        return self._submit(
            Item(size_bytes + EVENT_BYTES * len(rows), len(rows), rows=rows), wait_s
        )

    def note_rejected(self, kind: str, sender: str, namespace: str, count: int) -> None:
        """Count what went back to its sender; it is written to the store in the background."""
        self._reporter.note_rejected(kind, sender, namespace, count)

    @property
    def healthy(self) -> bool:
        """Whether requests are being committed, or put on disk."""
        helpers = [self._spooler, self._drainer]
        return (
            not self._closing.is_set()
            and all(thread.is_alive() for thread in self._threads)
            and all(helper.alive for helper in helpers if helper is not None)
        )

    def oldest_waiting_at(self) -> datetime | None:
        """When the oldest request was received that is not committed yet: what is missing is not late before then."""
        # In the order in which a request goes through them, so that none is missed.
        waiting = self._gathering.received()
        if self._spooler is not None and self._spool is not None:
            waiting += [item.received_at for item in self._spooler.waiting()]
            if self._spool.oldest_at is not None:
                waiting.append(self._spool.oldest_at)
        return min(waiting, default=None)

    def close(self) -> None:
        """Take nothing more, commit or spool what was taken, and end the threads; returns in bounded time."""
        is_away = self._spool is not None and self._spool.store_away
        deadline_s = self._clock.monotonic_s() + (AWAY_CLOSE_S if is_away else CLOSE_S)

        def left_s() -> float:
            return max(0.1, deadline_s - self._clock.monotonic_s())

        with self._gathering.lock:
            self._closing.set()
            self._gathering.close()
        for thread in self._threads:
            thread.join(None if self._is_patient else left_s())
        # What is still in an insert, or waits behind one that does not end, is durable on disk or sent back.
        self._spool_after_s = 0.0
        self._look()
        if self._drainer is not None and self._spooler is not None:
            self._spooler.close(CLOSE_S)
            self._drainer.close(left_s())
        self._reporter.close(left_s())
        if self._spool is not None:
            self._spool.close()

    def _submit(self, item: Item, wait_s: float) -> Future[None]:
        # A waiting request handler that is cancelled must not cancel a commit.
        item.future.set_running_or_notify_cancel()
        if item.count == 0:
            item.future.set_result(None)
            return item.future
        key = digest(item) if self.repeats.active else b""
        if key and (earlier := self.repeats.earlier(key)) is not None:
            self._meters.repeated.labels(item.kind).inc(item.count)
            return earlier
        self.budget.take(item.size_bytes, wait_s)
        with self._gathering.lock:
            if not self.healthy:
                self.budget.give(item.size_bytes)
                raise Transient("the collector is closing: send again later", RETRY_AFTER_S)
            earlier = self.repeats.claim(key, item.future) if key else None
            if earlier is None:
                self._take(item)
                return item.future
        self.budget.give(item.size_bytes)
        self._meters.repeated.labels(item.kind).inc(item.count)
        return earlier

    def _take(self, item: Item) -> None:
        self._number += 1
        item.number, item.since_s = self._number, self._clock.monotonic_s()
        if self._spooler is not None and self._spooler.is_behind(item.sender):
            self._spooler.put([item])
        else:
            self._gathering.put(item)

    # The committing threads ------------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[Item] = []
        begun: list[Batch] = []
        try:
            while batch := self._gathering.next_batch():
                kinds = ([item for item in batch if item.kind == kind] for kind in KINDS)
                # All of them before the first insert, which may hang.
                begun = [self._committer.begin(items, uuid.uuid4().hex) for items in kinds if items]
                for one in begun:
                    self._committer.commit(one)
                self._gathering.ended(batch)
                self._passed.set()
                for callback in self._on_commit:
                    callback()
        except BaseException:
            # A defect: whoever waits must hear of it, and none may come after.
            self._committer.abandon(begun)
            with self._gathering.lock:
                self._closing.set()
                self._gathering.close()
                left = [*batch, *self._gathering.take_while(lambda _: True)]
            self._committer.fail(
                [item for item in left if not item.future.done()],
                Transient("the collector is closing: send again later", RETRY_AFTER_S),
            )
            raise

    # The spool -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """What has waited for the store too long goes to the spool, and all of it while the store is away.

        Without a spool it is sent back: its sender may have given up by the time that the store answers.
        """
        after_s = self._spool_after_s
        spool, oldest_s = self._spool, self._clock.monotonic_s() - after_s
        with self._gathering.lock:
            late = self._gathering.take_while(
                lambda item: (spool is not None and spool.store_away) or item.since_s <= oldest_s
            )
            if self._spooler is not None:
                # Under the lock: what the same senders send next must find them there.
                self._spooler.put(late)
        if self._spooler is None:
            self._committer.fail(late, Transient(NO_ANSWER, RETRY_AFTER_S))
        self._committer.rescue(after_s)

    def _look_often(self) -> None:
        while not self._closing.wait(LOOK_S):
            self._look()

    def _spool_age_s(self) -> float:
        oldest_at = None if self._spool is None else self._spool.oldest_at
        return 0.0 if oldest_at is None else (self._clock.now() - oldest_at).total_seconds()
