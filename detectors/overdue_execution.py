"""An execution that as a whole takes longer than such executions take, whatever it is doing.

What it waited (for a timer, a signal, a person, a child) or was suspended does not count. A policy's
`max_duration` stands above what was learned; a timeout that the execution or its workflow's
definition declares counts from its start, as the engine counts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration import Calibration, Learned
from detectors.calibration.learned import SLACK_MIN_S
from detectors.detector import (
    Context,
    Detector,
    ExecutionKey,
    Place,
    Row,
    execution_key,
    executions_of,
    grouped,
    split_by_silence,
)
from detectors.explaining import (
    clock,
    compared,
    counted,
    declared_in,
    learned_evidence,
    limit_source,
    named,
    sureness,
)
from stallwatch.model.durations import format_duration, rfc3339
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


@dataclass(frozen=True)
class Overdue:
    """Why one execution is overdue; `rule` is policy, declared or what the threshold was learned
    by."""

    row: Row
    age_s: float
    limit_s: float
    rule: str


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, the oldest execution first; of a parent and its child only
    the child is told."""
    candidates: list[tuple[Place, list[Overdue], Learned | None, str]] = []
    unexplained = [row for row in rows if execution_key(row) not in context.explained]
    for key, group in grouped(unexplained, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        place = (namespace, engine, workflow, "")
        if not context.enabled(place):
            continue
        learned = context.calibration.executions.get((namespace, engine, workflow))
        policy_s = context.config.policy_for("max_duration", *place)
        limited = [context.limited(row) for row in group]
        told, hidden_by = split_by_silence(limited, context)
        overdue = [
            found
            for row in told
            if (found := _overdue(context.as_of_engine(tick, row), row, learned, policy_s))
            is not None
        ]
        if overdue:
            candidates.append((place, overdue, learned, hidden_by))
    late = {execution_key(one.row) for _, overdue, _, _ in candidates for one in overdue}
    explained = _with_parents(rows, context.explained | late, late)
    observations = []
    for place, overdue, learned, hidden_by in candidates:
        deepest = [one for one in overdue if execution_key(one.row) not in explained]
        if deepest:
            observations.append(_observe(tick, place, deepest, learned, hidden_by, context))
    return observations


def _with_parents(
    rows: Sequence[Row], troubled: frozenset[ExecutionKey], late: set[ExecutionKey]
) -> set[ExecutionKey]:
    """What needs no telling: executions explained already, and those above a troubled one, for
    which they wait. `late` ones are told unless a child of theirs is troubled too."""
    parents = {
        execution_key(row): (row["namespace"], row["engine"], row["parent_execution_id"])
        for row in rows
        if row["parent_execution_id"]
    }
    explained = set(troubled - late)
    for key in troubled:
        above = parents.get(key)
        while above is not None and above not in explained:
            explained.add(above)
            above = parents.get(above)
    return explained


def _overdue(
    until: datetime, row: Row, learned: Learned | None, policy_s: float | None
) -> Overdue | None:
    """The first limit that is exceeded, if any."""
    age_s = float((until - row["started_at"]) / timedelta(seconds=1))
    active_s = age_s - row["waited_s"]
    limits = []
    if policy_s is not None:
        limits.append(Overdue(row, active_s, policy_s, "policy"))
    elif learned is not None and learned.limit_s is not None:
        limits.append(Overdue(row, active_s, learned.limit_s, learned.threshold.rule))
    if row["timeout_s"]:
        slack_s = learned.slack_s if learned else SLACK_MIN_S
        limits.append(Overdue(row, age_s, row["timeout_s"] + slack_s, "declared"))
    exceeded = [one for one in limits if one.age_s > one.limit_s]
    return min(exceeded, key=lambda one: one.limit_s) if exceeded else None


def _observe(
    tick: Tick,
    place: Place,
    overdue: list[Overdue],
    learned: Learned | None,
    hidden_by: str,
    context: Context,
) -> Observation:
    workflow = place[2]
    oldest = overdue[0]
    executions = executions_of(one.row for one in overdue)
    count = len(executions)
    end_at = _expected_end(tick.until, oldest.row, context.calibration)
    title = (
        f"{executions[0]} of {workflow} takes too long"
        if count == 1
        else f"{count:,} executions of {workflow} take too long"
    )
    evidence: dict[str, Any] = {
        "threshold_s": round(oldest.limit_s, 3),
        "age_s": round(oldest.age_s, 3),
        "waited_s": round(oldest.row["waited_s"], 3),
        **({} if learned is None else learned_evidence(learned)),
        "rule": oldest.rule,
        "expected_end": None if end_at is None else rfc3339(end_at),
    }
    source = limit_source(oldest.row, "timeout_s") if oldest.rule == "declared" else ""
    if source:
        evidence["declared_by"] = source
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        executions=executions,
        count=count,
        since=oldest.row["started_at"],
        title=title,
        explanation=_explain(tick.until, overdue, executions, learned, end_at),
        evidence=evidence,
        next_steps=(
            f"Look at what {executions[0]} is doing: it has been making progress until "
            f"{clock(oldest.row['last_progress_at'])}.",
            "If this is how long it may take, say so with a policy's max_duration.",
        ),
        hidden_by=hidden_by,
    )


def _expected_end(until: datetime, row: Row, calibration: Calibration) -> datetime | None:
    """When it would end if what remains takes as long as it mostly does after the step that ended
    last."""
    key = (row["namespace"], row["engine"], row["workflow"], row["last_step"])
    gap = calibration.gaps.get(key)
    if gap is None:
        return None
    ends_at: datetime = row["last_progress_at"] + timedelta(seconds=gap.rest_s)
    return max(until, ends_at)


def _explain(
    until: datetime,
    overdue: list[Overdue],
    executions: tuple[str, ...],
    learned: Learned | None,
    end_at: datetime | None,
) -> str:
    oldest = overdue[0]
    waited_s = oldest.row["waited_s"]
    words = (
        f"{executions[0]} of {oldest.row['workflow']} has taken {format_duration(oldest.age_s)} since "
        f"{clock(oldest.row['started_at'])}"
    )
    if waited_s > 0 and oldest.rule != "declared":
        words += f", not counting {format_duration(waited_s)} in which it waited"
    words += "."
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        words += f" So have {others}: {named(executions[1:])}."
    if oldest.rule == "policy":
        words += f" Its owner allows {format_duration(oldest.limit_s)}."
    elif oldest.rule == "declared":
        source = limit_source(oldest.row, "timeout_s")
        timeout = format_duration(oldest.row["timeout_s"])
        words += (
            f" A timeout of {timeout} is {declared_in(source)}."
            if source
            else f" It declares a timeout of {timeout}."
        )
    if learned is not None:
        words += f" {compared(learned, 'execution')}"
        if oldest.rule not in ("policy", "declared"):
            words += f" {sureness(learned, 'execution')}"
    if end_at is not None and end_at > until:
        words += f" By what usually remains it should end about {clock(end_at)}."
    return words


DETECTOR: Final = Detector(
    "overdue_execution",
    5.0,
    judge,
    absorbed_by=("telemetry_silence", "stalled_step", "stalled_execution"),
)
