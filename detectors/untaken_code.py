"""Executions whose own code no worker runs: Temporal's workflow tasks that stay in their queue.

Told only once nobody has taken one for a while, so there is no past of such waits. It is held against how long
executions stood still behind the same step before, which these waits are a part of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from detectors.calibration import Learned
from detectors.detector import (
    Context,
    Row,
    executions_of,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import (
    clock,
    compared,
    counted,
    dominant,
    dominant_words,
    learned_evidence,
    named,
    sureness,
)
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

LEAST_S: Final = 30.0
"""Workers are replaced: a shorter wait is told only where it makes the execution as a whole take too long."""
UNKNOWN_S: Final = 60.0
"""How long it may last where nobody knows how quickly executions go on: healthy workers need milliseconds."""


@dataclass(frozen=True)
class Untaken:
    """One workflow task that waits. `learned`: the gaps that its wait is held against, if they are known."""

    row: Row
    age_s: float
    limit_s: float
    learned: Learned | None


def observe(detector: str, tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow whose code nobody runs, the oldest execution first."""
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        if not context.enabled(place_of(group[0])):
            continue
        told, hidden_by = split_by_silence(group, context)
        waiting = [_untaken(tick, row, context) for row in told]
        late = [one for one in waiting if one.age_s > one.limit_s]
        if late:
            observations.append(_observe(detector, late, hidden_by, context))
    return observations


def _untaken(tick: Tick, row: Row, context: Context) -> Untaken:
    until = context.as_of_engine(tick, row)
    age_s = (until - row["scheduled_at"]) / timedelta(seconds=1) - row["suspended_s"]
    most_s = execution_limit_s(row, context)
    learned = context.calibration.gaps.get((*place_of(row)[:3], row["last_step"]))
    if learned is None or learned.limit_s is None:
        return Untaken(row, age_s, min(UNKNOWN_S, most_s), None)
    return Untaken(row, age_s, min(max(learned.limit_s, LEAST_S), most_s), learned)


def execution_limit_s(row: Row, context: Context) -> float:
    """From when on the execution as a whole would be told to take too long, whose cause is known here; infinite if
    never."""
    key = (row["namespace"], row["engine"], row["workflow"])
    allowed_s = context.config.policy_for("max_duration", *key, "")
    if allowed_s is not None:
        return float(allowed_s)
    learned = context.calibration.execution(key, row["workflow_version"])
    return math.inf if learned is None or learned.limit_s is None else learned.limit_s


def _observe(
    detector: str, late: Sequence[Untaken], hidden_by: str, context: Context
) -> Observation:
    oldest = late[0]
    row = oldest.row
    place = place_of(row)
    _, _, workflow, step = place
    rows = [one.row for one in late]
    executions = executions_of(rows)
    count = len(executions)
    common = dominant(rows)
    queue = f"queue {common['queue']}" if "queue" in common else "its queue"
    shared = {name: value for name, value in common.items() if name != "queue"}
    where = executions[0] if count == 1 else counted(count, "execution")
    evidence: dict[str, Any] = {
        "threshold_s": round(oldest.limit_s, 3),
        "age_s": round(oldest.age_s, 3),
        "attempt": row["attempt"],
        **({} if oldest.learned is None else learned_evidence(oldest.learned)),
        "rule": "code_not_taken",
        **common,
    }
    return Observation(
        detector=detector,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=row["scheduled_at"],
        title=f"No worker takes the workflow task of {workflow} from {queue} in {where}",
        explanation=_explain(oldest, queue, executions) + dominant_words(shared, count, "waits"),
        evidence=evidence,
        next_steps=(
            f"Look whether any worker for {workflow} listens to {queue}, and whether its name is right where the "
            "execution is started.",
            "If workers listen there, look whether they are all busy: they poll no more than they have slots for.",
        ),
        hidden_by=hidden_by,
    )


def _explain(oldest: Untaken, queue: str, executions: Sequence[str]) -> str:
    row = oldest.row
    words = (
        f"{row['execution_id']} of {row['workflow']} is running, but its own code is not: no worker has taken its "
        f"workflow task from {queue} since {clock(row['scheduled_at'])}, for {format_duration(oldest.age_s)}."
    )
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        words += f" So it is in {others}: {named(executions[1:])}."
    if oldest.learned is None:
        words += " Healthy workers take such work within milliseconds"
        return f"{words}; up to {format_duration(oldest.limit_s)} is allowed here."
    before = row["last_step"] or "the start"
    words += f" This is held against the gaps after {before} in executions of {row['workflow']}:"
    is_whole = oldest.limit_s < max(oldest.learned.limit_s or 0.0, LEAST_S)
    sure = sureness(oldest.learned, "gap", 0.0 if is_whole else LEAST_S)
    words += f" {compared(oldest.learned, 'such gap')} {sure}"
    if is_whole:
        limit = format_duration(oldest.limit_s)
        words += (
            f" It is told after {limit}: by then the execution as a whole takes longer than it may."
        )
    return words
