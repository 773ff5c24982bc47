"""A step that always ran did not run, or what told of it was lost.

For executions without sequence numbers, which have no numbers that could be missing. What follows what is held against
what followed in this workflow before: a new way is a gap only where some step is known to stand in between. And which
steps ran is held, once the execution has completed, against which ran together before. Suspected until it has not come
for `gap_confirm`, gone when it arrives. Three executions make a way usual, a new version has its own ways, and after an
error other ways are expected.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from detectors.calibration.flows import COURSES_MAX, LONGEST
from detectors.detector import Context, Detector, Place, Row, folded_from, grouped
from detectors.missing_words import Gap, Jump, evidence, explain, next_steps, title
from detectors.statistics.courses import BEGAN, follows
from detectors.statistics.flow_model import SIGHTINGS, WHOLE, Edge, Flow
from detectors.statistics.rosters import Absence, roster_of
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

SOURCE_MIN: Final = 50
"""Executions of the version that went there, or were alike but for one run: with fewer, no way is new."""
TOLD_MIN: Final = 4
"""Runs for each that is absent: then most of the execution was told."""
LEARNING_LAG: Final = timedelta(days=1)
"""What was seen once is known after a day: what is told today must not teach itself in the next hour."""

Key = tuple[str, ...]
"""Gaps with the same one are one finding."""


class Way(NamedTuple):
    """One execution that took an edge; `between` are the steps that ran or overlapped there, `absent` those that its
    roster surely lacks. `noticed_at`: when what lies behind it arrived, received time; `since` when it happened."""

    version: str
    execution_id: str
    since: datetime
    noticed_at: datetime
    between: frozenset[str]
    absent: frozenset[str]


def known_before(tick: Tick) -> datetime:
    """What ended before then was normal: before the watch began, or more than a day ago."""
    return max(tick.until - LEARNING_LAG, tick.epoch)


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    reach = _reach(context)
    branched = {
        key[2]: flow for key, flow in context.calibration.flows.items() if WHOLE in flow.rosters
    }
    return {
        "from": max(tick.until - reach, tick.epoch),
        "epoch": tick.epoch,
        "folded_from": folded_from(tick, reach),
        "longest": LONGEST,
        "courses": COURSES_MAX,
        "whole": WHOLE,
        "branched": sorted(branched),
        "inner": sorted({step for flow in branched.values() for step in flow.inner_steps}),
    }


def _reach(context: Context) -> timedelta:
    return timedelta(seconds=context.config.point_finding_ttl + context.config.gap_confirm)


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow, missing step and pair of neighbours, and for each set of missing runs."""
    before = known_before(tick)
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        flow = context.calibration.flows.get((key[0], key[1], key[2]))
        if flow is None:
            continue
        absences = [_absence(row, flow, before) for row in group]
        gaps = {} if flow.varied else _jumped(group, absences, flow, before)
        told: defaultdict[str, set[str]] = defaultdict(set)
        for gap in (gap for ones in gaps.values() for gap in ones):
            told[gap.execution_id].update(gap.steps)
        gaps |= _absent(group, absences, flow, before, told)
        ran = _ran_at(group)
        for name, found in gaps.items():
            ones = [gap for gap in found if not _ran_elsewhere(gap, ran)]
            if not ones:
                continue
            steps = ones[0].steps
            place = (key[0], key[1], key[2], steps[0] if len(steps) == 1 else "")
            confirmed, suspected = _sorted_out(tick, ones, context)
            enabled = any(context.enabled((*place[:3], step)) for step in steps)
            if enabled and (confirmed or suspected):
                observations.append(
                    _observe(place, name, confirmed or suspected, not confirmed, context)
                )
    return observations


def _ran_at(rows: Sequence[Row]) -> Mapping[str, set[tuple[int, str]]]:
    """By execution the steps that began in it, each with the depth of its branch."""
    ran: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    for row in (row for row in rows if row["depth"] != WHOLE):
        begun = {(row["depth"], text[1:]) for text in row["course"] if text[0] in BEGAN}
        for _, execution_id, _, _ in row["seen"]:
            ran[execution_id] |= begun
    return ran


def _ran_elsewhere(gap: Gap, ran: Mapping[str, set[tuple[int, str]]]) -> bool:
    """Whether what is missing here ran in a branch of another depth of the same execution: told otherwise, not lost."""
    return any(
        step in gap.steps and depth != gap.depth for depth, step in ran.get(gap.execution_id, ())
    )


def _absence(row: Row, flow: Flow, before: datetime) -> Absence | None:
    """What a completed execution lacks that was watched from its beginning: nobody lost what was not told to us.

    Before and behind all that ran only where most of the execution was told: who tells of a part of it lost nothing.
    What runs in branches is missed beside those that are there, if they are as many at least, and other steps ran
    before and behind them.
    """
    depth = row["depth"]
    rosters = flow.rosters.get(depth)
    roster = roster_of(tuple(row["course"])) if row["completed"] and row["whole"] else None
    if roster is None or rosters is None:
        return None
    absence = rosters.absence(roster, row["workflow_version"], before, SOURCE_MIN)
    if absence is None:
        return None
    if len(roster) >= TOLD_MIN * len(absence.runs):
        return absence
    ran = {step for step, _ in roster}
    if depth == WHOLE:
        runs = tuple(run for run in absence.runs if run[0] in flow.inner_steps)
        if not row["inside"] or len(runs) > len(ran & flow.inner_steps):
            return None
    else:
        runs = tuple(run for run in absence.runs if flow.lies_among(depth, run[0], ran))
    return absence._replace(runs=runs) if runs else None


def _jumped(
    rows: Sequence[Row], absences: Sequence[Absence | None], flow: Flow, before: datetime
) -> dict[Key, list[Gap]]:
    """The gaps that new edges show."""
    gaps: dict[Key, list[Gap]] = {}
    for edge, ways in _new_ways(rows, absences, flow, before).items():
        depth, after, behind = edge
        for step, found in _between(edge, ways, flow, before).items():
            gaps[str(depth), after, behind, step] = found
    return gaps


def _new_ways(
    rows: Sequence[Row], absences: Sequence[Absence | None], flow: Flow, before: datetime
) -> dict[Edge, list[Way]]:
    """The edges that are new, each with the executions that show it."""
    ways: dict[Edge, list[Way]] = {}
    for row, absence in zip(rows, absences, strict=True):
        absent = frozenset(absence.steps if absence and absence.beside else ())
        for follow in follows(tuple(row["course"]), bool(row["completed"])):
            edge = (row["depth"], follow.after, follow.step)
            # Where an execution begins and ends is no step: whoever tells of it from its middle on loses nothing.
            between_steps = bool(follow.after) and bool(follow.step)
            if not between_steps or not follow.usual or flow.knows(edge, before):
                continue
            for _, execution_id, times, received in row["seen"]:
                way = Way(
                    row["workflow_version"],
                    execution_id,
                    times[follow.at],
                    received[follow.at],
                    follow.between,
                    absent,
                )
                ways.setdefault(edge, []).append(way)
    return ways


def _between(edge: Edge, ways: Sequence[Way], flow: Flow, before: datetime) -> dict[str, list[Gap]]:
    """The gaps among the ways that took a new edge, by the step that is missing.

    1. The step before it is well known in this version. 2. Fewer than three executions went this way. 3. Some step
    stands in between and did not run. 4. Where the roster is sure of what is absent, it is that step and no other.
    """
    depth, after, behind = edge
    seen = flow.edges.get(edge)
    executions = {way.execution_id for way in ways} | (seen.executions if seen else frozenset())
    gaps: dict[str, list[Gap]] = {}
    for way in ways if len(executions) < SIGHTINGS else ():
        times = flow.times(depth, after, way.version)
        missing = flow.missing(edge, way.between, before) if times >= SOURCE_MIN else None
        if missing is not None and (not way.absent or way.absent == {missing[0]}):
            step, likely = missing
            why = Jump(after, behind, times, likely)
            gap = Gap(((step, 1),), depth, way.execution_id, way.since, way.noticed_at, why)
            gaps.setdefault(step, []).append(gap)
    return gaps


def _absent(
    rows: Sequence[Row],
    absences: Sequence[Absence | None],
    flow: Flow,
    before: datetime,
    told: Mapping[str, set[str]],
) -> dict[Key, list[Gap]]:
    """The gaps that rosters show, but for those already told; again of fewer than three executions.

    Of the whole of an execution only what none of its branches is known to lack.
    """
    alike: dict[Key, list[tuple[Gap, Absence]]] = {}
    others: defaultdict[Key, set[str]] = defaultdict(set)
    lacked: defaultdict[str, set[str]] = defaultdict(set)
    found = [(row, one) for row, one in zip(rows, absences, strict=True) if one is not None]
    for row, absence in sorted(found, key=lambda one: one[0]["depth"]):
        depth = row["depth"]
        roster = roster_of(tuple(row["course"])) or frozenset()
        for _, execution_id, times, received in row["seen"]:
            runs = absence.runs
            if depth == WHOLE:
                runs = tuple(run for run in runs if run[0] not in lacked[execution_id])
            if not runs:
                continue
            lacked[execution_id].update(step for step, _ in runs)
            this = absence._replace(runs=runs)
            name = (str(depth), *(f"{step} {number}" for step, number in runs))
            others[name] |= flow.rosters[depth].others(roster, this, before)
            gap = Gap(runs, depth, execution_id, times[-1], received[-1], this)
            alike.setdefault(name, []).append((gap, this))
    gaps: dict[Key, list[Gap]] = {}
    for name, ones in alike.items():
        if len({gap.execution_id for gap, _ in ones} | others[name]) >= SIGHTINGS:
            continue
        fresh = [gap for gap, absence in ones if not _is_told(gap, absence, told)]
        if fresh:
            gaps[name] = fresh
    return gaps


def _is_told(gap: Gap, absence: Absence, told: Mapping[str, set[str]]) -> bool:
    """Whether an edge told it: which of several steps it was an edge knows better than what was the same otherwise."""
    steps = told.get(gap.execution_id, set())
    return not steps.isdisjoint(gap.steps) if absence.beside else bool(steps)


def _sorted_out(tick: Tick, gaps: list[Gap], context: Context) -> tuple[list[Gap], list[Gap]]:
    """Confirmed and suspected gaps; what was noticed before the watch began, or confirmed longer ago than such a
    finding is told, is neither."""
    confirm = timedelta(seconds=context.config.gap_confirm)
    lateness = timedelta(seconds=context.calibration.fleet_lateness_s)
    confirmed, suspected = [], []
    for gap in sorted(gaps, key=lambda one: (one.noticed_at, one.execution_id)):
        if gap.noticed_at < tick.epoch or gap.noticed_at + _reach(context) <= tick.until:
            continue
        away = context.away(gap.noticed_at, tick.until)
        if gap.noticed_at + confirm + away <= tick.until:
            confirmed.append(gap)
        elif gap.noticed_at + lateness < tick.until:
            suspected.append(gap)
    return confirmed, suspected


def _observe(
    place: Place, key: Key, gaps: Sequence[Gap], suspected: bool, context: Context
) -> Observation:
    namespace, engine, workflow, step = place
    executions = tuple(dict.fromkeys(gap.execution_id for gap in gaps))
    confirm_s = context.config.gap_confirm
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        key="\x00".join(key),
        executions=executions,
        count=len(executions),
        since=gaps[0].since,
        title=title(workflow, gaps, executions),
        explanation=explain(workflow, gaps, executions, suspected, confirm_s),
        evidence=evidence(gaps[0], confirm_s),
        next_steps=next_steps(gaps[0]),
        suspected=suspected,
        point_until=max(gap.noticed_at for gap in gaps) + _reach(context),
    )


DETECTOR: Final = Detector("missing_step", 15.0, judge, parameters)
