"""A step that always stood between two others did not run, or what told of it was lost.

For executions without sequence numbers, which have no numbers that could be missing: what follows what is held
against what followed in this workflow before. A new way is a gap only where some step is known to stand in
between; suspected until it has not come for `gap_confirm`, gone when it arrives. Three executions make a way
usual, a new version has its own ways, and after an error other ways are expected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from detectors.calibration.flows import COURSES_MAX, LONGEST
from detectors.detector import Context, Detector, Place, Row, folded_from, grouped
from detectors.explaining import clock, counted, named, share
from detectors.statistics.courses import follows
from detectors.statistics.flow_model import SIGHTINGS, Edge, Flow
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

SOURCE_MIN: Final = 50
"""Executions of the version in which the step before the gap was seen: with fewer, no way is new."""
LEARNING_LAG: Final = timedelta(days=1)
"""What was seen once is known after a day: what is told today must not teach itself in the next hour."""


class Way(NamedTuple):
    """One execution that took an edge; `between` are the steps that ran or overlapped there. `noticed_at`: when
    what lies behind it arrived, received time; `since` when it happened."""

    version: str
    execution_id: str
    since: datetime
    noticed_at: datetime
    between: frozenset[str]


@dataclass(frozen=True)
class Gap:
    """In one execution `edge` joined two steps that never followed each other; `likely` is how surely it is this
    step that belongs in between. Times as in Way."""

    edge: Edge
    version: str
    execution_id: str
    since: datetime
    noticed_at: datetime
    likely: float


def known_before(tick: Tick) -> datetime:
    """What ended before then was normal: before the watch began, or more than a day ago."""
    return max(tick.until - LEARNING_LAG, tick.epoch)


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    reach = _reach(context)
    return {
        "from": max(tick.until - reach, tick.epoch),
        "folded_from": folded_from(tick, reach),
        "longest": LONGEST,
        "courses": COURSES_MAX,
    }


def _reach(context: Context) -> timedelta:
    return timedelta(seconds=context.config.point_finding_ttl + context.config.gap_confirm)


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, missing step and pair of neighbours."""
    before = known_before(tick)
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        flow = context.calibration.flows.get((namespace, engine, workflow))
        if flow is None or flow.varied:
            continue
        for edge, ways in _new_ways(group, flow, before).items():
            for step, gaps in _gaps(edge, ways, flow, before).items():
                place = (namespace, engine, workflow, step)
                confirmed, suspected = _sorted_out(tick, gaps, context)
                if context.enabled(place) and (confirmed or suspected):
                    told = confirmed or suspected
                    times = flow.times(edge[0], edge[1], told[0].version)
                    observations.append(_observe(place, told, times, not confirmed, context))
    return observations


def _new_ways(rows: Sequence[Row], flow: Flow, before: datetime) -> dict[Edge, list[Way]]:
    """The edges that are new, each with the executions that show it."""
    ways: dict[Edge, list[Way]] = {}
    for row in rows:
        for follow in follows(tuple(row["course"]), bool(row["completed"])):
            edge = (row["depth"], follow.after, follow.step)
            # Where an execution begins and ends is no step: whoever tells of it from its middle on loses nothing.
            between_steps = bool(follow.after) and bool(follow.step)
            if not between_steps or not follow.usual or flow.knows(edge, before):
                continue
            for _, execution_id, times, received in row["seen"]:
                noticed_at = received[follow.at]
                way = Way(
                    row["workflow_version"],
                    execution_id,
                    times[follow.at],
                    noticed_at,
                    follow.between,
                )
                ways.setdefault(edge, []).append(way)
    return ways


def _gaps(edge: Edge, ways: Sequence[Way], flow: Flow, before: datetime) -> dict[str, list[Gap]]:
    """The gaps among the ways that took a new edge, by the step that is missing.

    1. The step before it is well known in this version. 2. Fewer than three executions went this way. 3. Some step
    stands in between and did not run.
    """
    seen = flow.edges.get(edge)
    executions = {way.execution_id for way in ways} | (seen.executions if seen else frozenset())
    gaps: dict[str, list[Gap]] = {}
    for way in ways if len(executions) < SIGHTINGS else ():
        if flow.times(edge[0], edge[1], way.version) < SOURCE_MIN:
            continue
        missing = flow.missing(edge, way.between, before)
        if missing is not None:
            step, likely = missing
            gap = Gap(edge, way.version, way.execution_id, way.since, way.noticed_at, likely)
            gaps.setdefault(step, []).append(gap)
    return gaps


def _sorted_out(tick: Tick, gaps: list[Gap], context: Context) -> tuple[list[Gap], list[Gap]]:
    """Confirmed and suspected gaps; what was noticed before the watch began, or confirmed longer ago than such a
    finding is told, is neither."""
    confirm = timedelta(seconds=context.config.gap_confirm)
    lateness = timedelta(seconds=context.calibration.fleet_lateness_s)
    confirmed, suspected = [], []
    for gap in sorted(gaps, key=lambda one: (one.noticed_at, one.execution_id)):
        if gap.noticed_at < tick.epoch or gap.noticed_at + _reach(context) <= tick.until:
            continue
        if gap.noticed_at + confirm <= tick.until:
            confirmed.append(gap)
        elif gap.noticed_at + lateness < tick.until:
            suspected.append(gap)
    return confirmed, suspected


def _observe(
    place: Place,
    gaps: Sequence[Gap],
    times: int,
    suspected: bool,
    context: Context,
) -> Observation:
    _, _, workflow, step = place
    first = gaps[0]
    executions = tuple(dict.fromkeys(gap.execution_id for gap in gaps))
    count = len(executions)
    depth, after, behind = first.edge
    confirm_s = context.config.gap_confirm
    where = executions[0] if count == 1 else counted(count, "execution")
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        key=f"{depth}\x00{after}\x00{behind}",
        executions=executions,
        count=count,
        since=first.since,
        title=f"{step} of {workflow} is missing in {where}",
        explanation=_explain(workflow, step, gaps, executions, times, suspected, confirm_s),
        evidence={
            "after": after,
            "before": behind,
            "missing": step,
            "likely": round(first.likely, 4),
            "seen_after": times,
            "gap_confirm_s": confirm_s,
        },
        next_steps=(
            f"Ask the engine whether {step} ran in {executions[0]}: if it did, what told of it was lost; look at "
            "the sender's own counters and at ingest_health.",
            "If it did not run, look at what decides that it runs, and at what was released lately. If this is how "
            f"it should be, {SIGHTINGS} executions make it usual; a policy with enabled = false does at once.",
        ),
        suspected=suspected,
        point_until=max(gap.noticed_at for gap in gaps) + _reach(context),
    )


def _explain(
    workflow: str,
    step: str,
    gaps: Sequence[Gap],
    executions: Sequence[str],
    times: int,
    suspected: bool,
    confirm_s: float,
) -> str:
    first = gaps[0]
    _, after, behind = first.edge
    words = (
        f"In {first.execution_id} of {workflow} {behind} came directly behind {after} at {clock(first.since)}: in none "
        f"of the {times:,} executions with {after} that were seen in the last 7 days it did. "
    )
    words += (
        f"{step} always stood in between."
        if first.likely == 1
        else f"{step} is what most likely belongs in between ({share(first.likely)})."
    )
    words += (
        f" It may be on its way: after {format_duration(confirm_s)} it counts as missing."
        if suspected
        else f" It has not come for {format_duration(confirm_s)}: it did not run, or what told of it was lost."
    )
    if len(executions) > 1:
        words += f" The same holds for {named(executions[1:])}."
    return words


DETECTOR: Final = Detector("missing_step", 15.0, judge, parameters)
