"""An execution failed, and its owner wants to know: of every failure (`always`), of none (`never`),
or, unless said otherwise, of an error type with which this workflow has not failed before."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.outcomes import CLOSED_MIN, NOTHING
from detectors.detector import Context, Detector, Row, folded_from, grouped, point_window
from detectors.explaining import DOMINANT_SHARE, clock, counted, named
from detectors.looks import POLLER
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

SETTLED: Final = timedelta(minutes=1)
"""How long a failure waits for the engine's own account of it."""

UNTYPED: Final = {"failed": ("failed", " without naming an error"), "timed_out": ("timed out", "")}
"""In words, what the statement calls an error type where none is named."""


@dataclass(frozen=True)
class Failure:
    ended_at: datetime
    execution_id: str
    received_at: datetime
    error_message: str
    step: str


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    window, calibrated_at = point_window(tick, context), context.calibration.at
    return {
        **window,
        "closed_min": CLOSED_MIN,
        "calibrated_at": calibrated_at,
        # What closed since the calibration is known from here alone.
        "folded_from": folded_from(tick, tick.until - min(window["from"], calibrated_at)),
    }


def narrow(tick: Tick, looked: Sequence[Row], context: Context) -> dict[str, Any] | None:
    """Only of a workflow of which little is known by the calibration is it asked what went well since."""
    if not looked:
        return None
    workflows = [(row["namespace"], row["engine"], row["workflow"]) for row in looked]
    outcomes = context.calibration.outcomes
    young = [key for key in workflows if outcomes.get(key, NOTHING).n < CLOSED_MIN]
    return {**parameters(tick, context), "young": young}


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow and error type."""
    observations = []
    for (namespace, engine, workflow), group in grouped(
        rows, "namespace", "engine", "workflow"
    ).items():
        place = (namespace, engine, workflow, "")
        wanted = context.config.policy_for("on_failure", *place) or "unusual"
        if wanted == "never" or not context.enabled(place):
            continue
        known = context.calibration.outcomes.get((namespace, engine, workflow), NOTHING)
        closed = sorted((*known.first_closed, *(at for row in group for at in row["first_closed"])))
        n = known.n + sum(row["n"] for row in group)
        for row in group:
            told = [Failure(*values) for values in row["failures"]]
            failures = [one for one in told if _settled(one, tick, engine, context)]
            if not failures:
                continue
            first_at = min(row["first_at"], known.first_at.get(row["error_type"], row["first_at"]))
            if wanted == "always" or _unusual(first_at, failures, closed):
                unnamed = row["told"] - len(told)
                others = max(0, n - len(failures) - unnamed)
                observations.append(
                    _observe(place, row, failures, unnamed, others, wanted, context)
                )
    return observations


def _settled(failure: Failure, tick: Tick, engine: str, context: Context) -> bool:
    """Whether the engine, where it is asked, was looked at since: spans name another error, and not where."""
    looked_at = context.looks.get(POLLER + engine)
    waited = tick.until - failure.received_at
    return looked_at is None or looked_at >= failure.ended_at or waited > SETTLED


def _unusual(first_at: datetime, failures: Sequence[Failure], closed: Sequence[datetime]) -> bool:
    """Whether the first of all failures of this type is one of the window's, and enough executions
    had closed before it."""
    first = failures[0]
    if first_at < first.ended_at:
        return False
    return len(closed) >= CLOSED_MIN and closed[CLOSED_MIN - 1] < first.ended_at


def _observe(
    place: tuple[str, str, str, str],
    row: Row,
    failures: Sequence[Failure],
    unnamed: int,
    others: int,
    wanted: str,
    context: Context,
) -> Observation:
    workflow, error_type = place[2], row["error_type"]
    executions = tuple(dict.fromkeys(failure.execution_id for failure in failures))
    count = len(executions) + unnamed
    step = _common_step(failures)
    first = failures[0]
    ended, error = _ended(error_type)
    where = f" at {step}" if step else ""
    told = f": {first.error_message}" if first.error_message else ""
    explanation = (
        f"{named(executions)} of {workflow} {ended}{where}{error}{told}, "
        f"{'first ' if count > 1 else ''}at {clock(first.ended_at)}."
    )
    if wanted == "unusual":
        explanation += (
            f" None of the {others:,} other executions of {workflow} that are on record "
            f"{ended}{error if error_type in UNTYPED else ' with this error type'} before."
        )
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    who = executions[0] if count == 1 else counted(count, "execution")
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity((*place[:3], step), Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        step_may_change=True,
        key=error_type,
        executions=executions,
        count=count,
        since=first.ended_at,
        title=f"{who} of {workflow} {ended}{error}",
        explanation=explanation,
        evidence={
            "error_type": error_type,
            "error_message": first.error_message,
            "on_failure": wanted,
            "steps": dict(Counter(failure.step for failure in failures if failure.step)),
            "other_executions": others,
        },
        next_steps=(
            f"Look at the error message and the trace of {executions[0]}.",
            "Look whether what had completed before the failure was undone.",
        ),
        point_until=max(failure.received_at for failure in failures) + ttl,
    )


def _ended(error_type: str) -> tuple[str, str]:
    """How executions ended, in words, and with which error."""
    return UNTYPED.get(error_type, ("failed", f" with {error_type}"))


def _common_step(failures: Sequence[Failure]) -> str:
    """The step that more than nine in ten failed at."""
    step, times = Counter(failure.step for failure in failures).most_common(1)[0]
    return step if times > DOMINANT_SHARE * len(failures) else ""


DETECTOR: Final = Detector("failed_execution", 5.0, judge, parameters, narrow=narrow)
