"""An execution went back: a step began again after a later one had completed, though this workflow has no such loop,
or an event with an older sequence number happened after a newer one.

What an engine does on purpose is none of it: retries, redrives, resumptions, replays and what follows an error; nor
are loops that were seen before. Numbers are compared by the time at which events happened and by that at which they
arrived: an event that is late, or whose sender's clock is wrong, contradicts one of the two only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.flows import COURSES_MAX, LONGEST
from detectors.detector import Context, Detector, Place, Row, folded_from, grouped, point_window
from detectors.explaining import clock, counted, named
from detectors.missing_step import SOURCE_MIN, known_before
from detectors.statistics.courses import reentries
from detectors.statistics.flow_model import SIGHTINGS, Flow
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

LOOP: Final = f"If this is a loop, {SIGHTINGS} executions make it usual; a policy with enabled = false does at once."


@dataclass(frozen=True)
class Regression:
    """In one execution `step` was seen again after `later` had completed; `by`: sequence or reentry. `since` is when
    it happened, `noticed_at` when it was received."""

    execution_id: str
    step: str
    later: str
    by: str
    since: datetime
    noticed_at: datetime
    times: int = 0
    """Executions in which `later` was seen, and never followed by `step`."""


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return {
        "from": point_window(tick, context)["from"],
        "folded_from": folded_from(tick, ttl),
        "longest": LONGEST,
        "courses": COURSES_MAX,
    }


def narrow(tick: Tick, looked: Sequence[Row], context: Context) -> dict[str, Any] | None:
    """Nothing, where nothing ran again and all came in order."""
    return parameters(tick, context) if looked else None


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow and step that was gone back to; of an execution only the first."""
    before = known_before(tick)
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        flow = context.calibration.flows.get((namespace, engine, workflow))
        by_step: dict[str, list[Regression]] = {}
        for one in _first_of_each(group, flow, before):
            if _is_news(one, tick, context):
                by_step.setdefault(one.step, []).append(one)
        for step, found in by_step.items():
            place = (namespace, engine, workflow, step)
            if context.enabled(place):
                observations.append(_observe(tick, place, found, context))
    return observations


def _first_of_each(rows: Sequence[Row], flow: Flow | None, before: datetime) -> list[Regression]:
    """The first regression of each execution, in the order of their times; numbers are surer than a model."""
    by_number = [
        Regression(execution_id, row["step"], row["later"], "sequence", times[0], received[0])
        for row in rows
        if row["kind"] == "sequence"
        for execution_id, times, received in row["seen"]
    ]
    by_model = [
        one
        for row in rows
        if row["kind"] == "reentry" and flow is not None and not flow.varied
        for one in _against(row, flow, before)
    ]
    by_model = [one for one in by_model if _is_rare(one, by_model)]
    first: dict[str, Regression] = {}
    for one in (*sorted(by_number, key=_time), *sorted(by_model, key=_time)):
        first.setdefault(one.execution_id, one)
    return sorted(first.values(), key=_time)


def _time(one: Regression) -> tuple[datetime, str]:
    return (one.since, one.execution_id)


def _is_rare(one: Regression, others: Sequence[Regression]) -> bool:
    """Whether fewer than three executions went back there: three make a loop."""
    same = {
        other.execution_id for other in others if (other.step, other.later) == (one.step, one.later)
    }
    return len(same) < SIGHTINGS


def _against(row: Row, flow: Flow, before: datetime) -> list[Regression]:
    """The first step of a course that began again although no known way leads back to it from a step that had
    completed in between, in each execution that took the course."""
    depth, version = row["depth"], row["workflow_version"]
    for found in reentries(tuple(row["course"])):
        for later in sorted(found.later):
            times = flow.times(depth, later, version)
            known = min(times, flow.times(depth, found.step, version)) >= SOURCE_MIN
            forwards = known and flow.reaches(depth, found.step, later, before)
            if forwards and not flow.reaches(depth, later, found.step, before):
                return [
                    Regression(
                        execution_id,
                        found.step,
                        later,
                        "reentry",
                        points[found.at],
                        received[found.at],
                        times,
                    )
                    for execution_id, points, received in row["seen"]
                ]
    return []


def _is_news(one: Regression, tick: Tick, context: Context) -> bool:
    """Happened and was noticed since the watch began, and lately enough to be told."""
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    if min(one.since, one.noticed_at) < tick.epoch:
        return False
    return one.noticed_at <= tick.until < one.noticed_at + ttl


def _observe(
    tick: Tick, place: Place, found: Sequence[Regression], context: Context
) -> Observation:
    _, _, workflow, step = place
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    lateness = timedelta(seconds=context.calibration.fleet_lateness_s)
    first = found[0]
    executions = tuple(dict.fromkeys(one.execution_id for one in found))
    count = len(executions)
    where = executions[0] if count == 1 else counted(count, "execution")
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=first.since,
        title=f"{workflow} went back to {step} in {where}",
        explanation=_explain(workflow, found, executions),
        evidence={"later_step": first.later, "rule": first.by, "seen_later": first.times},
        next_steps=(
            f"Compare what {first.later} and {step} left behind in {executions[0]}: what was done before may be done "
            "twice, or undone.",
            "Look whether the execution's state was restored from an older copy, or two workers hold the same "
            "execution: their logs and those of the state store since "
            f"{clock(first.since)}.",
            *(() if first.by == "sequence" else (LOOP,)),
        ),
        # What would explain it (a failure, a redrive) may be on its way.
        suspected=all(tick.until < one.noticed_at + lateness for one in found),
        point_until=max(one.noticed_at for one in found) + ttl,
    )


def _explain(workflow: str, found: Sequence[Regression], executions: Sequence[str]) -> str:
    first = found[0]
    words = (
        f"In {first.execution_id} of {workflow} {first.step} came again at {clock(first.since)}, after {first.later}, "
        "which comes later, had completed. "
    )
    if first.by == "sequence":
        words += (
            "Its sequence number is an older one, and it happened and arrived after the newer: "
            "neither a late delivery nor a wrong clock explains that."
        )
    else:
        words += (
            f"{first.later} was seen in {first.times:,} executions of the last 7 days, and no way led from it back to "
            f"{first.step}. Nothing had failed in between, and the execution was not started anew."
        )
    if len(executions) > 1:
        words += f" The same holds for {named(executions[1:])}."
    return words


DETECTOR: Final = Detector("state_regression", 15.0, judge, parameters, narrow=narrow)
