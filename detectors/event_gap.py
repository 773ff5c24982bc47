"""Events that were lost: numbers are missing between those of an execution's events that arrived.

Judged by `sequence` only, which is dense from 0; never by an engine's own ids, never by time. A gap
is suspected once the missing event is later than events usually are, confirmed when it has not come
for `gap_confirm`, and gone when it arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.detector import Context, Detector, Row, folded_from, grouped
from detectors.explaining import clock, counted, named
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

NUMBERS_MAX: Final = 20
"""So many missing numbers are listed; the rest is counted."""
EXECUTIONS_MAX: Final = 1_000
"""So many executions are looked at, those that were heard of last; the rest is counted."""


@dataclass(frozen=True)
class Gap:
    """Numbers `first`…`last` of an execution are missing between two neighbours that arrived.

    `noticed_at`: when the first event behind the gap arrived. `before` and `behind` name the
    neighbours; `before` is empty when the execution's first events are missing.
    """

    execution_id: str
    first: int
    last: int
    noticed_at: datetime
    since: datetime
    before: str
    behind: str


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    reach = timedelta(seconds=context.config.point_finding_ttl + context.config.gap_confirm)
    return {
        "from": max(tick.until - reach, tick.epoch),
        "until": tick.until,
        "folded_from": folded_from(tick, reach),
        "rows_max": EXECUTIONS_MAX,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow with gaps: suspected, until one of them is confirmed."""
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        place = (key[0], key[1], key[2], "")
        if not context.enabled(place):
            continue
        gaps = [gap for row in group for gap in _gaps(row)]
        confirmed, suspected = _sorted_out(tick, gaps, context)
        if confirmed or suspected:
            observations.append(
                _observe(place, confirmed or suspected, not confirmed, len(suspected), context)
            )
    return observations


def _gaps(row: Row) -> list[Gap]:
    """The missing ranges of one run. `seen` is sorted by number; a number may occur twice."""
    gaps = []
    expected = 0
    before = ""
    # What arrived first behind a gap is not what has the next number: look from the end.
    noticed: dict[int, datetime] = {}
    earliest: datetime | None = None
    for sequence, received_at, _, _ in reversed(row["seen"]):
        earliest = received_at if earliest is None else min(earliest, received_at)
        noticed[sequence] = earliest
    for sequence, _, time, name in row["seen"]:
        if sequence > expected:
            gaps.append(
                Gap(
                    row["execution_id"],
                    expected,
                    sequence - 1,
                    noticed[sequence],
                    time,
                    before,
                    name,
                )
            )
        expected = max(expected, sequence + 1)
        before = name
    return gaps


def _sorted_out(tick: Tick, gaps: Sequence[Gap], context: Context) -> tuple[list[Gap], list[Gap]]:
    """Confirmed and suspected gaps; what was noticed before the watch began, or confirmed longer
    ago than such a finding is told, is neither."""
    confirm = timedelta(seconds=context.config.gap_confirm)
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    lateness = timedelta(seconds=context.calibration.fleet_lateness_s)
    confirmed, suspected = [], []
    for gap in sorted(gaps, key=lambda one: (one.noticed_at, one.execution_id)):
        told_until = gap.noticed_at + confirm + ttl
        if gap.noticed_at < tick.epoch or told_until <= tick.until:
            continue
        away = context.away(gap.noticed_at, tick.until)
        if gap.noticed_at + confirm + away <= tick.until:
            confirmed.append(gap)
        elif gap.noticed_at + lateness < tick.until:
            suspected.append(gap)
    return confirmed, suspected


def _observe(
    place: tuple[str, str, str, str],
    gaps: Sequence[Gap],
    suspected: bool,
    waiting: int,
    context: Context,
) -> Observation:
    workflow = place[2]
    executions = tuple(dict.fromkeys(gap.execution_id for gap in gaps))
    first = gaps[0]
    lost = sum(gap.last - gap.first + 1 for gap in gaps)
    numbers = [
        number
        for gap in gaps
        for number in range(gap.first, min(gap.last, gap.first + NUMBERS_MAX) + 1)
    ]
    single = first.first == first.last
    which = (
        f"event with number {first.first} has"
        if single
        else f"events with numbers {first.first} to {first.last} have"
    )
    they = "it" if single else "they"
    where = (
        f"between {first.before} and {first.behind}" if first.before else f"before {first.behind}"
    )
    confirm_s = context.config.gap_confirm
    ttl = timedelta(seconds=context.config.point_finding_ttl + confirm_s)
    explanation = (
        f"In {first.execution_id} of {workflow} the {which} not arrived: {they} belong{'s' if single else ''} "
        f"{where}, and what follows arrived at {clock(first.noticed_at)}. "
    )
    explanation += (
        f"{they.capitalize()} may be on the way: lost is what has not come after {format_duration(confirm_s)}."
        if suspected
        else f"What has not come within {format_duration(confirm_s)} counts as lost. "
        "Sequence numbers have no holes, so this is certain."
    )
    if len(executions) > 1:
        others = counted(len(executions) - 1, "other execution")
        explanation += f" Events are missing in {others} too: {named(executions[1:])}."
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        executions=executions,
        count=len(executions),
        since=first.since,
        title=f"{counted(lost, 'event')} of {workflow} did not arrive",
        explanation=explanation,
        evidence={
            "missing": lost,
            "missing_sequences": numbers[:NUMBERS_MAX],
            "before": first.before,
            "behind": first.behind,
            "suspected": waiting,
            "gap_confirm_s": confirm_s,
        },
        next_steps=(
            "Look whether the sender dropped data then: its own counters, and ingest_health for refusals.",
            "What a missing event would have ended is shown as open: compare with the engine.",
        ),
        suspected=suspected,
        point_until=max(gap.noticed_at for gap in gaps) + ttl,
    )


DETECTOR: Final = Detector("event_gap", 5.0, judge, parameters, needs=("gap",))
