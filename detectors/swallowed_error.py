"""A step failed for good, and its execution completed all the same, as if nothing had happened.

Told where that was never so: the step ran in many completed executions and had succeeded in all of them. Where these
are not very many, a single one is suspected only: the error may have been caught on purpose, for the first time. What
was handled visibly is no swallowed error: a later run of the step completed, a step followed that never runs when all
goes well, or one that undoes another. Nor is what failed as often as it is allowed to: that is `retries_exhausted`.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from detectors.calibration.flows import EXECUTIONS_MAX
from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    execution_key,
    executions_of,
    folded_from,
    grouped,
    place_of,
    point_window,
)
from detectors.explaining import clock, counted, dominant, dominant_words, named, share
from detectors.missing_step import known_before
from detectors.statistics.flow_model import Flow
from detectors.statistics.wilson import wilson_upper
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

COMPLETED_MIN: Final = 50
"""Completed executions with this step: with fewer, no failure of it is unusual."""
SURE_MIN: Final = 1_000
"""With fewer, one execution alone says too little: it takes two."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return {**point_window(tick, context), "folded_from": folded_from(tick, ttl)}


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow and step, the first execution first."""
    before = known_before(tick)
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        flow = context.calibration.flows.get(place[:3])
        if flow is None or not context.enabled(place):
            continue
        times = flow.ran.get(place[3], 0)
        habit = flow.given_up.get(place[3])
        if times < COMPLETED_MIN or (habit is not None and habit.first_at < before):
            continue
        untold = [row for row in group if not _is_told(row, context)]
        swallowed = [row for row in untold if not _is_handled(row, flow)]
        if swallowed:
            observations.append(_observe(place, swallowed, times, context))
    return observations


def _is_told(row: Row, context: Context) -> bool:
    """Whether a burst tells of this failure, or `retries_exhausted`: nobody tries the step again."""
    if execution_key(row) in context.explained or place_of(row)[:3] in context.flooded:
        return True
    most = context.limited(row)["max_attempts"]
    allowed = bool(most) and bool(row["attempt"] >= most)
    return allowed and context.config.wants("retries_exhausted")


def _is_handled(row: Row, flow: Flow) -> bool:
    """Whether a step followed that says that the failure was noticed."""
    return any(undoes or step not in flow.ran for step, undoes in row["since_then"])


def _observe(place: Place, rows: Sequence[Row], times: int, context: Context) -> Observation:
    _, _, workflow, step = place
    first = rows[0]
    executions = executions_of(rows)
    count = len(executions)
    common = dominant(rows)
    error = first["error_type"] or "an error without a type"
    told = f": {first['error_message']}" if first["error_message"] else ""
    where = executions[0] if count == 1 else counted(count, "execution")
    seen = f"at least {times:,}" if times >= EXECUTIONS_MAX else f"{times:,}"
    explanation = (
        f"{step} of {workflow} failed for good in {executions[0]} at {clock(first['failed_at'])} with {error}{told}, "
        f"and the execution completed all the same at {clock(first['ended_at'])}."
    )
    if count > 1:
        explanation += f" So did {counted(count - 1, 'other execution')}: {named(executions[1:])}."
    explanation += (
        f" In the {seen} other completed executions with {step} of the last 7 days that never happened: it is to be "
        f"expected in less than {share(wilson_upper(0, times))} of them. The error may have been caught on purpose."
    )
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=first["failed_at"],
        title=f"{workflow} completed in {where} although {step} failed",
        explanation=explanation + dominant_words(common, count),
        evidence={
            "error_type": first["error_type"],
            "error_message": first["error_message"],
            "completed_before": times,
            "share_at_most": round(wilson_upper(0, times), 5),
            **common,
        },
        next_steps=(
            f"Look whether what {step} was to do is done in {executions[0]}, and do it if not.",
            f"Look at what catches the errors of {step}: it should end the execution, go another way, or undo.",
            "If it is caught on purpose, say so with a policy: "
            f'workflow = "{workflow}", step = "{step}", enabled = false.',
        ),
        suspected=count < 2 and times < SURE_MIN,
        point_until=max(row["received_at"] for row in rows) + ttl,
    )


DETECTOR: Final = Detector(
    "swallowed_error",
    15.0,
    judge,
    parameters,
    absorbed_by=("error_burst", "timeout_burst", "throttled"),
    needs=("given_up",),
)
