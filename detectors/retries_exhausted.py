"""A step failed as often as its retry policy allows: nobody will try it again by itself."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from detectors.detector import (
    Context,
    Detector,
    Row,
    executions_of,
    folded_from,
    grouped,
    point_window,
)
from detectors.explaining import (
    clock,
    counted,
    declared_in,
    dominant,
    dominant_words,
    limit_source,
    named,
)
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        **point_window(tick, context),
        "folded_from": folded_from(tick, timedelta(seconds=context.config.point_finding_ttl)),
        "declared_steps": context.calibration.declared.steps_with("max_attempts"),
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, step and error type, the first execution first."""
    limited = [context.limited(row) for row in rows]
    standing = [row for row in limited if _is_last(row) and not _repaired(row)]
    groups = grouped(standing, "namespace", "engine", "workflow", "step", "error_type")
    return [
        _observe((namespace, engine, workflow, step), error_type, group, context)
        for (namespace, engine, workflow, step, error_type), group in groups.items()
        if context.enabled((namespace, engine, workflow, step))
    ]


def _is_last(row: Row) -> bool:
    return bool(row["max_attempts"]) and bool(row["attempt"] >= row["max_attempts"])


def _repaired(row: Row) -> bool:
    return row["repaired_at"] is not None and bool(row["repaired_at"] > row["ended_at"])


def _observe(
    place: tuple[str, str, str, str], error_type: str, rows: Sequence[Row], context: Context
) -> Observation:
    _, _, workflow, step = place
    first, last = rows[0], rows[-1]
    executions = executions_of(rows)
    count = len(executions)
    common = dominant(rows)
    error = error_type or "an error without a type"
    told = f": {first['error_message']}" if first["error_message"] else ""
    source = limit_source(first, "max_attempts")
    explanation = (
        f"{step} of {workflow} failed in {named(executions)} with {error}{told}. "
        f"It was attempt {first['attempt']} of {first['max_attempts']} allowed"
        + (f" ({declared_in(source)})" if source else "")
    )
    explanation += (
        f", at {clock(first['ended_at'])}; no other attempt has followed."
        if count == 1
        else f" in the first of {counted(count, 'execution')}, from {clock(first['ended_at'])} "
        f"to {clock(last['ended_at'])}; no other attempt has followed."
    )
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        key=error_type,
        executions=executions,
        count=count,
        since=first["ended_at"],
        title=f"{step} of {workflow} failed for good in {_where(executions)} with {error}",
        explanation=explanation + dominant_words(common, count),
        evidence={
            "error_type": error_type,
            "error_message": first["error_message"],
            "max_attempts": first["max_attempts"],
            **({"declared_by": source} if source else {}),
            **common,
        },
        next_steps=(
            f"Find out what {error} means, then start {step} again in {named(executions)}.",
            f"Look whether {executions[0]} went on without it: what {step} was to do is not done.",
            "Look whether the pauses between attempts are long enough for such a trouble to pass."
            if first["max_attempts"] > 1
            else f"Look whether {step} may be tried more than once.",
        ),
        point_until=max(row["received_at"] for row in rows) + ttl,
    )


def _where(executions: Sequence[str]) -> str:
    return executions[0] if len(executions) == 1 else counted(len(executions), "execution")


DETECTOR: Final = Detector("retries_exhausted", 5.0, judge, parameters, needs=("given_up",))
