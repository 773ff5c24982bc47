"""What the store could not take yet, on disk: requests in the order of their arrival, bounded by bytes.

Records of one insert whose outcome is not known carry its token and are inserted again together, so that they land
once. Others have no token until they are drained.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from collector.items import Item, decoded
from collector.meters import Meters
from collector.refusals import RETRY_AFTER_S, Busy
from collector.spool_aside import move_aside
from collector.spool_file import checksum, open_file, open_folder
from collector.spool_tally import Tally
from stallwatch.errors import InputError, Transient

RECORD_BYTES: Final = 512
"""About what a record takes beside its data."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Requests that go into the store together."""

    token: str
    items: Sequence[Item]


class Spool:
    """Thread-safe. Every change is on the disk when its method returns.

    Raises Busy when it is full, Transient when the disk does not take it.
    """

    def __init__(self, folder: Path, limit_bytes: int, meters: Meters) -> None:
        """Open or make the spool in `folder`; UsageError if another process has it."""
        self._limit_bytes = limit_bytes
        self._meters = meters
        self._changed = threading.Condition(threading.RLock())
        self._held: dict[str, frozenset[str]] = {}
        self._closed = False
        self.store_away = False
        """Whether the store failed last: whatever comes then goes behind what is here."""
        self._lock_file = open_folder(folder)
        try:
            with self._failing("opened"):
                self._db = open_file(folder)
                self._count_all()
        except BaseException:
            # Whatever the reason: a spool that is not open must not keep others from opening it.
            self._lock_file.close()
            raise
        meters.spool_bytes.set_function(lambda: self.size_bytes)
        meters.spool_records.set_function(lambda: self.records)

    # What is in it ---------------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        return self._tally.size_bytes

    @property
    def records(self) -> int:
        return self._tally.records

    @property
    def room_bytes(self) -> int:
        """How much may still be added."""
        return self._limit_bytes - self.size_bytes

    def has(self, sender: str) -> bool:
        """Whether anything of this sender waits here."""
        return self._tally.has(sender)

    def bytes_by_sender(self) -> dict[tuple[str, str], int]:
        """Bytes that wait, by sender and namespace."""
        with self._changed:
            return dict(self._tally.bytes_of)

    def wait_for_records(self, timeout_s: float) -> bool:
        """Whether there are any, at the latest after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self.records > 0, timeout_s)

    # In --------------------------------------------------------------------------------------------------

    def add(
        self, items: Sequence[Item], token: str = "", wait_s: float = 0.0, held: bool = False
    ) -> None:
        """Keep requests (with the `token` of an insert that they were all part of); returns when they are durable.

        Waits up to `wait_s` for room. `held`: their insert goes on, so they are not drained before `release`.
        """
        rows = [(item, item.encoded()) for item in items]
        needed_bytes = sum(len(data) + RECORD_BYTES for _, data in rows)
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(needed_bytes), wait_s):
                self._meters.spool_refused.inc(len(items))
                raise Busy(
                    f"the store is away and its spool is full ({self.size_bytes} of {self._limit_bytes} bytes): "
                    "send again later",
                    RETRY_AFTER_S,
                )
            with self._transaction() as db:
                for item, data in rows:
                    received_us = (item.received_at - _EPOCH) // timedelta(microseconds=1)
                    size = len(data) + RECORD_BYTES
                    db.execute(
                        "INSERT INTO record VALUES (?,?,?,?,?,?,?,?,?)",
                        (item.number, token, item.kind, item.sender, item.namespace, item.count, size,
                         received_us, checksum(data)),
                    )  # fmt: skip
                    db.execute("INSERT INTO payload VALUES (?,?)", (item.number, data))
            if held:
                self._held[token] = frozenset(item.sender for item in items)
            for item, data in rows:
                self._tally.count(item.sender, item.namespace, len(data) + RECORD_BYTES, 1)
                self._meters.spooled.labels(item.kind).inc(item.count)
            self._note_oldest()
            self._changed.notify_all()

    def release(self, token: str) -> None:
        """The insert of held records ended without a clear outcome: they may be drained."""
        with self._changed:
            self._held.pop(token, None)
            self._changed.notify_all()

    # Out -------------------------------------------------------------------------------------------------

    def next_group(self, limit_bytes: int, new_token: str) -> Group | None:
        """The oldest requests that may be drained, or None: a whole insert of before, or up to `limit_bytes` of a kind.

        The latter get `new_token`, on disk, before they are returned. What is damaged is set aside.
        """
        with self._changed:
            held = {sender for senders in self._held.values() for sender in senders}
            free = f"sender NOT IN ({','.join('?' * len(held))})"
            with self._transaction() as db:
                first = db.execute(
                    f"SELECT token, kind FROM record WHERE {free} ORDER BY number LIMIT 1", [*held]
                ).fetchone()
                if first is None:
                    return None
                token, kind = first
                if token:
                    where, values = "token = ?", [token]
                else:
                    where, values = f"token = '' AND kind = ? AND {free}", [kind, *held]
                picked: list[Item] = []
                bad: list[tuple[int, str]] = []
                total_bytes = 0
                for number, size, count, digest, data in db.execute(
                    "SELECT number, size_bytes, count, digest, data FROM record LEFT JOIN payload USING (number) "
                    f"WHERE {where} ORDER BY number",
                    values,
                ):
                    if not token and picked and total_bytes + size > limit_bytes:
                        break
                    total_bytes += size
                    try:
                        if data is None or checksum(data) != digest:
                            raise InputError("is damaged on disk")
                        item = decoded(kind, data, size, count)
                    except InputError as error:
                        bad.append((number, str(error)))
                        continue
                    item.number = number
                    picked.append(item)
                if not token:
                    token = new_token
                    db.executemany(
                        "UPDATE record SET token = ? WHERE number = ?",
                        [(token, item.number) for item in picked],
                    )
            for number, reason in bad:
                self.set_aside(number, reason, "damaged")
            return Group(token, picked)

    def stamp(self, items: Sequence[Item], token: str) -> None:
        """These records are to be inserted apart from the rest of their group."""
        with self._changed, self._transaction() as db:
            db.executemany(
                "UPDATE record SET token = ? WHERE number = ?",
                [(token, item.number) for item in items],
            )

    def remove(self, token: str) -> None:
        """The insert with this token is committed: its records leave nothing behind."""
        with self._changed:
            with self._transaction() as db:
                gone = db.execute(
                    "SELECT sender, namespace, size_bytes FROM record WHERE token = ?", (token,)
                ).fetchall()
                db.execute(
                    "DELETE FROM payload WHERE number IN (SELECT number FROM record WHERE token = ?)",
                    (token,),
                )
                db.execute("DELETE FROM record WHERE token = ?", (token,))
            self._held.pop(token, None)
            for sender, namespace, size in gone:
                self._tally.count(sender, namespace, -size, -1)
            self._left()

    def set_aside(self, number: int, reason: str, why: str) -> None:
        """Keep a record apart that will never be stored, with the reason; `why` is `damaged` or `refused`."""
        with self._changed:
            with self._transaction() as db:
                moved = move_aside(db, number, reason)
            if moved is None:
                return
            sender, namespace, count, size = moved
            self._tally.count(sender, namespace, -size, -1)
            self._meters.set_aside.labels(why).inc(count)
            log.error("a spooled request of %s is set aside: %s", sender, reason)
            self._left()

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            try:
                self._db.close()
            finally:
                self._lock_file.close()

    # Counting --------------------------------------------------------------------------------------------

    def _fits(self, needed_bytes: int) -> bool:
        return self._closed or self.size_bytes + needed_bytes <= self._limit_bytes

    def _count_all(self) -> None:
        self._tally = Tally()
        for sender, namespace, records, size in self._db.execute(
            "SELECT sender, namespace, count(*), sum(size_bytes) FROM record GROUP BY 1, 2"
        ):
            self._tally.count(sender, namespace, size, records)
        newest = self._db.execute("SELECT max(number) FROM record").fetchone()[0]
        self.newest_number = int(newest or 0)
        """The place in the order of arrival from which new requests count on."""
        self._note_oldest()

    def _note_oldest(self) -> None:
        row = self._db.execute("SELECT received_us FROM record ORDER BY number LIMIT 1").fetchone()
        self.oldest_at = None if row is None else _EPOCH + timedelta(microseconds=row[0])
        """When the oldest request here was received."""

    def _left(self) -> None:
        """After records have gone: the next room, and an empty spool takes no room on the disk."""
        self._note_oldest()
        with self._failing("wiped"):
            if self.records == 0:
                self.store_away = False
                # As a script: a statement gives back one page each time it is run.
                self._db.executescript("PRAGMA incremental_vacuum")
            # The journal still has what was removed.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._changed.notify_all()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._failing("written"):
            if self._closed:
                raise sqlite3.ProgrammingError("it is closed")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # All or nothing; a full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Transient(f"the spool cannot be {what}: {error}", RETRY_AFTER_S) from error
