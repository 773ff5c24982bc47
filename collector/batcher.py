"""Group commit: many senders' requests become few inserts, and each sender hears when its own is durable."""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from collector.budget import Budget
from collector.meters import Meters
from collector.refusals import RETRY_AFTER_S
from stallwatch.clock import Clock
from stallwatch.errors import Permanent, StallwatchError, StoreRefused, StoreUnavailable, Transient
from stallwatch.store import Body, EventRow

BATCH_BYTES: Final = 8 * 1024 * 1024
"""A batch is committed at once when it has this size, however young it is."""
EVENT_BYTES: Final = 1024
"""About what a decoded step event takes in memory beside the text of its body."""
RETRY_DELAYS_S: Final = (0.1, 0.4, 1.6)
_IDLE_S: Final = 5.0
_SENDERS_MAX: Final = 1000

log = logging.getLogger(__name__)


class Sink(Protocol):
    """What the batcher needs of the store."""

    def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None: ...

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None: ...

    def note_rejected(
        self, sender: str, namespace: str, received_at: datetime, rejected: int
    ) -> None: ...


@dataclass(slots=True, eq=False)
class Item:
    """One request: an OTLP body or step events, and who waits for it. It is committed whole or not at all."""

    size_bytes: int
    count: int
    body: Body | None = None
    rows: Sequence[EventRow] = ()
    future: Future[None] = field(default_factory=Future)

    @property
    def kind(self) -> str:
        return "event" if self.body is None else "span"

    @property
    def received_at(self) -> datetime:
        return self.rows[0].received_at if self.body is None else self.body.received_at


class Batcher:
    """Collects requests and commits them from one thread.

    1. Requests queue until the oldest waited `batch_ms` or they are BATCH_BYTES together.
    2. They are committed with a deduplication token; while the store is away, a few times again with the same
       token, so that a batch whose answer got lost lands once. Then their futures fail with Transient.
    3. A batch that the store refuses is halved until the bad request is alone; that one fails with Permanent.
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
    ) -> None:
        self.budget = Budget(max_pending_bytes, meters.pending_bytes)
        self._store = store
        self._clock = clock
        self._meters = meters
        self._batch_s = batch_ms / 1000
        self._on_commit = tuple(on_commit)
        self._lock = threading.Lock()
        self._queue: deque[Item] = deque()
        self._committing: list[Item] = []
        self._queued_bytes = 0
        self._rejected: dict[tuple[str, str], int] = {}
        self._arrived = threading.Event()
        self._full = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

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
        self._meters.rejected.labels(kind).inc(count)
        with self._lock:
            if (sender, namespace) in self._rejected or len(self._rejected) < _SENDERS_MAX:
                self._rejected[sender, namespace] = (
                    self._rejected.get((sender, namespace), 0) + count
                )

    @property
    def healthy(self) -> bool:
        """Whether requests are being committed."""
        return self._thread.is_alive() and not self._closing.is_set()

    def oldest_waiting_at(self) -> datetime | None:
        """When the oldest request was received that is not committed yet: what is missing is not late before then."""
        with self._lock:
            # The queue is in the order of arrival, what is being committed need not be.
            waiting = [*self._committing, *islice(self._queue, 1)]
        return min((item.received_at for item in waiting), default=None)

    def close(self) -> None:
        """Take nothing more, commit what was taken, and end the thread."""
        with self._lock:
            self._closing.set()
            self._arrived.set()
            self._full.set()
        self._thread.join()

    def _submit(self, item: Item, wait_s: float) -> Future[None]:
        # A waiting request handler that is cancelled must not cancel a commit.
        item.future.set_running_or_notify_cancel()
        if item.count == 0:
            item.future.set_result(None)
            return item.future
        self.budget.take(item.size_bytes, wait_s)
        with self._lock:
            if not self.healthy:
                self.budget.give(item.size_bytes)
                raise Transient("the collector is closing: send again later", RETRY_AFTER_S)
            self._queue.append(item)
            self._queued_bytes += item.size_bytes
            if self._queued_bytes >= BATCH_BYTES:
                self._full.set()
            self._arrived.set()
        return item.future

    # The committing thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        batch: list[Item] = []
        try:
            while batch := self._next_batch():
                for kind in ("span", "event"):
                    items = [item for item in batch if item.kind == kind]
                    if items:
                        self._commit(items, uuid.uuid4().hex)
                with self._lock:
                    self._committing = []
                for callback in self._on_commit:
                    callback()
                self._write_rejected()
            self._write_rejected()
        finally:
            # Reached with requests in hand only by a defect: whoever waits must hear of it, and none may come after.
            with self._lock:
                self._closing.set()
                left = [*batch, *self._queue]
                self._queue.clear()
            self._fail(
                [item for item in left if not item.future.done()],
                Transient("the collector is closing: send again later", RETRY_AFTER_S),
            )

    def _next_batch(self) -> list[Item]:
        """The next requests to commit; empty when closing and drained."""
        while not self._arrived.wait(_IDLE_S):
            self._write_rejected()
        self._clock.wait(self._full, self._batch_s)
        batch: list[Item] = []
        size_bytes = 0
        with self._lock:
            while self._queue and (
                not batch or size_bytes + self._queue[0].size_bytes <= BATCH_BYTES
            ):
                size_bytes += self._queue[0].size_bytes
                batch.append(self._queue.popleft())
            self._queued_bytes -= size_bytes
            self._committing = batch
            if not self._closing.is_set():
                if not self._queue:
                    self._arrived.clear()
                if self._queued_bytes < BATCH_BYTES:
                    self._full.clear()
        return batch

    def _commit(self, items: list[Item], token: str) -> None:
        began_s = self._clock.monotonic_s()
        try:
            self._write(items, token)
        except StoreRefused as error:
            self._meters.batches.labels("refused").inc()
            if len(items) == 1:
                log.warning("the store refused a request: %s", error)
                self._refuse(items[0], error)
            else:
                middle = len(items) // 2
                self._commit(items[:middle], f"{token}.0")
                self._commit(items[middle:], f"{token}.1")
        except StoreUnavailable as error:
            self._meters.batches.labels("unavailable").inc()
            log.warning("%d requests could not be committed: %s", len(items), error)
            self._fail(
                items,
                Transient(f"the store is away: {error}", error.retry_after_s or RETRY_AFTER_S),
            )
        else:
            self._meters.batches.labels("committed").inc()
            self._meters.commit_seconds.observe(self._clock.monotonic_s() - began_s)
            for item in items:
                self._meters.accepted.labels(item.kind).inc(item.count)
                self._meters.bytes.inc(item.size_bytes)
                self.budget.give(item.size_bytes)
                item.future.set_result(None)

    def _write(self, items: list[Item], token: str) -> None:
        """Insert, and while the store is away a few times again with the same token."""
        for delay_s in (*RETRY_DELAYS_S, None):
            try:
                if items[0].body is None:
                    self._store.insert_event_rows([row for i in items for row in i.rows], token)
                else:
                    self._store.insert_otlp([i.body for i in items if i.body is not None], token)
                return
            except StoreUnavailable:
                if delay_s is None:
                    raise
                self._meters.retries.inc()
                self._clock.wait(self._closing, delay_s)

    def _refuse(self, item: Item, error: StoreRefused) -> None:
        if item.body is not None:
            self.note_rejected("span", item.body.sender, item.body.namespace, item.count)
        else:
            for row in item.rows:
                self.note_rejected("event", row.sender, row.event.namespace, 1)
        self._fail([item], Permanent(f"the store refused this: {error}"))

    def _fail(self, items: Sequence[Item], error: StallwatchError) -> None:
        for item in items:
            self.budget.give(item.size_bytes)
            item.future.set_exception(error)

    def _write_rejected(self) -> None:
        with self._lock:
            counts, self._rejected = self._rejected, {}
        for (sender, namespace), count in counts.items():
            try:
                self._store.note_rejected(sender, namespace, self._clock.now(), count)
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("%d rejections of %s were not noted: %s", count, sender, error)
