"""The brain's small transactional memory: one SQLite file beside the detectors and the alerts.

A transition is committed here first; what follows from it (a copy in the store, an alert) is done
from here and can be done again after a crash.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Finding, Status
from stallwatch.model.findings_json import finding_from_json, finding_to_json

# Times are RFC 3339 text with microseconds in UTC: they sort as text. A migration is never edited,
# only followed by another; its place in the tuple, from 1, is the file's user_version.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE findings (
            fingerprint TEXT PRIMARY KEY,
            number INTEGER NOT NULL,
            status TEXT NOT NULL,
            detector TEXT NOT NULL,
            body TEXT NOT NULL,
            first_seen TEXT NOT NULL,
            last_seen TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX findings_status ON findings (status, detector)",
        """CREATE TABLE incidents (
            id TEXT PRIMARY KEY,
            cause TEXT NOT NULL,
            severity TEXT NOT NULL,
            opened_at TEXT NOT NULL,
            closed_at TEXT,
            fingerprints TEXT NOT NULL,
            findings TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX incidents_closed_at ON incidents (closed_at)",
        """CREATE TABLE deliveries (
            incident_id TEXT NOT NULL,
            receiver TEXT NOT NULL,
            target TEXT NOT NULL,
            number INTEGER NOT NULL,
            decided_digest TEXT NOT NULL,
            decided_at TEXT NOT NULL,
            decided_state TEXT NOT NULL,
            reason TEXT NOT NULL,
            message TEXT,
            next_attempt_at TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            last_error TEXT NOT NULL DEFAULT '',
            told_number INTEGER NOT NULL DEFAULT 0,
            told_digest TEXT,
            told_at TEXT,
            told_state TEXT,
            PRIMARY KEY (incident_id, receiver, target)
        ) STRICT""",
        "CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE message IS NOT NULL",
        """CREATE TABLE target_notes (
            receiver TEXT NOT NULL,
            target TEXT NOT NULL,
            dedup_key TEXT NOT NULL,
            note TEXT NOT NULL,
            PRIMARY KEY (receiver, target, dedup_key)
        ) STRICT""",
        """CREATE TABLE acknowledgements (
            fingerprint TEXT PRIMARY KEY,
            until TEXT NOT NULL,
            "by" TEXT NOT NULL,
            at TEXT NOT NULL
        ) STRICT""",
        "CREATE TABLE watermarks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    ),
    (
        # What became known of a finding's episode after it was told: see stallwatch.store.labels.
        """CREATE TABLE labels (
            fingerprint TEXT NOT NULL,
            first_seen TEXT NOT NULL,
            detector TEXT NOT NULL,
            namespace TEXT NOT NULL,
            engine TEXT NOT NULL,
            workflow TEXT NOT NULL,
            step TEXT NOT NULL,
            changed_at TEXT NOT NULL,
            completed_late INTEGER NOT NULL DEFAULT 0,
            longest_s REAL NOT NULL DEFAULT 0,
            verdict TEXT,
            age_s REAL,
            note TEXT NOT NULL DEFAULT '',
            "by" TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (fingerprint, first_seen)
        ) STRICT""",
        "CREATE INDEX labels_changed_at ON labels (changed_at)",
        "CREATE INDEX labels_first_seen ON labels (first_seen)",
    ),
    (
        "ALTER TABLE incidents ADD COLUMN key TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE incidents ADD COLUMN merged_into TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE incidents ADD COLUMN split_from TEXT NOT NULL DEFAULT ''",
        # Under which key a target knows the incident: after a merge that of the one it was told of.
        "ALTER TABLE deliveries ADD COLUMN dedup_key TEXT NOT NULL DEFAULT ''",
        "UPDATE deliveries SET dedup_key = incident_id",
    ),
)
BUSY_TIMEOUT_S: Final = 10.0
PARAMETERS_MAX: Final = 500
"""How many values one IN list binds; SQLite takes 32,766, older builds 999."""


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """Someone knows of a finding: it is not told again before `until`."""

    fingerprint: str
    until: datetime
    by: str
    at: datetime


class State:
    """One SQLite connection, shared by threads behind a lock.

    `path` None keeps it in memory. Raises StoreUnavailable when the file cannot be opened and
    StoreRefused when a newer Stallwatch wrote it.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._db = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the state file {path} cannot be opened: {error}") from error
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            # What is committed is promised: it must outlive a power cut, not only a crash.
            self._db.execute("PRAGMA synchronous = FULL")
            self._migrate(path)
        except sqlite3.Error as error:
            self._db.close()
            raise StoreUnavailable(f"the state file {path} cannot be used: {error}") from error
        except (StoreRefused, StoreUnavailable):
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file; using the state afterwards raises sqlite3.ProgrammingError."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: commits at the end, rolls back when the block raises.

        Holds the lock, so do nothing slow inside. A nested one joins the one around it. Raises
        StoreUnavailable when the disk is full or another process holds the file too long.
        """
        with self._lock:
            if self._depth:
                yield self._db
                return
            self._depth = 1
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                self._db.rollback()
                if isinstance(error, sqlite3.OperationalError):
                    raise StoreUnavailable(f"the state file cannot be used: {error}") from error
                raise
            finally:
                self._depth = 0

    def save_findings(self, findings: Iterable[Finding], at: datetime | None = None) -> None:
        """Insert or replace findings by fingerprint, in one transaction.

        `at` becomes `updated_at`; without it each finding's own `last_seen` does.
        """
        rows = [
            (
                finding.fingerprint,
                finding.number,
                finding.status.value,
                finding.detector,
                msgspec.json.encode(finding_to_json(finding)).decode(),
                rfc3339(finding.first_seen),
                rfc3339(finding.last_seen),
                rfc3339(at or finding.last_seen),
            )
            for finding in findings
        ]
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def findings(
        self,
        statuses: Collection[Status] | None = None,
        *,
        fingerprints: Collection[str] | None = None,
    ) -> list[Finding]:
        """Findings with one of `statuses` and one of `fingerprints` (None: any), oldest first."""
        found: dict[str, Finding] = {}
        with self.transaction() as db:
            for part in _parts(fingerprints):
                where, values = _where(statuses, part)
                for row in db.execute(f"SELECT body, number FROM findings {where}", values):
                    finding = finding_from_json(msgspec.json.decode(row["body"]), row["number"])
                    found[finding.fingerprint] = finding
        return sorted(found.values(), key=lambda one: (one.first_seen, one.fingerprint))

    def forget_findings(self, before: datetime) -> int:
        """Delete resolved findings last changed before `before`; how many there were."""
        with self.transaction() as db:
            cursor = db.execute(
                "DELETE FROM findings WHERE status = 'resolved' AND updated_at < ?",
                (rfc3339(before),),
            )
            return cursor.rowcount

    def acknowledge(self, fingerprint: str, *, until: datetime, by: str, at: datetime) -> None:
        """Keep a finding quiet until then; a later acknowledgement replaces an earlier one."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO acknowledgements VALUES (?, ?, ?, ?)",
                (fingerprint, rfc3339(until), by, rfc3339(at)),
            )

    def acknowledgements(self, now: datetime) -> dict[str, Acknowledgement]:
        """Those in force at `now`, by fingerprint."""
        with self.transaction() as db:
            rows = db.execute("SELECT * FROM acknowledgements WHERE until > ?", (rfc3339(now),))
            return {
                row["fingerprint"]: Acknowledgement(
                    fingerprint=row["fingerprint"],
                    until=datetime.fromisoformat(row["until"]),
                    by=row["by"],
                    at=datetime.fromisoformat(row["at"]),
                )
                for row in rows
            }

    def forget_acknowledgements(self, now: datetime) -> None:
        """Delete those that are not in force any more."""
        with self.transaction() as db:
            db.execute("DELETE FROM acknowledgements WHERE until <= ?", (rfc3339(now),))

    def end_acknowledgements(self, fingerprints: Collection[str]) -> None:
        """What they were about is over: what comes next under the same fingerprint is news."""
        with self.transaction() as db:
            db.executemany(
                "DELETE FROM acknowledgements WHERE fingerprint = ?",
                [(one,) for one in fingerprints],
            )

    def watermark(self, name: str) -> str | None:
        """The value last set under this name, or None."""
        with self.transaction() as db:
            row = db.execute("SELECT value FROM watermarks WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def set_watermark(self, name: str, value: str) -> None:
        """Set it; inside a `transaction()` it moves together with the rest of it, or not at all."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO watermarks VALUES (?, ?)", (name, value))

    def _migrate(self, path: Path | None) -> None:
        with self.transaction() as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise StoreRefused(
                    f"the state file {path} has version {version}, written by a newer Stallwatch; "
                    f"this one knows {len(MIGRATIONS)}"
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    db.execute(statement)
            # The pragma takes no bound value; the number is our own.
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _parts(fingerprints: Collection[str] | None) -> Iterator[list[str] | None]:
    if fingerprints is None:
        yield None
        return
    wanted = list(fingerprints)
    for start in range(0, len(wanted), PARAMETERS_MAX):
        yield wanted[start : start + PARAMETERS_MAX]


def _where(
    statuses: Collection[Status] | None, fingerprints: list[str] | None
) -> tuple[str, list[str]]:
    conditions: list[str] = []
    values: list[str] = []
    if statuses is not None:
        conditions.append(f"status IN ({', '.join('?' * len(statuses))})")
        values += [status.value for status in statuses]
    if fingerprints is not None:
        conditions.append(f"fingerprint IN ({', '.join('?' * len(fingerprints))})")
        values += fingerprints
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values
