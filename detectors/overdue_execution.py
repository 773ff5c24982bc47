"""An execution that as a whole takes longer than such executions take, whatever it is doing.

What it waited (for a timer, a signal, a person, a child) or was suspended does not count. A policy's
`max_duration` stands above what was learned; a timeout that the execution or its workflow's
definition declares counts from its start, as the engine counts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors import suspects
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
    declared_in,
    learned_evidence,
    limit_source,
    so_have,
    sureness,
)
from detectors.statistics.remaining import whole_s
from stallwatch.model.durations import format_duration, rfc3339
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

MOMENT: Final = timedelta(seconds=1)
"""An end that is expected so soon is no time to wait for."""

_ALLOW: Final = {
    "policy": "If it may take so long, raise the policy's max_duration.",
    "declared": "If it may take so long, raise the timeout; if not, look why the engine has not ended it.",
}


@dataclass(frozen=True)
class Overdue:
    """Why one execution is overdue; `rule` is policy, declared or what the threshold was learned
    by."""

    row: Row
    age_s: float
    limit_s: float
    rule: str
    learned: Learned | None


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    """Which executions may be overdue, and whose trouble is told already."""
    learned, declared = context.calibration.executions, context.calibration.declared.steps
    allowed = [one.max_duration for one in context.config.policy if one.max_duration is not None]
    known_s: dict[tuple[str, ...], float] = {}
    declared_s: dict[tuple[str, ...], float] = {}
    for namespace, engine, workflow, step in {*declared, *((*key, "") for key in learned)}:
        if step:
            continue
        place = (namespace, engine, workflow, step)
        policy_s = context.config.policy_for("max_duration", *place)
        learned_s = context.calibration.least_execution_limit_s((namespace, engine, workflow))
        known_s[place] = next((s for s in (policy_s, learned_s) if s is not None), suspects.NEVER_S)
        versions = declared.get(place, {}).values()
        said = [float(v["timeout_s"].value) for v in versions if "timeout_s" in v]
        declared_s[place] = min(said, default=suspects.NEVER_S)
    return {
        "until": tick.until,
        **suspects.limits(known_s),
        "age_s": list(declared_s.values()) or [suspects.NEVER_S],
        "names_waits": _names_waits(context),
        "otherwise_s": min(allowed, default=suspects.NEVER_S),
        "troubled": sorted({key[2] for key in context.explained})[: suspects.ROWS_MAX],
    }


def _names_waits(context: Context) -> bool:
    """Whether a policy or a definition says of any step that it waits though nothing labels it."""
    declared = context.calibration.declared.steps.values()
    return any(one.waiting_on is not None for one in context.config.policy) or any(
        "waiting_on" in said for versions in declared for said in versions.values()
    )


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, the oldest execution first; of a parent and its child only
    the child is told."""
    candidates: list[tuple[Place, list[Overdue], str]] = []
    beyond: dict[Place, int] = {}
    came = suspects.came(rows)
    unexplained = [
        row
        for row in rows
        if execution_key(row) not in context.explained
        and (row["namespace"], row["engine"], row["workflow"]) not in context.flooded
    ]
    for key, group in grouped(unexplained, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        place = (namespace, engine, workflow, "")
        if not context.enabled(place):
            continue
        policy_s = context.config.policy_for("max_duration", *place)
        limited = [_without_named_waits(context.limited(row), context) for row in group]
        told, hidden_by = split_by_silence(limited, context)
        overdue = [
            found for row in told if (found := _overdue(tick, row, policy_s, context)) is not None
        ]
        if overdue:
            candidates.append((place, overdue, hidden_by))
            beyond[place] = suspects.beyond(group, len(overdue), came[place])
    late = {execution_key(one.row) for _, overdue, _ in candidates for one in overdue}
    explained = _with_parents(rows, context.explained | late, late)
    observations = []
    for place, overdue, hidden_by in candidates:
        deepest = [one for one in overdue if execution_key(one.row) not in explained]
        if deepest:
            observations.append(_observe(tick, place, deepest, beyond[place], hidden_by, context))
    return observations


def _without_named_waits(row: Row, context: Context) -> Row:
    """The row with the time in `waited_s` too that it spent in steps which a policy or definition calls waits."""
    place = (row["namespace"], row["engine"], row["workflow"])
    named_s = sum(s for step, s in row["taken_s"].items() if context.waits((*place, step)))
    return {**row, "waited_s": row["waited_s"] + named_s}


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


def _overdue(tick: Tick, row: Row, policy_s: float | None, context: Context) -> Overdue | None:
    """The first limit that is exceeded, if any."""
    key = (row["namespace"], row["engine"], row["workflow"])
    learned = context.calibration.execution(key, row["workflow_version"])
    until = context.as_of_engine(tick, row)
    age_s = float((until - row["started_at"]) / timedelta(seconds=1))
    active_s = age_s - row["waited_s"]
    limits = []
    if policy_s is not None:
        limits.append(Overdue(row, active_s, policy_s, "policy", learned))
    elif learned is not None and learned.limit_s is not None:
        limits.append(Overdue(row, active_s, learned.limit_s, learned.threshold.rule, learned))
    if row["timeout_s"]:
        slack_s = learned.slack_s if learned else SLACK_MIN_S
        limits.append(Overdue(row, age_s, row["timeout_s"] + slack_s, "declared", learned))
    exceeded = [one for one in limits if one.age_s > one.limit_s]
    return min(exceeded, key=lambda one: one.limit_s) if exceeded else None


def _observe(
    tick: Tick,
    place: Place,
    overdue: list[Overdue],
    beyond: int,
    hidden_by: str,
    context: Context,
) -> Observation:
    workflow = place[2]
    oldest = overdue[0]
    learned = oldest.learned
    executions = executions_of(one.row for one in overdue)
    count = len(executions) + beyond
    end_at = expected_end(tick.until, oldest.row, context.calibration)
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
        explanation=_explain(tick.until, overdue, executions, count, learned, end_at),
        evidence=evidence,
        next_steps=(
            f"Look at what {executions[0]} is doing: its last progress was at "
            f"{clock(oldest.row['last_progress_at'])}.",
            _ALLOW.get(
                oldest.rule, "If this is how long it may take, say so with a policy's max_duration."
            ),
        ),
        hidden_by=hidden_by,
    )


def expected_end(until: datetime, row: Row, calibration: Calibration) -> datetime | None:
    """When it would end if it goes on as others did that took as long since the step that ended last.
    None: hardly any took so long."""
    gap = calibration.gaps.get((row["namespace"], row["engine"], row["workflow"], row["last_step"]))
    if gap is None:
        return None
    since: datetime = row["last_progress_at"]
    rest_s = whole_s(gap.rest_percentiles_s, (until - since) / timedelta(seconds=1))
    return None if rest_s is None else since + timedelta(seconds=rest_s)


def _explain(
    until: datetime,
    overdue: list[Overdue],
    executions: tuple[str, ...],
    count: int,
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
    words += so_have(executions[1:], count - 1)
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
    if end_at is not None and end_at - until < MOMENT:
        words += " From where it is now, half of the others ended within a second."
    elif end_at is not None:
        words += f" If it goes on from where it is as others did, it ends about {clock(end_at)}."
    return words


DETECTOR: Final = Detector(
    "overdue_execution",
    5.0,
    judge,
    parameters,
    absorbed_by=(
        "telemetry_silence",
        "dead_queue",
        "never_started",
        "partial_failure",
        "stalled_step",
        "stalled_execution",
    ),
)
