"""Requests gather until they are worth an insert: soon when there is little to do, many at once when there is much."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Final

from collector.items import Item
from stallwatch.clock import Clock

BATCH_BYTES: Final = 8 * 1024 * 1024
"""While no insert is under way, a batch goes at once when it has this size, however young it is."""
BATCH_BYTES_MAX: Final = 32 * 1024 * 1024
"""What gathers while inserts are under way goes together up to this size: each insert costs much by itself."""
TRICKLE_BYTES: Final = 256 * 1024
"""Less than this is not worth an insert every `batch_s`: the engine plans each for tens of milliseconds."""
REST: Final = 3.0
REST_S_MAX: Final = 0.15
"""After an insert a trickle waits this many times as long as it took, but not longer than REST_S_MAX."""


class Gathering:
    """The queue of requests that wait for an insert, and those that are in one. Thread-safe."""

    def __init__(self, clock: Clock, batch_s: float) -> None:
        self.lock = threading.RLock()
        """Held by whoever decides where a request goes, so that none overtakes another of its sender."""
        self._clock = clock
        self._batch_s = batch_s
        self._queue: deque[Item] = deque()
        self._queued_bytes = 0
        self._in_hand: list[tuple[list[Item], float]] = []
        self._rest_until_s = clock.monotonic_s()
        self._arrived = threading.Event()
        self._full = threading.Event()
        self._worth = threading.Event()
        self._ended = threading.Event()
        self._closing = False
        self._picking = threading.Lock()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Item) -> None:
        """A request that waits from now on."""
        with self.lock:
            self._queue.append(item)
            self._queued_bytes += item.size_bytes
            self._note_full()
            if not self._arrived.is_set():
                self._arrived.set()

    def next_batch(self) -> list[Item]:
        """The next requests to insert, for one thread after the other; empty when closing and nothing is left.

        Returns when the oldest waited `batch_s` or they are BATCH_BYTES together; while inserts are under way, when it
        waited twice as long, one of them ended, or they are BATCH_BYTES_MAX. A trickle also waits for the rest after
        the last insert.
        """
        with self._picking:
            while True:
                self._arrived.wait()
                if not self._clock.wait(self._full, self._batch_s):
                    self._wait_for_an_end()
                    rest_s = self._rest_until_s - self._clock.monotonic_s()
                    if rest_s > 0:
                        self._clock.wait(self._worth, rest_s)
                batch = self._pick()
                # What was there may have gone elsewhere meanwhile.
                if batch or self._closing:
                    return batch

    def ended(self, batch: list[Item]) -> None:
        """The insert of a batch is over."""
        now_s = self._clock.monotonic_s()
        with self.lock:
            (hand,) = (hand for hand in self._in_hand if hand[0] is batch)
            self._in_hand.remove(hand)
            self._rest_until_s = now_s + min(REST_S_MAX, REST * (now_s - hand[1]))
            self._note_full()
        self._ended.set()

    def take_while(self, condition: Callable[[Item], bool]) -> list[Item]:
        """Take the oldest requests out of the queue as long as the condition holds."""
        taken: list[Item] = []
        with self.lock:
            while self._queue and condition(self._queue[0]):
                taken.append(self._queue.popleft())
            self._queued_bytes -= sum(item.size_bytes for item in taken)
        return taken

    def received(self) -> list[datetime]:
        """When the requests came that are in an insert, and the oldest of those that wait for one."""
        with self.lock:
            # The queue is in the order of arrival, what is in an insert need not be.
            waiting = [item.received_at for item in islice(self._queue, 1)]
            return waiting + [item.received_at for batch, _ in self._in_hand for item in batch]

    def close(self) -> None:
        """Let `next_batch` wait no more."""
        with self.lock:
            self._closing = True
            for event in (self._arrived, self._full, self._worth, self._ended):
                event.set()

    def _wait_for_an_end(self) -> None:
        with self.lock:
            if not self._in_hand or self._closing:
                return
            self._ended.clear()
        self._clock.wait(self._ended, self._batch_s)

    def _pick(self) -> list[Item]:
        batch: list[Item] = []
        size_bytes = 0
        with self.lock:
            while self._queue and (
                not batch or size_bytes + self._queue[0].size_bytes <= BATCH_BYTES_MAX
            ):
                size_bytes += self._queue[0].size_bytes
                batch.append(self._queue.popleft())
            self._queued_bytes -= size_bytes
            if batch:
                self._in_hand.append((batch, self._clock.monotonic_s()))
            if not self._closing:
                if not self._queue:
                    self._arrived.clear()
                self._full.clear()
                self._worth.clear()
                self._note_full()
        return batch

    def _note_full(self) -> None:
        if self._queued_bytes >= TRICKLE_BYTES:
            self._worth.set()
        if self._queued_bytes >= (BATCH_BYTES_MAX if self._in_hand else BATCH_BYTES):
            self._full.set()
            self._ended.set()
