"""The way into the spool: what must not wait for the store is made durable, many requests with one write."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

from collector.budget import Budget
from collector.items import Item
from collector.refusals import Busy
from collector.spool import RECORD_BYTES, Spool
from stallwatch.clock import Clock
from stallwatch.errors import StallwatchError, Transient

CHUNK_BYTES: Final = 16 * 1024 * 1024
ROOM_WAIT_S: Final = 2.0
"""How long a request waits for room in the spool. Some senders never send again: better late than refused."""
LOOK_S: Final = 0.25
"""How often it is looked for requests and inserts that have waited too long."""

log = logging.getLogger(__name__)


class Spooler:
    """Requests on their way to the disk, written from a thread of its own.

    Senders that have anything here or in the spool are *behind*: what they send next goes this way too.
    """

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        budget: Budget,
        fail: Callable[[list[Item], StallwatchError], None],
        look: Callable[[], None],
    ) -> None:
        """`look`: called often, to hand over (`put`) what has waited too long elsewhere."""
        self._spool = spool
        self._clock = clock
        self._budget = budget
        self._fail = fail
        self._look = look
        self._lock = threading.Lock()
        self._queue: deque[Item] = deque()
        self._senders: Counter[str] = Counter()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spooler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def is_behind(self, sender: str) -> bool:
        """Whether something of the sender is not in the store that was taken for it."""
        return self._spool.store_away or self._senders[sender] > 0 or self._spool.has(sender)

    def put(self, items: Iterable[Item]) -> None:
        """Have requests written; their futures resolve when they are durable."""
        with self._lock:
            for item in items:
                self._queue.append(item)
                self._senders[item.sender] += 1
        self._wake.set()

    def waiting(self) -> list[Item]:
        """What is not on the disk yet."""
        with self._lock:
            return list(self._queue)

    def close(self, timeout_s: float) -> None:
        """Write what is there, and end."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while True:
                closing = self._closing.is_set()
                self._look()
                self._wake.clear()
                while chunk := self._next_chunk():
                    self._keep(chunk)
                if closing:
                    return
                self._wake.wait(LOOK_S)
        finally:
            # With something in hand only after a defect: whoever waits must hear of it.
            left = [item for item in self.waiting() if not item.future.done()]
            self._fail(left, Transient("the collector is closing: send again later"))

    def _next_chunk(self) -> list[Item]:
        """The oldest requests, up to CHUNK_BYTES; they stay in the queue until they are durable or have failed."""
        chunk: list[Item] = []
        size_bytes = 0
        limit_bytes = min(CHUNK_BYTES, self._spool.room_bytes)
        with self._lock:
            for item in self._queue:
                if chunk and size_bytes + item.size_bytes + RECORD_BYTES > limit_bytes:
                    break
                chunk.append(item)
                size_bytes += item.size_bytes + RECORD_BYTES
        return chunk

    def _keep(self, chunk: list[Item]) -> None:
        with self._lock:
            present = len(self._queue)
        try:
            # In the order of arrival: what is moved here from elsewhere may be older.
            self._spool.add(sorted(chunk, key=lambda item: item.number), wait_s=ROOM_WAIT_S)
        except Transient as error:
            # Without room, whoever was there has waited as long.
            failed = self._take(present if isinstance(error, Busy) else len(chunk))
            log.warning("%d requests could not be spooled: %s", len(failed), error)
            self._fail(failed, error)
        else:
            self._answer(self._take(len(chunk)))

    def _answer(self, items: list[Item]) -> None:
        for item in items:
            self._budget.give(item.size_bytes)
            item.future.set_result(None)

    def _take(self, count: int) -> list[Item]:
        with self._lock:
            taken = [self._queue.popleft() for _ in range(count)]
            for item in taken:
                self._senders[item.sender] -= 1
                if self._senders[item.sender] <= 0:
                    del self._senders[item.sender]
        return taken
