"""A step ran twice: one attempt was started twice, an attempt began while its predecessor still ran,
or one effect was asked for by two executions.

Identity decides, never likeness: the same event id is the same event, and only starts whose attempt
or call was named can be the same attempt. Retries, loops, replays, resumptions after a wait and
redrives are none of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from detectors.detector import Context, Detector, Row, folded_from, grouped, place_of, point_window
from detectors.explaining import clock, counted, named
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick

OVERLAP_MIN: Final = timedelta(milliseconds=50)
"""Clocks of two workers differ by that much without anyone noticing."""
ROWS_MAX: Final = 10_000
"""So many cases of each kind are looked at."""


@dataclass(frozen=True)
class Duplicate:
    """`again_at`: the second start's own time; `received_at`: when the news of it came."""

    kind: str
    executions: tuple[str, ...]
    first_at: datetime
    again_at: datetime
    received_at: datetime
    workers: tuple[str, ...]
    attempt: int
    idempotency_key: str


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    overlap_ms = round(OVERLAP_MIN / timedelta(milliseconds=1))
    window = point_window(tick, context)
    return {
        "from": window["from"],
        "until": tick.until,
        "folded_from": folded_from(tick, tick.until - window["from"]),
        "overlap_ms": overlap_ms,
        "rows_max": ROWS_MAX,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each step, with all executions concerned."""
    opened = point_window(tick, context)["from"]
    observations = []
    for group in grouped(rows, "namespace", "engine", "workflow", "step").values():
        place = place_of(group[0])
        found = [one for row in group for one in _duplicates(row)]
        recent = sorted(
            (one for one in found if one.received_at > opened and one.again_at >= tick.epoch),
            key=lambda one: (one.again_at, one.executions),
        )
        if recent and context.enabled(place):
            observations.append(_observe(place, recent, context))
    return observations


def _duplicates(row: Row) -> list[Duplicate]:
    """The pairs of neighbouring starts of a row that nothing between them explains."""
    found = []
    for first, again in pairwise(row["starts"]):
        if row["kind"] == "started" and _explained(row, first[0], again[0]):
            continue
        executions = tuple(row["executions"])
        if row["kind"] == "effect":
            if first[3] == again[3]:
                continue
            executions = (first[3], again[3])
        found.append(
            Duplicate(
                row["kind"],
                executions,
                first[0],
                again[0],
                max(first[1], again[1]),
                tuple(worker for worker in (first[2], again[2]) if worker),
                row["attempt"],
                row["idempotency_key"],
            )
        )
    return found


def _explained(row: Row, first_at: datetime, again_at: datetime) -> bool:
    """Whether the step began to wait, or the whole execution began anew, between two starts."""
    return any(
        first_at < at <= again_at and step in ("", row["step"]) for at, step in row["breaks"]
    )


def _observe(
    place: tuple[str, str, str, str], found: Sequence[Duplicate], context: Context
) -> Observation:
    _, _, workflow, step = place
    executions = tuple(dict.fromkeys(one for duplicate in found for one in duplicate.executions))
    first = found[0]
    explanation = _explain(f"{step} of {workflow}", first)
    if len(found) > 1:
        others = tuple(dict.fromkeys(one for case in found[1:] for one in case.executions))
        explanation += f" {counted(len(found) - 1, 'more case')} like it: {named(others)}."
    kinds = sorted({_KINDS[one.kind] for one in found})
    ttl = timedelta(seconds=context.config.point_finding_ttl)
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.CRITICAL),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        executions=executions,
        count=len(executions),
        since=first.again_at,
        title=f"{step} of {workflow} {_what(kinds)} {_where(executions)}",
        explanation=explanation,
        evidence={
            "kind": kinds[0] if len(kinds) == 1 else kinds,
            "cases": len(found),
            "workers": sorted({worker for one in found for worker in one.workers}),
            "idempotency_key": first.idempotency_key,
        },
        next_steps=(
            f"Look whether the effect of {step} happened twice, and undo one.",
            "Give the effect an idempotency key that its receiver checks.",
            "Where identities are missing nothing can be said: name attempt or step_run_id on starts.",
        ),
        point_until=max(one.received_at for one in found) + ttl,
    )


_KINDS: Final = {
    "started": "executed_twice",
    "overlap": "overlap",
    "effect": "same_effect",
}


def _what(kinds: Sequence[str]) -> str:
    return "was to have one and the same effect in" if kinds == ["same_effect"] else "ran twice in"


def _where(executions: Sequence[str]) -> str:
    return executions[0] if len(executions) == 1 else counted(len(executions), "execution")


def _explain(name: str, one: Duplicate) -> str:
    apart = format_duration((one.again_at - one.first_at) / timedelta(seconds=1))
    by = f" (by {' and '.join(one.workers)})" if one.workers else ""
    if one.kind == "effect":
        return (
            f"{one.executions[0]} and {one.executions[1]} both ran {name} with the idempotency key "
            f"{one.idempotency_key}, {apart} apart, the second at {clock(one.again_at)}{by}."
        )
    if one.kind == "overlap":
        return (
            f"Attempt {one.attempt} of {name} began in {one.executions[0]} at "
            f"{clock(one.again_at)}, while attempt {one.attempt - 1} was still running{by}."
        )
    return (
        f"Attempt {one.attempt} of {name} was started twice in {one.executions[0]}, {apart} apart, "
        f"the second time at {clock(one.again_at)}{by}. The two starts have different event ids, so "
        "this is no event delivered twice."
    )


DETECTOR: Final = Detector("duplicate_step", 5.0, judge, parameters, needs=("again",))
