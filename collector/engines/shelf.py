"""The shelf: what engines told about executions, until nothing more is expected. A file for one process and user.

Deliveries come in pieces and in any order; step events are read from all facts of an execution (`reading.py`). What is
here can be had again from the engine in most cases, so the shelf is bounded: beyond its size the execution that was
touched longest ago goes first, the closed before the open, and is counted.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from collector.engines.reading import Fragment
from collector.meters import Meters
from stallwatch.errors import StoreUnavailable, UsageError

FILE_NAME: Final = "shelf.sqlite"
KEPT: Final = timedelta(hours=1)
"""How long the facts of a closed execution wait for what may come late."""
FACTS_MAX: Final = 60_000
"""Facts of one execution: more than the longest histories have (Temporal 51,200 events, Step Functions 25,000)."""
_TIDY_EVERY: Final = 256
"""Writes between two looks at what may go."""
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "temp_store = MEMORY",
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS execution (
    id INTEGER PRIMARY KEY,
    engine TEXT NOT NULL,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    execution_id TEXT NOT NULL DEFAULT '',  -- as its step events name it
    touched_us INTEGER NOT NULL,
    is_closed INTEGER NOT NULL DEFAULT 0,
    facts INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (engine, namespace, key)
);
CREATE INDEX IF NOT EXISTS execution_by_age ON execution (is_closed, touched_us);
CREATE INDEX IF NOT EXISTS execution_by_id ON execution (execution_id);
CREATE TABLE IF NOT EXISTS fact (
    execution INTEGER NOT NULL,
    identity TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (execution, identity)
) WITHOUT ROWID;
"""


log = logging.getLogger(__name__)


class Known(NamedTuple):
    """All that is known of an execution, and which of it is new."""

    id: int
    execution: str
    facts: dict[str, Any]
    new: frozenset[str]


class Shelf:
    """Facts by execution. Thread-safe; what was put is on the disk."""

    def __init__(self, folder: Path | None, max_bytes: int, meters: Meters) -> None:
        """`folder` None: in memory. UsageError if the file cannot be had."""
        self._max_bytes = max_bytes
        self._meters = meters
        self._lock = threading.Lock()
        self._writes = 0
        self._db = _opened(folder)
        row = self._db.execute("SELECT ifnull(sum(size_bytes), 0) FROM execution").fetchone()
        self._size_bytes = int(row[0])

    def put(
        self, engine: str, namespace: str, fragments: Sequence[Fragment], now: datetime
    ) -> list[Known]:
        """Add facts; all that is known now of each execution that they are about. Raises StoreUnavailable."""
        together: dict[str, dict[str, Any]] = {}
        for fragment in fragments:
            known = together.setdefault(fragment.execution, {})
            for identity, fact in fragment.facts.items():
                known.setdefault(identity, fact)
        with self._transaction():
            found = [
                self._put(engine, namespace, execution, facts, now)
                for execution, facts in together.items()
            ]
            self._writes += 1
            if self._writes % _TIDY_EVERY == 0 or self._size_bytes > self._max_bytes:
                self._tidy(now)
        return found

    def note(self, read: Iterable[tuple[int, str, bool]]) -> None:
        """Remember of executions, by `Known.id`, how step events name them, and whether nothing more is expected.

        All at once: each commit waits for the disk.
        """
        with self._transaction():
            self._db.executemany(
                "UPDATE execution SET execution_id = ?2, is_closed = ?3 WHERE id = ?1", read
            )

    def forget(self, execution_id: str) -> None:
        """Erase what is known of an execution, under either of its names."""
        with self._transaction():
            rows = self._db.execute(
                "SELECT id, size_bytes FROM execution WHERE execution_id = ?1 OR key = ?1",
                (execution_id,),
            ).fetchall()
            self._drop(rows)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _put(
        self, engine: str, namespace: str, execution: str, facts: dict[str, Any], now: datetime
    ) -> Known:
        where = (engine, namespace, execution)
        touched_us = int(now.timestamp() * 1e6)
        id, count = self._db.execute(
            "INSERT INTO execution (engine, namespace, key, touched_us) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET touched_us = max(touched_us, excluded.touched_us) RETURNING id, facts",
            (*where, touched_us),
        ).fetchone()
        known = dict(
            self._db.execute(
                "SELECT identity, body FROM fact WHERE execution = ?", (id,)
            ).fetchall()
        )
        fresh = {
            identity: msgspec.json.encode(fact)
            for identity, fact in facts.items()
            if identity not in known
        }
        if count + len(fresh) > FACTS_MAX:
            self._meters.shelf_dropped.labels("facts").inc(count + len(fresh) - FACTS_MAX)
            fresh = dict(list(fresh.items())[: FACTS_MAX - count])
        size_bytes = sum(len(identity) + len(body) for identity, body in fresh.items())
        self._db.executemany(
            "INSERT INTO fact VALUES (?, ?, ?)", ((id, *fact) for fact in fresh.items())
        )
        self._db.execute(
            "UPDATE execution SET facts = facts + ?, size_bytes = size_bytes + ? WHERE id = ?",
            (len(fresh), size_bytes, id),
        )
        self._size_bytes += size_bytes
        everything = {**known, **fresh}
        decoded = {identity: msgspec.json.decode(body) for identity, body in everything.items()}
        return Known(id, execution, decoded, frozenset(fresh))

    def _tidy(self, now: datetime) -> None:
        """Let go what closed long enough ago, then what is too much."""
        before_us = int((now - KEPT).timestamp() * 1e6)
        self._drop(
            self._db.execute(
                "SELECT id, size_bytes FROM execution WHERE is_closed AND touched_us < ?",
                (before_us,),
            ).fetchall()
        )
        excess_bytes = self._size_bytes - self._max_bytes
        if excess_bytes <= 0:
            return
        going: list[tuple[int, int]] = []
        oldest = self._db.execute(
            "SELECT id, size_bytes FROM execution ORDER BY is_closed DESC, touched_us"
        )
        for id, size_bytes in oldest:
            # A tenth more than is needed, so that the next write does not begin again.
            if excess_bytes <= -self._max_bytes // 10:
                break
            going.append((id, size_bytes))
            excess_bytes -= size_bytes
        self._meters.shelf_dropped.labels("executions").inc(len(going))
        self._drop(going)

    def _drop(self, rows: Sequence[tuple[int, int]]) -> None:
        ids = [(id,) for id, _ in rows]
        self._db.executemany("DELETE FROM fact WHERE execution = ?", ids)
        self._db.executemany("DELETE FROM execution WHERE id = ?", ids)
        self._size_bytes -= sum(size_bytes for _, size_bytes in rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            size_bytes = self._size_bytes
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(size_bytes)
                raise StoreUnavailable(f"the shelf of the engines: {error}") from None
            except BaseException:
                # Whatever the reason: half a delivery must not stay.
                self._roll_back(size_bytes)
                raise

    def _roll_back(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _opened(folder: Path | None) -> sqlite3.Connection:
    if folder is None:
        return _connected(":memory:")
    path = folder / FILE_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _connected_privately(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _set_aside(path)
            log.error("the shelf of the engines is damaged (%s) and begins anew", error)
            return _connected_privately(path)
    except OSError as error:
        raise UsageError(f"the shelf of the engines at {folder}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise UsageError(f"the shelf of the engines at {path}: {error}") from None


def _connected_privately(path: Path) -> sqlite3.Connection:
    # Made before SQLite makes it, with the rights that SQLite then gives to its journals as well.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return _connected(str(path))


def _connected(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        db.executescript(_SCHEMA)
    except BaseException:
        # Whatever the reason: the file may be set aside next, and nothing may hold it.
        db.close()
        raise
    return db


def _set_aside(path: Path) -> None:
    """Keep the damaged file, the last one only; its journals go."""
    path.replace(path.with_name(f"{path.name}.damaged"))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
