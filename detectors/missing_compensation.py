"""An execution failed, and what it had done before was not undone.

Which step undoes which is what events declare (`compensates`), or what earlier failures of the workflow showed. The
compensation may begin before the execution's failure is told or after it; it is missing when none has begun within
max(τ of that delay, 60 s).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.calibration.compensations import DELAY_MIN_S, Compensation
from detectors.detector import Context, Detector, Place, Row, folded_from, grouped
from detectors.explaining import clock, counted, named
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick


@dataclass(frozen=True)
class Undone:
    """A failed execution in which the completed step of `known` was not undone by `due_at`."""

    row: Row
    known: Compensation
    completed_at: datetime
    due_at: datetime


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    learned = context.calibration.compensations
    limits_s = [one.limit_s for ones in learned.values() for one in ones]
    longest_s = max((DELAY_MIN_S, *limits_s))
    reach = timedelta(seconds=context.config.point_finding_ttl + longest_s + _slack_s(context))
    return {
        "from": max(tick.until - reach, tick.epoch),
        "until": tick.until,
        "epoch": tick.epoch,
        "folded_from": folded_from(tick, reach),
        "workflows": sorted({workflow for _, _, workflow in learned}),
    }


def _slack_s(context: Context) -> float:
    return context.calibration.fleet_lateness_s


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow and step that was not undone."""
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    observations = []
    for key, group in grouped(rows, "namespace", "engine", "workflow").items():
        namespace, engine, workflow = key
        learned = context.calibration.compensations.get((namespace, engine, workflow), ())
        for known in _with_news(learned, group[0]["declared"]):
            place = (namespace, engine, workflow, known.step)
            undone = [
                found
                for row in group
                if (found := _undone(row, known, context)) is not None
                and found.due_at <= tick.until < found.due_at + ttl
            ]
            if undone and context.enabled(place):
                observations.append(_observe(place, undone, ttl, context))
    return observations


def _with_news(
    learned: Sequence[Compensation], declared: Sequence[tuple[str, str]]
) -> list[Compensation]:
    """What was learned, and what steps that began since then say that they undo."""
    news: defaultdict[str, set[str]] = defaultdict(set)
    for by_step, step in declared:
        if all(one.step != step for one in learned):
            news[step].add(by_step)
    new = (
        Compensation(step, frozenset(by), DELAY_MIN_S, declared=True)
        for step, by in sorted(news.items())
    )
    return [*learned, *new]


def _undone(row: Row, known: Compensation, context: Context) -> Undone | None:
    """None: the step did not complete, or something that undoes it began since."""
    completed = [ended_at for step, ended_at in row["done"] if step == known.step]
    if not completed:
        return None
    last_at = max(completed)
    for step, undone, begun_at in row["begun"]:
        if (undone == known.step or (step in known.by and undone == "")) and begun_at >= last_at:
            return None
    failed_at = max(row["ended_at"], row["received_at"])
    due_at = failed_at + timedelta(seconds=known.limit_s + _slack_s(context))
    return Undone(row, known, last_at, due_at)


def _observe(
    place: Place, undone: Sequence[Undone], ttl: timedelta, context: Context
) -> Observation:
    _, _, workflow, step = place
    first = undone[0]
    row, known = first.row, first.known
    executions = tuple(dict.fromkeys(one.row["execution_id"] for one in undone))
    count = len(executions)
    by = " or ".join(sorted(known.by))
    where = executions[0] if count == 1 else counted(count, "failed execution")
    error = f" with {row['error_type']}" if row["error_type"] else ""
    explanation = (
        f"{executions[0]} of {workflow} failed{error} at {clock(row['ended_at'])}. Its {step} had completed at "
        f"{clock(first.completed_at)} and was not undone: {by} has not begun within "
        f"{format_duration(known.limit_s)} of the failure. "
    )
    explanation += (
        f"That it undoes {step} is declared by the events of {workflow}."
        if known.declared
        else f"It began in {known.shown:,} of {known.failures:,} earlier failures in which {step} had completed, "
        "and never in an execution that went well."
    )
    if count > 1:
        others = counted(count - 1, "other execution")
        explanation += f" The same holds for {others}: {named(executions[1:])}."
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=count,
        since=row["ended_at"],
        title=f"{step} of {workflow} was not undone in {where}",
        explanation=explanation,
        evidence={
            "compensation": sorted(known.by),
            "declared": known.declared,
            "shown": known.shown,
            "failures": known.failures,
            "threshold_s": round(known.limit_s, 3),
            "error_type": row["error_type"],
        },
        next_steps=(
            f"Look whether what {step} did in {executions[0]} still stands, and undo it by hand: {by} did not.",
            f"Look why {by} was not begun: a failure that the workflow's error handling does not name ends it before.",
        ),
        point_until=max(one.due_at for one in undone) + ttl,
    )


DETECTOR: Final = Detector(
    "missing_compensation", 5.0, judge, parameters, needs=("execution_failed",)
)
