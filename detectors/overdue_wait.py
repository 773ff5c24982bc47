"""A wait that lasts longer than it may: a timer that was due and did not fire, or a wait beyond its owner's `max_wait`.

Nothing is learned of how long people, signals, callbacks and children take: without a policy they may for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from detectors.calibration import Calibration
from detectors.detector import (
    Context,
    Detector,
    Place,
    Row,
    executions_of,
    grouped,
    place_of,
    split_by_silence,
)
from detectors.explaining import clock, counted, dominant, dominant_words, so_have
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

TIMER_LATENESS_MIN_S: Final = 10.0
"""Timers are not exact: an engine that is busy or starts anew fires them some seconds late."""
NEVER_MS: Final = 10**15
TOLD_MOST: Final = 20_000
"""Of each step the oldest so many waits are judged."""

_AWAITED: Final = {"human": "person", "child": "child execution"}
"""Where a person says it in other words."""


@dataclass(frozen=True)
class Overdue:
    """Why one wait is over its time: something should have happened `allowed_s` after `since`, which is `age_s` ago.
    `rule` is policy or due."""

    row: Row
    rule: str
    since: datetime
    age_s: float
    allowed_s: float


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    limits = [one.max_wait for one in context.config.policy if one.max_wait is not None]
    return {
        "until": tick.until,
        "limited_ms": round(1000 * min(limits)) if limits else NEVER_MS,
        "unlabelled": bool(limits),
        "most": TOLD_MOST,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step with waits over their time, the longest wait first."""
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        if not context.enabled(place):
            continue
        told, hidden_by = split_by_silence(_waiting(place, group, context), context)
        overdue = [
            found
            for row in told
            if (found := _overdue(context.as_of_engine(tick, row), row, context)) is not None
        ]
        if overdue:
            observations.append(_observe(place, overdue, hidden_by, context))
    return observations


def _waiting(place: Place, rows: Sequence[Row], context: Context) -> Sequence[Row]:
    """Those that wait: an attempt that is not labelled so does if its owner says that the step is a wait."""
    said = context.waits(place)
    return [row for row in rows if said or row["status"] == "waiting"]


def _overdue(until: datetime, row: Row, context: Context) -> Overdue | None:
    """The policy's limit, if exceeded; else the time at which it was due. People and signals have no such time."""
    place = place_of(row)
    since = row["waiting_since"]
    waited_s = (until - since) / timedelta(seconds=1) - row["suspended_s"]
    max_wait_s = context.config.policy_for("max_wait", *place)
    if max_wait_s is not None and waited_s > max_wait_s:
        return Overdue(row, "policy", since, waited_s, max_wait_s)
    due = row["due"]
    if due is None or row["waiting_on"] in ("human", "signal"):
        return None
    late_s = (until - due) / timedelta(seconds=1)
    allowed_s = timer_lateness_s(place, context.calibration)
    return Overdue(row, "due", due, late_s, allowed_s) if late_s > allowed_s else None


def timer_lateness_s(place: Place, calibration: Calibration) -> float:
    """How late a timer of this step may fire: by its own past, else by that of the engine's other timers."""
    own = calibration.timers.get(place)
    known = (
        [own]
        if own is not None
        else [one for key, one in calibration.timers.items() if key[:2] == place[:2]]
    )
    limits = [one.limit_s for one in known if one.limit_s is not None]
    return max(median(limits), TIMER_LATENESS_MIN_S) if limits else TIMER_LATENESS_MIN_S


def _observe(place: Place, overdue: list[Overdue], hidden_by: str, context: Context) -> Observation:
    namespace, engine, workflow, step = place
    first = overdue[0]
    rows = [one.row for one in overdue]
    executions = executions_of(rows)
    common = dominant(rows)
    where = executions[0] if len(executions) == 1 else counted(len(executions), "execution")
    what = "timer of" if first.rule == "due" and _is_timer(first.row) else "wait in"
    due = first.row["due"]
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=first.row["waiting_since"],
        title=f"The {what} {step} of {workflow} is overdue in {where}",
        explanation=_explain(first, executions) + dominant_words(common, len(executions), "waits"),
        evidence={
            "rule": first.rule,
            "age_s": round(first.age_s, 3),
            "threshold_s": round(first.allowed_s, 3),
            "waiting_on": first.row["waiting_on"],
            **({} if due is None else {"due": clock(due)}),
            **common,
        },
        next_steps=_next_steps(first),
        hidden_by=hidden_by,
    )


def _explain(first: Overdue, executions: tuple[str, ...]) -> str:
    row = first.row
    name = f"{row['step']} of {row['workflow']}"
    if first.rule == "due":
        awaited = "timer" if _is_timer(row) else _AWAITED.get(row["waiting_on"], row["waiting_on"])
        words = (
            f"The {awaited} that {name} waits for in {executions[0]} was due at {clock(first.since)} and has not "
            f"{'fired' if _is_timer(row) else 'come'} for {format_duration(first.age_s)}. "
            f"{_lateness_words(row, first.allowed_s)}"
        )
    else:
        awaited = _AWAITED.get(row["waiting_on"], row["waiting_on"])
        what = f" for a {awaited}" if awaited else ""
        words = (
            f"{name} has been waiting{what} for {format_duration(first.age_s)} in {executions[0]}, since "
            f"{clock(first.since)}. Its owner allows {format_duration(first.allowed_s)}."
        )
    return words + so_have(executions[1:], len(executions) - 1)


def _is_timer(row: Row) -> bool:
    return row["waiting_on"] in ("timer", "")


def _lateness_words(row: Row, allowed_s: float) -> str:
    """How late it may be, and by what."""
    if allowed_s <= TIMER_LATENESS_MIN_S:
        return f"Up to {format_duration(allowed_s)} late is always allowed."
    return (
        f"By how late timers of {row['engine']} fired in the last 7 days, up to {format_duration(allowed_s)} late is "
        "allowed."
    )


def _next_steps(first: Overdue) -> tuple[str, ...]:
    if first.rule == "due" and _is_timer(first.row):
        return (
            "Look whether the engine's timers fire at all: its timer queue, its scheduler, its clock.",
            f"Look whether a worker runs that could take {first.row['workflow']} on.",
        )
    whom = {"human": "the person", "child": "the child execution"}.get(
        first.row["waiting_on"], "what it waits for"
    )
    return (
        f"Look what became of {whom}: nobody answers by itself after such a time.",
        "If it may take longer, say so where its limit is set; if not, give the wait a timeout with an answer of "
        "its own.",
    )


DETECTOR: Final = Detector(
    "overdue_wait", 5.0, judge, parameters, absorbed_by=("telemetry_silence",)
)
