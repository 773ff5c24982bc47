"""The numbers of batches: what is being committed, what may be folded, what was.

A batch's number is the time it was received in microseconds, but always above the last one. Every row that a batch
brings carries it, so what is new since the last fold is `batch > after AND batch <= upto`. Nothing is folded beyond a
batch that is still being committed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from stallwatch.store.engine import Engine
from stallwatch.store.landing import LATE_US
from stallwatch.store.statements import sql_text


class Batches:
    """Numbers batches and knows which are to be folded. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Into a server other processes commit too, whose batches overtake each other.
        self._shared = engine.address.path is None
        self._lock = threading.Lock()
        self._newest = 0
        self._committing: set[int] = set()
        self._folded: int | None = None
        self._seen: set[int] = set()
        self._mark = 0

    @contextmanager
    def begun(self, received_at: datetime) -> Iterator[int]:
        """A number for the batch that is committed in this block."""
        with self._lock:
            folded = self._load()
            if self._shared:
                # What waited on a disk was received long ago, and may come when others' batches of then are folded.
                folded = progress(self._engine, "folded_batch")
            received_us = int(received_at.timestamp() * 1_000_000)
            self._newest = batch = max(self._newest + 1, received_us, folded + 1)
            self._committing.add(batch)
        try:
            yield batch
        finally:
            with self._lock:
                self._committing.remove(batch)

    def to_fold(self) -> tuple[int, int] | None:
        """The range `(after, upto]` that holds every batch which waits to be folded; None: none does."""
        with self._lock:
            after = self._load()
            upto = min(self._committing, default=self._newest + 1) - 1
        if not self._shared:
            return (after, upto) if upto > after else None
        known = self._engine.rows(sql_text("fold", "0_batches"), {"after": max(0, after - LATE_US)})
        new = {int(row["batch"]) for row in known} - self._seen
        if not new:
            return None
        self._seen = {batch for batch in self._seen | new if batch > after - LATE_US}
        return min(new) - 1, max(new)

    def folded(self, upto: int) -> None:
        """Everything in the range that ended here is folded."""
        with self._lock:
            self._folded = max(upto, self._load())
        set_progress(self._engine, "folded_batch", upto)

    def mark(self, upto: int) -> int:
        """A number for a fold, above that of every fold before: a late batch's own is not."""
        if self._mark == 0:
            self._mark = progress(self._engine, "statistics_batch")
        self._mark = max(self._mark + 1, upto)
        return self._mark

    def again(self) -> None:
        """The range could not be folded: ask for it anew."""
        self._seen.clear()

    def _load(self) -> int:
        if self._folded is None:
            self._folded = progress(self._engine, "folded_batch")
            rows = self._engine.rows(sql_text("fold", "0_newest_batch"))
            self._newest = max(self._newest, int(rows[0]["batch"]))
        return self._folded


def progress(engine: Engine, name: str) -> int:
    """How far the work of this name has come."""
    rows = engine.rows(
        "SELECT max(value) AS value FROM progress WHERE name = {name:String}", {"name": name}
    )
    return int(rows[0]["value"])


def set_progress(engine: Engine, name: str, value: int) -> None:
    """Remember how far the work of this name has come."""
    engine.insert_rows("progress", ("name", "value"), [(name, value)])
