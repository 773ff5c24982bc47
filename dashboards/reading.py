"""What people ask of the store, as typed questions: the web pages, the JSON API and the command line share them.

Rows are dictionaries under the public field names; times are aware UTC, durations are seconds (`…_s`).
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from stallwatch.errors import InputError
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import DETECTOR_IDS, Finding, Status
from stallwatch.model.findings_json import finding_from_json
from stallwatch.store import FOREVER, Store
from stallwatch.store.state import State

EXECUTION_STATUSES: Final = (
    "running", "completed", "failed", "timed_out", "cancelled", "terminated", "continued", "suspended",
)  # fmt: skip
OPEN_STATUSES: Final = ("scheduled", "running", "waiting", "backing_off")
CLOSED_STATUSES: Final = ("completed", "failed", "timed_out", "cancelled")
STEP_STATUSES: Final = ("open", *OPEN_STATUSES, *CLOSED_STATUSES)
LIMIT_MAX: Final = 10_000
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
MINUTES_KEPT_S: Final = 48 * 3600
HOURS_KEPT_S: Final = 35 * 86400
SERIES_POINTS_MAX: Final = 60
StepKey = tuple[str, str, str, str]
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which rows are wanted; an empty text wants all. Times are a half-open interval [since, until)."""

    namespace: str = ""
    engine: str = ""
    workflow: str = ""
    step: str = ""
    status: str = ""
    detector: str = ""
    since: datetime = BEGINNING
    until: datetime = FOREVER
    limit: int = field(default=100)

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise InputError(f"limit: must be between 1 and {LIMIT_MAX}, not {self.limit}")
        if self.since >= self.until:
            raise InputError("since: must be before until")

    def parameters(self) -> dict[str, Any]:
        """Every filter by its name, for binding."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def executions(store: Store, filters: Filters) -> list[Row]:
    """Executions that were alive in [since, until), the latest first."""
    _check("status", filters.status, EXECUTION_STATUSES)
    return store.select(sql("executions"), filters.parameters())


def execution(
    store: Store, execution_id: str, run: str = "", filters: Filters | None = None
) -> list[Row]:
    """The runs of an execution, the latest first, each with its `attempt_list` and `events`; empty if unknown.

    Of `filters` a step leaves out the attempts and events of others, everything else chooses runs.
    """
    wanted = filters or Filters()
    _check("status", wanted.status, EXECUTION_STATUSES)
    parameters = {"execution_id": execution_id}
    runs = store.select(sql("execution"), parameters)
    if not runs:
        return []
    attempts = store.select(sql("execution_attempts"), parameters)
    events = store.select(sql("execution_events"), parameters)
    latest: dict[tuple[str, str], str] = {}
    for one in runs:
        latest.setdefault((one["namespace"], one["engine"]), one["run_id"])
    # Only now: what names no run belongs to the latest of all runs, not to the latest of those wanted.
    runs = [one for one in runs if run in ("", one["run_id"]) and _is_wanted(one, wanted)]
    if wanted.step:
        attempts, events = (
            [row for row in rows if row["step"] == wanted.step] for rows in (attempts, events)
        )
    for one in runs:
        place = (one["namespace"], one["engine"], one["run_id"])
        one["attempt_list"] = _of_run(attempts, place, latest)
        one["events"] = _of_run(events, place, latest)
    return runs


def _is_wanted(run: Row, filters: Filters) -> bool:
    names = ("namespace", "engine", "workflow", "status")
    return (
        all(getattr(filters, name) in ("", run[name]) for name in names)
        and run["started_at"] < filters.until
        and (run["ended_at"] is None or run["ended_at"] >= filters.since)
    )


def _of_run(
    rows: Iterable[Row], place: tuple[str, str, str], latest: Mapping[tuple[str, str], str]
) -> list[Row]:
    """The rows of one run; a row that names no run belongs to the latest."""
    found = []
    for row in rows:
        home = (row["namespace"], row["engine"])
        if (*home, row["run_id"] or latest.get(home, "")) == place:
            found.append({k: v for k, v in row.items() if k not in ("namespace", "engine")})
    return found


def steps(store: Store, filters: Filters, now: datetime) -> list[Row]:
    """Per step n, completed, failed, timed_out, cancelled, retried, p50_s, p95_s, p99_s over [since, until), and open.

    The percentiles are of completed attempts, from log-histograms (at most 1.1 % off), None when none completed.
    `open` and `oldest_open_at` are of now, whatever the period. A status wants the steps with an attempt in it.
    """
    _check("status", filters.status, STEP_STATUSES)
    window_s = window_for(filters, now)
    parameters = {**filters.parameters(), "window_s": window_s}
    found: dict[StepKey, Row] = {}
    for row in store.select(sql("steps_closed"), parameters):
        bins = row.pop("bins")
        counted = sum(row[k] for k in CLOSED_STATUSES)
        row.update(n=counted, open=0, oldest_open_at=None, window_s=window_s)
        for name, bin_ in zip(("p50_s", "p95_s", "p99_s"), bins, strict=True):
            row[name] = seconds_of_bin(bin_) if row["completed"] else None
        found[step_key(row)] = row
    in_status = {key for key, row in found.items() if row.get(filters.status)}
    for row in store.select(sql("steps_open"), parameters):
        if filters.status in ("open", *row.pop("statuses")):
            in_status.add(step_key(row))
        if step_key(row) in found:
            found[step_key(row)].update(open=row["open"], oldest_open_at=row["oldest_open_at"])
        else:
            zeros = dict.fromkeys((*CLOSED_STATUSES, "retried", "n"), 0)
            nothing = dict.fromkeys(("p50_s", "p95_s", "p99_s"))
            found[step_key(row)] = {**row, **zeros, **nothing, "window_s": window_s}
    return [found[key] for key in sorted(found) if not filters.status or key in in_status]


def p95_series(
    store: Store, filters: Filters, now: datetime
) -> dict[StepKey, list[tuple[datetime, float]]]:
    """Per step the p95 in seconds of at most 60 windows, oldest first; windows without a completion are left out."""
    window_s = window_for(filters, now)
    span_s = (min(filters.until, now) - filters.since).total_seconds()
    times = max(1, math.ceil(span_s / window_s / SERIES_POINTS_MAX))
    parameters = {**filters.parameters(), "window_s": window_s, "bucket_s": window_s * times}
    series: dict[StepKey, list[tuple[datetime, float]]] = {}
    for row in store.select(sql("steps_series"), parameters):
        point = (row["window_start"], seconds_of_bin(row["bin"]))
        series.setdefault(step_key(row), []).append(point)
    return series


def window_for(filters: Filters, now: datetime) -> int:
    """The width in seconds of the statistics windows for [since, until): the finest that are few and still kept."""
    span = min(filters.until, now) - filters.since
    age_s = (now - filters.since).total_seconds()
    if span <= timedelta(hours=6) and age_s <= MINUTES_KEPT_S:
        return 60
    if span <= timedelta(days=14) and age_s <= HOURS_KEPT_S:
        return 3600
    return 86400


def counted(filters: Filters, now: datetime) -> tuple[datetime, datetime]:
    """The interval that `steps` counts: statistics are kept by windows, and those at both ends are counted whole."""
    width = timedelta(seconds=window_for(filters, now))
    first = filters.since - (filters.since - BEGINNING) % width
    last = filters.until + (BEGINNING - filters.until) % width
    return first, min(last, max(now, filters.until))


def findings(source: State | Store, filters: Filters) -> list[Finding]:
    """Current findings (status empty: all that are not resolved), from the brain's state or the store's copy of it."""
    _check("status", filters.status, [status.value for status in Status])
    _check("detector", filters.detector, DETECTOR_IDS)
    wanted = [Status(filters.status)] if filters.status else [s for s in Status if s != "resolved"]
    found = (
        source.findings(wanted) if isinstance(source, State) else _copied_findings(source, wanted)
    )
    return [
        finding
        for finding in found
        if all(
            not getattr(filters, name) or getattr(filters, name) == getattr(finding, name)
            for name in ("detector", "namespace", "engine", "workflow", "step")
        )
    ]


def _copied_findings(store: Store, statuses: Collection[Status]) -> list[Finding]:
    rows = store.select(sql("findings"), {"statuses": [status.value for status in statuses]})
    for row in rows:
        row["evidence"] = msgspec.json.decode(row["evidence"] or "{}")
        row["first_seen"], row["last_seen"] = rfc3339(row["first_seen"]), rfc3339(row["last_seen"])
    return [finding_from_json(row) for row in rows]


def incidents(store: Store, filters: Filters) -> list[Row]:
    """Incidents that were open in [since, until), the latest first; status `open` or `closed`."""
    _check("status", filters.status, ("open", "closed"))
    return store.select(sql("incidents"), filters.parameters())


def incident(store: Store, incident_id: str) -> Row | None:
    """One incident with its `members` (findings in whatever state they are), None if unknown."""
    rows = store.select(sql("incident"), {"id": incident_id})
    if not rows:
        return None
    found = _copied_findings(store, list(Status))
    wanted = set(rows[0]["findings"])
    return {**rows[0], "members": [one for one in found if one.fingerprint in wanted]}


def recommendations(store: Store, filters: Filters) -> list[Row]:
    """The latest timeout recommendation of each step."""
    return store.select(sql("recommendations"), filters.parameters())


def ingest_health(store: Store) -> list[Row]:
    """Each sender, the one heard last first."""
    return store.select(sql("ingest_health"))


def counts(store: Store, since: datetime) -> Row:
    """How many executions run and are suspended now, how many ended well and badly since."""
    return store.select(sql("counts"), {"since": since})[0]


def step_key(row: Mapping[str, Any]) -> StepKey:
    """The identity of a step in a row."""
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def seconds_of_bin(bin_: int) -> float:
    """The middle of a histogram bin, in seconds: bin b holds 2^(b/32) to 2^((b+1)/32)."""
    return float(2.0 ** ((bin_ + 0.5) / 32))


def plain(value: Any) -> Any:
    """A row, or rows, in plain JSON types: times as RFC 3339, numbers that are none as null."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@cache
def sql(name: str) -> str:
    """The text of one of this room's queries."""
    return (files("dashboards") / "queries" / f"{name}.sql").read_text(encoding="utf-8").strip()


def _check(field_name: str, value: str, allowed: Collection[str]) -> None:
    if value and value not in allowed:
        raise InputError(f"{field_name}: must be one of {', '.join(allowed)}, not {value!r}")
