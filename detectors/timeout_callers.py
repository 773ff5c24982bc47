"""Steps that have less time than the executions which they start: a part of `timeout_cascade`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.calibration.workflows import Workflow, WorkflowKey
from detectors.detector import Context, Place, Row
from detectors.explaining import clock
from detectors.statistics.cascades import StepLimits
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity

STEP, BRANCH, WAITING_ON, BEGUN_AT, ENDED_AT, LIMITS = range(6)
"""The columns of the attempts in a row; from LIMITS on, the fields of StepLimits."""
_ID: Final = "timeout_cascade"


def judge_callers(
    rows: Sequence[Row], outers: Mapping[WorkflowKey, float], context: Context
) -> list[Observation]:
    """By what the latest execution that each of them started declares. `outers`: the timeouts of whole workflows."""
    told: dict[Place, Observation] = {}
    for row in rows:
        key = (row["namespace"], row["engine"], row["its_workflow"])
        calling = _calling(row)
        if not row["its_workflow"] or calling is None:
            continue
        place = (*key, str(calling[STEP]))
        if place in told or not context.enabled(place):
            continue
        seen = context.calibration.workflows.get(key, Workflow())
        limits = StepLimits(*calling[LIMITS:]).over(seen.limits.get(place[3], StepLimits()))
        caller_s = limits.caller_s or outers.get(key)
        if caller_s is not None and caller_s < row["timeout_s"]:
            told[place] = _observe_caller(place, caller_s, bool(limits.caller_s), row, context)
    return list(told.values())


def _calling(row: Row) -> Sequence[Any] | None:
    """The attempt that was waiting for the execution when it began; the one that began last, where several may be."""
    at = row["started_at"]
    under_way = [
        one
        for one in row["attempts"]
        if one[BEGUN_AT] is not None
        and one[BEGUN_AT] <= at
        and (one[ENDED_AT] is None or one[ENDED_AT] >= at)
    ]
    return max(under_way, key=lambda one: (one[WAITING_ON] == "child", one[BEGUN_AT]), default=None)


def _observe_caller(
    place: Place, caller_s: float, is_steps: bool, row: Row, context: Context
) -> Observation:
    namespace, engine, workflow, step = place
    child = row["workflow"]
    whose = (
        f"{step} of {workflow}"
        if is_steps
        else f"{step} of {workflow} declares no timeout, and {workflow} as a whole"
    )
    return Observation(
        detector=_ID,
        severity=context.severity(place, Severity.CRITICAL),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        key="caller",
        executions=(row["its_execution"],),
        count=1,
        since=row["started_at"],
        title=f"{step} of {workflow} gives up before {child}, which it starts",
        explanation=(
            f"{whose} gives up after {format_duration(caller_s)}, but {child}, which it starts, may take "
            f"{format_duration(row['timeout_s'])}, as declared by {row['execution_id']}, which began at "
            f"{clock(row['started_at'])}. What is called goes on when nobody waits for it any more, and a retry starts "
            "it a second time."
        ),
        evidence={
            "caller_timeout_s": caller_s,
            "callee_timeout_s": row["timeout_s"],
            "callee": child,
            "callee_execution": row["execution_id"],
        },
        next_steps=(
            f"Give {step} of {workflow} more than {format_duration(row['timeout_s'])}, or {child} less than "
            f"{format_duration(caller_s)}.",
        ),
    )
