"""The spool's file: opened for one process and one user, checked, and made anew when it is damaged."""

import fcntl
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from stallwatch.errors import UsageError

FILE_NAME: Final = "spool.sqlite"
LOCK_NAME: Final = "spool.lock"
DAMAGED_MAX: Final = 3
"""How many damaged files are kept aside."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY,
    token TEXT NOT NULL,            -- of the insert that it is or was part of; empty: never tried
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    namespace TEXT NOT NULL,
    count INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    digest BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS record_by_token ON record (token, kind, number);
-- Apart, so that giving a record its token does not write its data again.
CREATE TABLE IF NOT EXISTS payload (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    reason TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    namespace TEXT NOT NULL,
    count INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    data BLOB NOT NULL
);
"""
_PRAGMAS: Final = (
    # Before the first table is made: large records, and pages that are given back to the disk.
    "page_size = 16384",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    # An answer is given after the commit: it must be on the disk, not on its way there.
    "synchronous = FULL",
    # What is drained leaves nothing behind: redaction happens in the store, so there are secrets in here.
    "secure_delete = ON",
    "temp_store = MEMORY",
    "journal_size_limit = 16777216",
)
log = logging.getLogger(__name__)


def checksum(data: bytes) -> bytes:
    """What a record must still have when it is read."""
    return hashlib.blake2b(data, digest_size=16).digest()


def open_folder(folder: Path) -> IO[str]:
    """Make the folder, for this user alone, and hold it; UsageError if that cannot be or another process has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / LOCK_NAME).open("a", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the spool at {folder}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(
            f"the spool at {folder} is held by another process: give each collector a store.state of its own"
        ) from None
    return lock


def open_file(folder: Path) -> sqlite3.Connection:
    """The file, whole. A damaged one is set aside, and what can be read of it is taken over.

    Raises sqlite3.OperationalError where the disk does not let it be opened.
    """
    path = folder / FILE_NAME
    try:
        return _opened(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        damaged = _set_aside(path)
        log.error("the spool is damaged (%s); it is kept as %s", error, damaged)
    fresh = _opened(path)
    saved = 0
    fresh.execute("BEGIN IMMEDIATE")
    for row, data in _readable(damaged):
        fresh.execute("INSERT OR IGNORE INTO payload VALUES (?,?)", (row[0], data))
        fresh.execute("INSERT OR IGNORE INTO record VALUES (?,?,?,?,?,?,?,?,?)", row)
        saved += 1
    fresh.execute("COMMIT")
    log.error("%d records of the damaged spool could be read", saved)
    return fresh


def _opened(path: Path) -> sqlite3.Connection:
    # Made before SQLite makes it, with the rights that SQLite then gives to its journals as well.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(str(found))
    except BaseException:
        # Whatever the reason: the file may be set aside next, and nothing may hold it.
        connection.close()
        raise
    return connection


def _set_aside(path: Path) -> Path:
    """Rename the file and its journal; of older ones the last are kept."""
    kept = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))
    number = int(kept[-1].name.rpartition("-")[2]) + 1 if kept else 1
    for old in kept[: max(0, len(kept) + 1 - DAMAGED_MAX)]:
        log.error("an older damaged spool is removed: %s", old)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{old}{suffix}").unlink(missing_ok=True)
    damaged = path.with_name(f"{path.name}.damaged-{number:06d}")
    for suffix in ("-wal", "-shm", ""):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.rename(f"{damaged}{suffix}")
    return damaged


def _readable(path: Path) -> Iterator[tuple[tuple[object, ...], bytes]]:
    """Records of a damaged file that still are what they were: from its start, then from its end."""
    seen: set[int] = set()
    for direction in ("ASC", "DESC"):
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute(
                "SELECT record.*, data FROM record JOIN payload USING (number) "
                f"ORDER BY number {direction}"
            )
            for *row, data in rows:
                if row[0] not in seen and isinstance(data, bytes) and checksum(data) == row[-1]:
                    seen.add(row[0])
                    yield tuple(row), data
        except sqlite3.DatabaseError as error:
            log.error("the damaged spool can be read no further: %s", error)
        finally:
            connection.close()
