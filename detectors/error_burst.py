"""A step fails much more often than it used to: within a minute where much fails, as a trend of hours
where little more does."""

from collections.abc import Sequence
from typing import Final

from detectors.budget import share as budget_share
from detectors.bursts import (
    EVERY_S,
    Burst,
    described,
    evidence_of,
    one_in,
    parameters,
    step_bursts,
)
from detectors.calibration.trends import Trend
from detectors.detector import Context, Detector, Place, Row, place_of
from detectors.explaining import clock, share
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step that fails in a burst, or in a slow rise where there is no burst."""
    budget = budget_share(context.config, DETECTOR.id)
    bursts = [
        _observe(tick, burst, context)
        for burst in step_bursts(tick, rows, context, "failed", budget)
    ]
    told = {(one.namespace, one.engine, one.workflow, one.step) for one in bursts}
    trends = [
        _observe_trend(place, trend, context)
        for place, trend in context.calibration.trends.items()
        # What was before the watch, imported or back-filled, teaches only.
        if place not in told and trend.since >= tick.epoch and context.enabled(place)
    ]
    return bursts + trends


def _observe(tick: Tick, burst: Burst, context: Context) -> Observation:
    place = place_of(burst.series.rows[0])
    _, _, workflow, step = place
    error = burst.shared.get("error_type")
    downstream = burst.shared.get("downstream")
    version = burst.shared.get("version")
    what = f"what {error} says" if error else f"why {step} failed"
    next_steps = [f"Look at {what} in {burst.executions[0]}."]
    if downstream:
        next_steps.append(f"Look whether {downstream} is in trouble.")
    next_steps.append(
        f"Look whether version {version} is new."
        if version
        else "Look at what was changed at that time."
    )
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=burst.executions,
        count=len(burst.executions),
        since=burst.since,
        title=f"{step} of {workflow} fails far more often than usual",
        explanation=described(tick, burst, f"{step} of {workflow}", "failed"),
        evidence=evidence_of(burst),
        next_steps=tuple(next_steps),
    )


def _observe_trend(place: Place, trend: Trend, context: Context) -> Observation:
    _, _, workflow, step = place
    now, before = trend.errors / trend.attempts, trend.errors_before / trend.attempts_before
    times = f"{now / before:.2g} times as often as before" if before else "where none did before"
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.INFO),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        key="trend",
        since=trend.since,
        title=f"{step} of {workflow} fails more and more: a trend",
        explanation=(
            f"Since {clock(trend.since)} {trend.errors:,.0f} of {trend.attempts:,.0f} attempts of {step} of {workflow} "
            f"have failed ({share(now)}), {times}: {trend.errors_before:,.0f} of {trend.attempts_before:,.0f} in the "
            f"week up to then ({share(before)}). No hour alone shows this trend. By chance it happens less than once "
            f"in {one_in(trend.evidence)} such stretches."
        ),
        evidence={
            "errors": trend.errors,
            "attempts": trend.attempts,
            "rate": round(now, 5),
            "usual_errors": trend.errors_before,
            "usual_attempts": trend.attempts_before,
            "usual_rate": round(before, 5),
            "minus_ln_p": round(trend.evidence, 1),
        },
        next_steps=(
            f"Look at which errors of {step} have become more since {clock(trend.since)}.",
            "Look at what grows: load, data, the share of a new version.",
        ),
    )


DETECTOR: Final = Detector("error_burst", EVERY_S, judge, parameters, needs=("failed",))
