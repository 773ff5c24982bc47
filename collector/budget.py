"""The memory that bodies may take while they wait: counted in bytes, refused beyond the limit."""

import threading
from typing import Final, Self

from prometheus_client import Gauge

from collector.refusals import Busy

BUSY_RETRY_AFTER_S: Final = 1.0


class Budget:
    """Bytes that are in use of a fixed number. Thread-safe."""

    def __init__(self, limit_bytes: int, gauge: Gauge) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._room = threading.Condition()
        gauge.set_function(lambda: self._used_bytes)

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    def take(self, size_bytes: int, wait_s: float = 0.0, own_bytes: int = 0) -> None:
        """Count bytes in; raises Busy if there is no room within `wait_s`.

        Whoever is alone (`own_bytes` is all that is used) is let in even beyond the limit, else a body larger
        than the limit could never be taken.
        """
        with self._room:
            if not self._fits(size_bytes, own_bytes) and not self._room.wait_for(
                lambda: self._fits(size_bytes, own_bytes), wait_s
            ):
                raise Busy(
                    f"{self._used_bytes} bytes wait to be stored and {self._limit_bytes} may: send again later",
                    BUSY_RETRY_AFTER_S,
                )
            self._used_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Count bytes out."""
        with self._room:
            self._used_bytes -= size_bytes
            self._room.notify_all()

    def lease(self) -> "Lease":
        """Bytes for the length of a block: for a body while it is read."""
        return Lease(self)

    def _fits(self, size_bytes: int, own_bytes: int) -> bool:
        return self._used_bytes <= own_bytes or self._used_bytes + size_bytes <= self._limit_bytes


class Lease:
    """Grows as a body arrives, and is given back at the end of a block."""

    __slots__ = ("_budget", "size_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._budget.give(self.size_bytes)

    def grow(self, size_bytes: int) -> None:
        """Take more bytes; raises Busy."""
        self._budget.take(size_bytes, own_bytes=self.size_bytes)
        self.size_bytes += size_bytes
