"""A step times out much more often than it used to."""

from collections.abc import Sequence
from typing import Final

from detectors.budget import share as budget_share
from detectors.bursts import (
    EVERY_S,
    Burst,
    described,
    evidence_of,
    parameters,
    step_bursts,
)
from detectors.detector import Context, Detector, Row, place_of
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step that times out in a burst."""
    budget = budget_share(context.config, DETECTOR.id)
    return [
        _observe(tick, burst, context)
        for burst in step_bursts(tick, rows, context, "timed_out", budget)
    ]


def _observe(tick: Tick, burst: Burst, context: Context) -> Observation:
    place = place_of(burst.series.rows[0])
    _, _, workflow, step = place
    called = burst.shared.get("downstream") or "what the step calls"
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
        title=f"{step} of {workflow} times out far more often than usual",
        explanation=described(tick, burst, f"{step} of {workflow}", "timed out"),
        evidence=evidence_of(burst),
        next_steps=(
            f"Look whether {called} has become slow, or hangs.",
            "Look whether the timeout was shortened: `stallwatch report timeouts` shows what the step needs.",
        ),
    )


DETECTOR: Final = Detector("timeout_burst", EVERY_S, judge, parameters, needs=("timed_out",))
