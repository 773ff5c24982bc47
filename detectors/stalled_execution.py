"""An execution that runs although nothing in it does: the next step was never begun, or its own code fails.

The former is held against how long executions of this workflow stood still after the same step before.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from detectors import failing_code, suspects
from detectors.calibration import Learned
from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    execution_key,
    executions_of,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import clock, compared, counted, learned_evidence, named, sureness
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

IDLE_MIN_S: Final = 30
"""Nobody wants to hear of a shorter standstill."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    gaps = context.calibration.gaps.items()
    known_s: dict[tuple[str, ...], float] = {
        place: one.limit_s for place, one in gaps if one.limit_s is not None
    }
    return {
        "until": tick.until,
        "idle_s": IDLE_MIN_S,
        "looked_up": failing_code.LOOKED_UP,
        **suspects.limits(known_s),
    }


def narrow(tick: Tick, looked: Sequence[Row], context: Context) -> dict[str, Any] | None:
    """The same, if the first look found anything that stands still."""
    return parameters(tick, context) if looked else None


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step after which executions stand still, and for each workflow whose code fails, the
    longest first."""
    failing = [row for row in rows if row["attempt"]]
    observations = failing_code.observe(DETECTOR.id, tick, failing, IDLE_MIN_S, context)
    idle = [
        row for row in rows if not row["attempt"] and execution_key(row) not in context.explained
    ]
    idle.sort(key=lambda row: (row["last_progress_at"], row["execution_id"]))
    came = suspects.came(row for row in rows if not row["attempt"])
    return observations + _standstills(tick, idle, came, context)


def _standstills(
    tick: Tick, rows: Sequence[Row], came: Mapping[Place, int], context: Context
) -> list[Observation]:
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        learned = context.calibration.gaps.get(place)
        if learned is None or learned.limit_s is None or not context.enabled(place):
            continue
        limit_s = max(learned.limit_s, float(IDLE_MIN_S))
        told, hidden_by = split_by_silence(group, context)
        idle = [row for row in told if _idle_s(context.as_of_engine(tick, row), row) > limit_s]
        if idle:
            beyond = suspects.beyond(group, len(idle), came[place])
            observations.append(
                _observe(tick, place, idle, beyond, learned, limit_s, hidden_by, context)
            )
    return observations


def _idle_s(until: datetime, row: Row) -> float:
    """Seconds since the execution could have gone on: a declared pause before a retry is none."""
    since = row["last_progress_at"]
    if row["retry_due_at"] is not None:
        since = max(since, row["retry_due_at"])
    return float((until - since) / timedelta(seconds=1))


def _observe(
    tick: Tick,
    place: Place,
    rows: Sequence[Row],
    beyond: int,
    learned: Learned,
    limit_s: float,
    hidden_by: str,
    context: Context,
) -> Observation:
    _, _, workflow, step = place
    executions = executions_of(rows)
    count = len(executions) + beyond
    oldest = rows[0]
    after = f"after {step}" if step else "after its start"
    idle_s = _idle_s(context.as_of_engine(tick, oldest), oldest)
    title = (
        f"{workflow} stands still {after} in {executions[0]}"
        if count == 1
        else f"{workflow} stands still {after} in {count:,} executions"
    )
    explanation = (
        f"{executions[0]} of {workflow} is running, but nothing in it is open, scheduled, waiting or "
        f"backing off: {after} at {clock(oldest['last_progress_at'])} nothing has followed for "
        f"{format_duration(idle_s)}."
    )
    if count > 1:
        others = counted(count - 1, "other execution")
        explanation += f" The same holds for {others}: {named(executions[1:], n=count - 1)}."
    explanation += f" {compared(learned, 'such gap')} {sureness(learned, 'gap', IDLE_MIN_S)}"
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=oldest["last_progress_at"],
        title=title,
        explanation=explanation,
        evidence={
            "threshold_s": round(limit_s, 3),
            "age_s": round(idle_s, 3),
            "after_step": step,
            **learned_evidence(learned),
        },
        next_steps=(
            "Look whether the orchestrator took the last result: its log since "
            f"{clock(oldest['last_progress_at'])}.",
            "Look whether the next step was put on a queue that nobody reads, or was never recorded.",
        ),
        hidden_by=hidden_by,
    )


DETECTOR: Final = Detector(
    "stalled_execution",
    3.0,
    judge,
    parameters,
    absorbed_by=("telemetry_silence", "partial_failure"),
    narrow=narrow,
)
