"""A run whose history is more than half of what the engine allows: when it is full, the engine ends the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    executions_of,
    grouped,
    split_by_silence,
)
from detectors.explaining import clock, counted, named, share
from detectors.limits import HISTORY_LIMIT_BYTES, HISTORY_LIMIT_EVENTS, HISTORY_NEAR
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

URGENT: Final = 0.9
"""Beyond this share of the limit there is little time left."""
UNTOLD: Final = 6.0
"""At most so many events of a history stand for one step event: an activity's scheduling comes with four of its
workflow task."""
FOREVER: Final = timedelta(days=3650)
CANDIDATES_MOST: Final = 200
ENGINE: Final = "engine"
SEQUENCE: Final = "sequence numbers"
RECEIVED: Final = "events received"
_MORE: Final = {
    SEQUENCE: "That is what the sequence numbers of its events show; the engine may count more. ",
    RECEIVED: "That is what was received of it; the engine may count more. ",
}
_CUT_OFF: Final = {
    "temporal": "Temporal terminates the execution then",
    "stepfunctions": "Step Functions fails the execution then",
}


@dataclass(frozen=True)
class Filled:
    """How full a run's history is: `used` of `limit`, counted in `unit`; `counted_by` is one of those below; `full_at`:
    at its present pace."""

    row: Row
    used: int
    limit: int
    unit: str
    counted_by: str
    full_at: datetime | None

    @property
    def share(self) -> float:
        return self.used / self.limit


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "until": tick.until,
        "engines": list(HISTORY_LIMIT_EVENTS),
        "limits": [float(limit) for limit in HISTORY_LIMIT_EVENTS.values()],
        "near": HISTORY_NEAR,
        "untold": UNTOLD,
        "known": list(context.calibration.large_histories),
        "most": CANDIDATES_MOST,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, the fullest history first."""
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        place = (namespace, engine, workflow, "")
        if not context.enabled(place):
            continue
        told, hidden_by = split_by_silence(group, context)
        filled = [_filled(context.as_of(tick, row), row) for row in told]
        full = sorted(
            (one for one in filled if one.share > HISTORY_NEAR), key=lambda one: -one.share
        )
        if full:
            observations.append(_observe(place, full, hidden_by, context))
    return observations


def _filled(until: datetime, row: Row) -> Filled:
    """By the limit that is nearer: the number of events, or their bytes."""
    engine = row["engine"]
    counts = {
        ENGINE: row["engine_events"],
        SEQUENCE: row["numbered_events"],
        RECEIVED: row["received_events"],
    }
    counted_by = max(counts, key=lambda one: counts[one])
    candidates = [(counts[counted_by], HISTORY_LIMIT_EVENTS[engine], "events", counted_by)]
    if engine in HISTORY_LIMIT_BYTES:
        candidates.append((row["bytes"] or 0, HISTORY_LIMIT_BYTES[engine], "bytes", RECEIVED))
    used, limit, unit, counted_by = max(candidates, key=lambda one: one[0] / one[1])
    return Filled(row, used, limit, unit, counted_by, _full_at(until, row, used, limit))


def _full_at(until: datetime, row: Row, used: int, limit: int) -> datetime | None:
    """At the pace of the latest half of the events, from when they began until now."""
    lately = until - row["half_at"]
    if lately <= timedelta(0):
        return None
    left = lately * (max(limit - used, 0) / max(used / 2, 1))
    return until + left if left < FOREVER else None


def _observe(place: Place, full: list[Filled], hidden_by: str, context: Context) -> Observation:
    fullest = full[0]
    namespace, engine, workflow, _ = place
    executions = executions_of(one.row for one in full)
    count = len(executions)
    severity = Severity.CRITICAL if fullest.share > URGENT else Severity.WARNING
    title = (
        f"The history of {executions[0]} of {workflow} is {_percent(fullest.share)} full"
        if count == 1
        else f"The histories of {count:,} executions of {workflow} are more than half full"
    )
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, severity),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        executions=executions,
        count=count,
        since=fullest.row["started_at"],
        title=title,
        explanation=_explain(workflow, full, executions),
        evidence={
            "used": fullest.used,
            "limit": fullest.limit,
            "unit": fullest.unit,
            "share": round(fullest.share, 4),
            "counted_by": fullest.counted_by,
            "full_at": None if fullest.full_at is None else rfc3339(fullest.full_at),
        },
        next_steps=(
            _advice(engine),
            f"Look what {executions[0]} does again and again: a loop, a poll, signals that keep coming.",
        ),
        hidden_by=hidden_by,
    )


def _explain(workflow: str, full: list[Filled], executions: tuple[str, ...]) -> str:
    fullest = full[0]
    row = fullest.row
    what = (
        f"{fullest.used:,} events"
        if fullest.unit == "events"
        else f"{fullest.used / 2**20:,.0f} MB"
    )
    limit = f"{fullest.limit:,}" if fullest.unit == "events" else f"{fullest.limit / 2**20:,.0f} MB"
    least = "" if fullest.counted_by == ENGINE else "at least "
    words = (
        f"The history of {executions[0]} of {workflow}, which began {clock(row['started_at'])}, has "
        f"{least}{what}: {share(fullest.share)} of the {limit} that are allowed. "
    )
    words += _MORE.get(fullest.counted_by, "")
    if fullest.full_at is not None:
        words += f"At the pace of its latest half it is full about {clock(fullest.full_at)}. "
    words += f"{_CUT_OFF[row['engine']]}."
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        words += f" More than half full are {others}: {named(executions[1:])}."
    return words


def _advice(engine: str) -> str:
    if engine == "temporal":
        return "Let it continue as new before that, with what it still needs to know as its input."
    return (
        "Let it start a new execution of itself before that, or move the loop into child executions "
        "(a nested state machine, a distributed Map)."
    )


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


DETECTOR: Final = Detector("history_limit", 60.0, judge, parameters)
