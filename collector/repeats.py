"""Bodies that are sent again: a sender that heard no answer must not have its data stored twice."""

import hashlib
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import Future
from functools import lru_cache
from typing import Final

import msgspec
import xxhash

from collector.items import Item
from stallwatch.clock import Clock

REMEMBERED_MAX: Final = 100_000
"""Bodies remembered after their commit: about 20 MB of memory."""


_SEED: Final = secrets.randbits(64)
"""So that nobody can prepare two bodies that are taken for one."""


def digest(item: Item) -> bytes:
    """What makes a body the same: who sent it, what for, and every byte of it, but not when it came.

    Bodies are large, so their bytes are hashed for speed: whom it concerns if two have the same hash is their one
    sender, because what a sender says of itself is hashed apart and for safety.
    """
    if item.body is not None:
        body = item.body
        whose = _whose(item.kind, body.sender, body.namespace, body.historical)
        content = xxhash.xxh3_128_digest(body.request, seed=_SEED)
        return whose + len(body.request).to_bytes(8, "big") + content
    rows = [(row.event, row.sender, row.road, row.historical) for row in item.rows]
    return hashlib.blake2b(msgspec.json.encode(rows), digest_size=16).digest()


@lru_cache(maxsize=1024)
def _whose(*parts: str | bool) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=16).digest()


class Repeats:
    """Remembers bodies by digest for a while. Thread-safe.

    A repeat of a body that is being committed waits for the same outcome, a repeat of one that is committed is
    answered as the first one was, and one that failed is forgotten. Nothing of this survives a restart.
    """

    def __init__(self, window_s: float, clock: Clock, remembered_max: int = REMEMBERED_MAX) -> None:
        """`window_s`: for how long; 0: not at all."""
        self._window_s = window_s
        self._clock = clock
        self._remembered_max = remembered_max
        self._lock = threading.Lock()
        self._pending: dict[bytes, Future[None]] = {}
        self._committed: OrderedDict[bytes, float] = OrderedDict()

    @property
    def active(self) -> bool:
        return self._window_s > 0

    def __len__(self) -> int:
        return len(self._pending) + len(self._committed)

    def earlier(self, key: bytes) -> Future[None] | None:
        """The outcome of the same body sent before, if it did not fail."""
        with self._lock:
            return self._earlier(key)

    def claim(self, key: bytes, future: Future[None]) -> Future[None] | None:
        """Remember a body from now on; or the outcome of the same one, if another was first."""
        with self._lock:
            earlier = self._earlier(key)
            if earlier is not None:
                return earlier
            self._pending[key] = future
        future.add_done_callback(lambda done: self._settle(key, done))
        return None

    def _earlier(self, key: bytes) -> Future[None] | None:
        pending = self._pending.get(key)
        if pending is not None and not (pending.done() and pending.exception()):
            return pending
        committed_s = self._committed.get(key)
        if committed_s is None or committed_s < self._oldest_s():
            return None
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _settle(self, key: bytes, done: Future[None]) -> None:
        with self._lock:
            if self._pending.get(key) is done:
                del self._pending[key]
            if done.exception() is None:
                self._committed[key] = self._clock.monotonic_s()
                self._committed.move_to_end(key)
                if len(self._committed) > self._remembered_max:
                    self._committed.popitem(last=False)
                self._forget_old()

    def _oldest_s(self) -> float:
        return self._clock.monotonic_s() - self._window_s

    def _forget_old(self) -> None:
        oldest_s = self._oldest_s()
        while self._committed and next(iter(self._committed.values())) < oldest_s:
            self._committed.popitem(last=False)
