"""The store: where events go in, where they are folded, and where everyone reads."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import pandas as pd

from stallwatch.model.definitions import Definition
from stallwatch.model.durations import rfc3339
from stallwatch.model.events import StepEvent
from stallwatch.model.findings import Finding, Incident
from stallwatch.store import declaring, forgetting, protobuf, tidying
from stallwatch.store.batches import Batches, progress, set_progress
from stallwatch.store.definitions import (
    USUAL_LIMITS,
    Change,
    Conventions,
    SpanLimits,
    built_in,
    migrate,
)
from stallwatch.store.engine import UNCOMPILED, Address, Engine
from stallwatch.store.folding import FoldSession
from stallwatch.store.forgetting import Retention
from stallwatch.store.redaction import NOTHING_MORE, Redaction, check_rules
from stallwatch.store.statements import sql_text

TURN_LOOK_S: Final = 0.5
FOREVER: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SCRATCH: Final = "scratch_"
_INSERT: Final = {
    **UNCOMPILED,
    # There is nothing to choose between in the plan of an insert, and to look for it takes a quarter of its planning.
    "query_plan_enable_optimizations": 0,
}
_FULL: Final = """SELECT name FROM system.tables
WHERE database = {database:String} AND total_rows > 0 AND name != 'schema_ledger'"""
_LEFT_OVER_HERE: Final = """SELECT name AS database FROM system.databases
WHERE startsWith(name, {prefix:String}) ORDER BY database"""
_LEFT_OVER_ON_SERVER: Final = """SELECT database FROM system.tables
WHERE match(database, concat('^', {prefix:String}, '(detect|replay)_[0-9a-f]+$'))
    AND database != currentDatabase()
GROUP BY database
HAVING countIf(name IN ('schema_ledger', 'step_event_log', 'execution_fold')) = 3
    AND max(metadata_modification_time) < now() - INTERVAL 1 DAY
ORDER BY database"""
_STATISTICS_WINDOWS_S: Final = (60, 3600)
NOTED_LATE_US: Final = 20 * 1_000_000
"""So long after the last refresh's time a dirty window may still be found that was noted before it."""
_FINDING_COLUMNS: Final = (
    "fingerprint", "number", "detector", "severity", "status", "namespace", "engine", "workflow",
    "step", "executions", "count", "first_seen", "last_seen", "title", "explanation", "evidence",
    "next_steps", "written_at",
)  # fmt: skip
_BEAT_COLUMNS: Final = (
    "sender", "namespace", "received_at", "accepted", "rejected", "quarantined", "lag_s", "historical",
)  # fmt: skip
_INCIDENT_COLUMNS: Final = (
    "id", "cause", "severity", "findings", "executions", "opened_at", "closed_at", "dimension", "value",
    "merged_into", "split_from", "written_at",
)  # fmt: skip


class EventRow(NamedTuple):
    """A step event and how it came."""

    event: StepEvent
    received_at: datetime
    sender: str
    road: str = "event"
    historical: bool = False


class Store:
    """One database of the engine. Thread-safe: folds and erasures take turns, inserts and reads need not."""

    def __init__(
        self,
        engine: Engine,
        conventions: Conventions | None = None,
        redaction: Redaction = NOTHING_MORE,
        generic_services: Sequence[str] = (),
        limits: SpanLimits = USUAL_LIMITS,
    ) -> None:
        """`generic_services`: globs of the services whose traces are executions."""
        self.engine = engine
        self._conventions = conventions or Conventions()
        self._redaction = redaction
        self._generic_services = list(generic_services)
        self._limits = limits
        self._schema = protobuf.schema_settings(embedded=engine.address.path is not None)
        self._fold_lock = threading.RLock()
        self._batches = Batches(engine)
        self._session: FoldSession | None = None

    # Shape ---------------------------------------------------------------------------------------

    def migrate(
        self,
        now: datetime,
        dry_run: bool = False,
        may_lose_data: bool = False,
        resumable: bool = True,
    ) -> list[Change]:
        """Create or update tables and views; returns the changes. See `definitions.migrate`."""
        check_rules(self.engine, self._redaction.rules)
        migrations, flows, views = built_in(self._redaction, self._limits)
        definitions = [*migrations, *flows, *self._conventions.flows, *views]
        return migrate(self.engine, definitions, now, dry_run, may_lose_data, resumable)

    @contextmanager
    def scratch(self, name: str, now: datetime) -> Iterator["Store"]:
        """An empty store of the same shape beside this one, dropped at the end: for `detect --at` and `check`."""
        engine = Engine(self.engine.address, _SCRATCH + name)
        engine.command_in_default(f"DROP DATABASE IF EXISTS `{engine.database}`")
        scratch = Store(
            engine, self._conventions, self._redaction, self._generic_services, self._limits
        )
        try:
            scratch.migrate(now, resumable=False)
            yield scratch
        finally:
            scratch.close()
            self.engine.command(f"DROP DATABASE IF EXISTS `{engine.database}`")

    def drop_left_over_scratch(self) -> list[str]:
        """Drop the scratch databases that a killed process left behind; returns their names.

        An embedded store is held by the caller alone: there all of them are. On a server another process may be using
        one, and databases of others may be called alike: there only those that `detect` and `replay` name so, that
        have a store's tables, and that were made more than a day ago.
        """
        sql = _LEFT_OVER_HERE if self.engine.address.path is not None else _LEFT_OVER_ON_SERVER
        left = [str(row["database"]) for row in self.engine.rows(sql, {"prefix": _SCRATCH})]
        for name in left:
            self.engine.command(f"DROP DATABASE IF EXISTS `{name}`")
        return left

    # Writing -------------------------------------------------------------------------------------

    def batch(self, received_at: datetime) -> AbstractContextManager[int]:
        """A number for a batch that is written by other ways than these inserts, for the length of a block."""
        return self._batches.begun(received_at)

    def insert_events(
        self,
        events: Sequence[StepEvent],
        received_at: datetime | Sequence[datetime],
        sender: str,
        road: str = "event",
        historical: bool = False,
        token: str = "",
    ) -> None:
        """Commit step events as one batch. `received_at`: one time for all, or one per event.

        The same `token` within the deduplication window commits once. Returns when the batch is durable.
        """
        times = [received_at] * len(events) if isinstance(received_at, datetime) else received_at
        self.insert_event_rows(
            [
                EventRow(event, when, sender, road, historical)
                for event, when in zip(events, times, strict=True)
            ],
            token,
        )

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None:
        """Commit step events of any number of senders as one batch; otherwise like `insert_events`."""
        if not rows:
            return
        with self._batches.begun(max(row.received_at for row in rows)) as batch:
            data = [b"\n".join(_event_row(row, batch) for row in rows)]
            settings = {**_INSERT, **_deduplicate(token)}
            self.engine.insert_raw("event_inbox", data, "JSONEachRow", settings)

    def insert_otlp(self, bodies: Sequence[protobuf.Body], token: str = "") -> None:
        """Commit raw OTLP trace bodies (already checked to be well-formed) as one batch.

        Any number of threads may insert at the same time.
        """
        if not bodies:
            return
        with self._batches.begun(max(body.received_at for body in bodies)) as batch:
            settings = {**_INSERT, **self._schema, **_deduplicate(token)}
            self.engine.insert_raw(
                "otlp_inbox", protobuf.stream(bodies, batch), "Protobuf", settings
            )

    def note_rejected(
        self, sender: str, namespace: str, received_at: datetime, rejected: int
    ) -> None:
        """Count what was sent back to its sender."""
        row = (sender, namespace, received_at, 0, rejected, 0, 0.0, False)
        self.engine.insert_rows("sender_beat", _BEAT_COLUMNS, [row])

    def note_look(
        self, sender: str, namespace: str, began_at: datetime, ended_at: datetime
    ) -> None:
        """Note that a sender that asks an engine has looked at it from end to end, and that what it found is committed.

        Detectors judge what such a sender told as of the beginning of its last look.
        """
        took_s = (ended_at - began_at) / timedelta(seconds=1)
        row = (sender, namespace, ended_at, 0, 0, 0, took_s, False)
        self.engine.insert_rows("sender_beat", _BEAT_COLUMNS, [row])

    def note_away(self, began_at: datetime, ended_at: datetime) -> None:
        """Note that nobody took what senders sent in [began_at, ended_at)."""
        self.engine.insert_rows("away_log", ("began_at", "ended_at"), [(began_at, ended_at)])

    def heard_last(self, after: datetime, before: datetime) -> list[datetime]:
        """When something was received last in the open interval; empty: nothing was."""
        sql = """SELECT max(received_at) AS at FROM sender_beat
            WHERE received_at > {after:DateTime64(6, 'UTC')} AND received_at < {before:DateTime64(6, 'UTC')}
            HAVING count() > 0"""
        return [row["at"] for row in self.engine.rows(sql, {"after": after, "before": before})]

    def write_findings(self, findings: Sequence[Finding], now: datetime) -> None:
        """Copy transitions of findings; the same (fingerprint, number) twice is one row."""
        rows = []
        for finding in findings:
            row = {name: getattr(finding, name) for name in _FINDING_COLUMNS[:-1]}
            row["evidence"] = msgspec.json.encode(finding.evidence).decode()
            row["executions"], row["next_steps"] = (
                list(finding.executions),
                list(finding.next_steps),
            )
            row["severity"], row["status"] = finding.severity.value, finding.status.value
            rows.append([*row.values(), now])
        self.engine.insert_rows("finding_log", _FINDING_COLUMNS, rows)

    def write_incidents(self, incidents: Sequence[Incident], now: datetime) -> None:
        """Copy the present state of incidents; the newest row of an id counts."""
        rows = [
            [
                incident.id,
                incident.cause,
                incident.severity.value,
                [finding.fingerprint for finding in incident.findings],
                incident.executions,
                incident.opened_at,
                incident.closed_at,
                cause.dimension if (cause := incident.common_cause) else "",
                cause.value if cause else "",
                incident.merged_into,
                incident.split_from,
                now,
            ]
            for incident in incidents
        ]
        self.engine.insert_rows("incident_log", _INCIDENT_COLUMNS, rows)

    def write_definitions(self, definitions: Sequence[Definition], now: datetime) -> None:
        """Keep what definitions declare. See `declaring.write_definitions`."""
        declaring.write_definitions(self.engine, definitions, now)

    def replace_configured(self, definitions: Sequence[Definition], now: datetime) -> None:
        """Make these all that the configuration declares. See `declaring.replace_configured`."""
        declaring.replace_configured(self.engine, definitions, now)

    def fold(self, now: datetime) -> int:
        """Fold the executions that batches touched since the last fold. Returns how many there were.

        1. sort the spans that landed, and make step events of them; 2. gather the touched executions; 3. fold them;
        4. remember how far this came.
        """
        with self._turn():
            waiting = self._batches.to_fold()
            if waiting is None:
                return 0
            after, upto = waiting
            try:
                if self._session is None:
                    self._session = FoldSession(
                        self.engine, self._conventions, self._generic_services
                    )
                touched = self._session.run(after, upto, self._batches.mark(upto))
            except BaseException:
                # The temporary tables may hold half a fold, whatever ended it: begin with fresh ones.
                self._end_session()
                self._batches.again()
                raise
            self._batches.folded(upto)
            return touched

    def refresh_statistics(self) -> int:
        """Compute again the histogram windows whose closed attempts changed. Returns how many minutes were dirty."""
        with self._turn():
            shared = self.engine.address.path is None
            name = "statistics_us" if shared else "statistics_batch"
            # What another process notes may become visible a little after its time.
            after = max(0, progress(self.engine, name) - (NOTED_LATE_US if shared else 0))
            window = {"after": after, "is_shared": int(shared)}
            row = self.engine.rows(sql_text("statistics", "0_dirty"), window)[0]
            dirty, upto = int(row["n"]), int(row["upto"])
            if dirty == 0:
                return 0
            for window_s in (*_STATISTICS_WINDOWS_S, 86400):
                parameters = {**window, "window_s": window_s, "upto": upto, "version": upto}
                source = "3_days_from_hours" if window_s == 86400 else "1_windows_from_attempts"
                self.engine.command(sql_text("statistics", source), parameters)
                self.engine.command(sql_text("statistics", "2_windows_gone"), parameters)
            set_progress(self.engine, name, upto)
            return dirty

    # Reading -------------------------------------------------------------------------------------

    def select(
        self, sql: str, parameters: Mapping[str, Any] | None = None, budget_s: float | None = None
    ) -> list[dict[str, Any]]:
        """Rows as dictionaries; times are aware UTC. Raises StoreOverBudget where `budget_s` is not enough."""
        return self.engine.rows(sql, parameters, budget_s)

    def frame(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Rows as a DataFrame."""
        return self.engine.frame(sql, parameters)

    # Forgetting ----------------------------------------------------------------------------------

    def forget(self, execution_id: str) -> int:
        """Erase every row that names the execution. Returns how many events it had."""
        with self._fold_lock:
            return forgetting.forget(self.engine, execution_id)

    def retain(self, now: datetime, retention: Retention) -> None:
        """Delete what is older than its retention: whole executions by when they closed, never open ones."""
        with self._fold_lock:
            forgetting.retain(self.engine, now, retention)

    def tidy(self, now: datetime, recent_s: float) -> None:
        """Take away what is no longer open, or recent: folded within `recent_s`. See `tidying.tidy`."""
        tidying.tidy(self.engine, now, recent_s)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One at a time; nobody waits behind one that waits for a server which says nothing. Raises StoreSilent."""
        while not self._fold_lock.acquire(timeout=TURN_LOOK_S):
            self.engine.must_answer()
        try:
            yield
        finally:
            self._fold_lock.release()

    # Housekeeping --------------------------------------------------------------------------------

    def empty(self) -> None:
        """Take every row away and keep the shape: for the next story in a database that is nobody's."""
        with self._fold_lock:
            full = self.engine.rows(_FULL, {"database": self.engine.database})
            for row in full:
                self.engine.command(f"TRUNCATE TABLE `{row['name']}`")
            self._batches = Batches(self.engine)
            self._end_session()

    def close(self) -> None:
        """Close the clients."""
        with self._fold_lock:
            self._end_session()
            self.engine.close()

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def open_store(
    url: str,
    conventions: Conventions | None = None,
    redaction: Redaction = NOTHING_MORE,
    generic_services: Sequence[str] = (),
    limits: SpanLimits = USUAL_LIMITS,
) -> Store:
    """Open the store at `url`; tables are made by `Store.migrate`."""
    return Store(Engine(Address.parse(url)), conventions, redaction, generic_services, limits)


def _deduplicate(token: str) -> dict[str, str]:
    return {"insert_deduplication_token": token} if token else {}


def _event_row(row: EventRow, batch: int) -> bytes:
    data: dict[str, Any] = msgspec.to_builtins(row.event)
    attributes = data.get("attributes")
    if attributes:
        data["attributes"] = {key: _as_text(value) for key, value in attributes.items()}
    data.setdefault("engine", "custom")
    data.update(
        time=rfc3339(row.event.time),
        received_at=rfc3339(row.received_at),
        sender=row.sender,
        road=row.road,
        historical=row.historical,
        batch=batch,
    )
    return msgspec.json.encode(data)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
