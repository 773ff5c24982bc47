"""A service, or an engine, says that it is asked too much: attempts fail with throttling error types."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from detectors.budget import share as budget_share
from detectors.bursts import (
    EVERY_S,
    Burst,
    Series,
    bursts_of,
    described,
    evidence_of,
    parameters,
    series_of,
)
from detectors.calibration.bursts import THROTTLES, UNSEEN, BurstHabit
from detectors.detector import Context, Detector, Row, grouped, place_of
from detectors.explaining import DOMINANT_SHARE
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


def burst_parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {**parameters(tick, context), "throttles": THROTTLES}


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each downstream that refuses; where none is named, for each engine."""
    habits = context.calibration.bursts.get("throttled", {})
    wanted = [row for row in rows if context.enabled(place_of(row))]
    series = [
        series_of(tick, group, _together([habits.get(place_of(row), UNSEEN) for row in group]))
        for group in grouped(wanted, "namespace", "engine", "downstream").values()
    ]
    budget = budget_share(context.config, DETECTOR.id)
    return [
        _observe(tick, burst, context) for burst in bursts_of(tick, series, len(habits), budget)
    ]


def _together(habits: Sequence[BurstHabit]) -> BurstHabit:
    """What is usual of several steps: their errors and attempts together, and the most variable one's variation."""
    corrections = (
        tuple(np.max([getattr(habit, name) for habit in habits], axis=0).tolist())
        for name in ("dispersions", "stretches", "surpluses")
    )
    return BurstHabit(
        sum(habit.errors for habit in habits), sum(habit.attempts for habit in habits), *corrections
    )


def _observe(tick: Tick, burst: Burst, context: Context) -> Observation:
    first = burst.series.rows[0]
    workflow = _most(burst.series, "workflow")
    step = _most(burst.series, "step") if workflow else ""
    place = (first["namespace"], first["engine"], workflow, step)
    who = first["downstream"] or f"the engine {first['engine']}"
    callers = f"{step} of {workflow}" if step else workflow or "several workflows"
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        step_may_change=True,
        key=first["downstream"],
        executions=burst.executions,
        count=len(burst.executions),
        since=burst.since,
        title=f"{first['downstream'] or f'The engine {place[1]}'} throttles {callers}",
        explanation=described(
            tick, burst, f"{callers} against {who}", "were throttled", ("downstream",)
        ),
        evidence={**evidence_of(burst), "downstream": first["downstream"]},
        next_steps=(
            f"Ask {who} less often: fewer workers, a limit of calls per second, more backoff with jitter.",
            f"Look who else uses the quota of {who}, and whether it can be raised.",
        ),
    )


def _most(series: Series, name: str) -> str:
    """The workflow or step with more than nine in ten of the refusals."""
    errors: Counter[str] = Counter()
    for row in series.rows:
        errors[row[name]] += sum(row["errors"])
    value, times = errors.most_common(1)[0]
    return str(value) if times > DOMINANT_SHARE * sum(errors.values()) else ""


DETECTOR: Final = Detector("throttled", EVERY_S, judge, burst_parameters, needs=("failed",))
