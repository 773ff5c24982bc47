"""The next step is scheduled late: an overloaded orchestrator, or one with too few threads for its decisions.

The gap from a step's end to the scheduling of the next one in the same execution, over a quarter of an hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from detectors.calibration.scheduling import Pace, Q
from detectors.detector import Context, Detector, Place, Row, folded_from, grouped, place_of
from detectors.explaining import DOMINANT_SHARE, clock, counted, named
from detectors.statistics.bursts import log_tail, rate_of
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import EXECUTIONS_MAX, Observation, Severity
from stallwatch.model.ticks import Tick

WINDOW: Final = timedelta(minutes=15)
SOON: Final = timedelta(minutes=1)
LOOK_BACK: Final = timedelta(hours=1)
"""A step that ended longer ago is not seen beside the one that follows it."""
FACTOR: Final = 3.0
LIMIT_MIN_S: Final = 1.0
GAPS_MIN: Final = 100
EXECUTIONS_MIN: Final = 5
"""An orchestrator that lags is late in more executions than these: one that loops with a pause is by itself slow."""
CHANCE_MAX: Final = 1e-6
"""One gap in a hundred may be two in a quarter of an hour, which a heavy tail has every day. So there must be more
long ones than what is usual lets expect but once in a million quarters of an hour."""


Gap = tuple[float, datetime, str]
"""How long, when it ended, in which execution."""


@dataclass(frozen=True)
class Lag:
    """The gaps after one step, and those of them beyond its limit, the longest first; `cut`: there may be more."""

    row: Row
    pace: Pace
    limit_s: float
    late: Sequence[Gap]
    cut: bool

    @property
    def n(self) -> int:
        return int(self.row["n"])


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    return {
        "from": max(tick.until - WINDOW, tick.epoch),
        "until": tick.until,
        "epoch": tick.epoch,
        "folded_from": folded_from(tick, LOOK_BACK),
        "longest": EXECUTIONS_MAX,
    }


def judge(tick: Tick, rows: Sequence[Row], context: Context) -> list[Observation]:
    """One observation for each workflow that lags; one for those of an engine that have too few gaps each, if not
    nearly all of the long ones are of one: of that too little is known."""
    observations = []
    for engine in grouped(rows, "namespace", "engine").values():
        lags = [lag for row in engine if (lag := _lag(row, context)) is not None]
        workflows = grouped_lags(lags)
        told = [own for own in workflows.values() if _holds(own) or any(_holds([o]) for o in own)]
        few = [lag for own in workflows.values() if sum(o.n for o in own) < GAPS_MIN for lag in own]
        if _holds(few) and not _most(few, "workflow"):
            told.append(few)
        observations += [_observe(tick, own, context) for own in told]
    return observations


def grouped_lags(lags: Sequence[Lag]) -> Mapping[str, list[Lag]]:
    """By workflow."""
    groups: dict[str, list[Lag]] = {}
    for lag in lags:
        groups.setdefault(lag.row["workflow"], []).append(lag)
    return groups


def _lag(row: Row, context: Context) -> Lag | None:
    place = place_of(row)
    paces = context.calibration.scheduling
    pace = paces.get(place) or paces.get((*place[:3], ""))
    if pace is None or not context.enabled(place):
        return None
    limit_s = max(FACTOR * pace.upper_s, LIMIT_MIN_S)
    late = [gap for gap in row["longest"] if gap[0] > limit_s]
    return Lag(row, pace, limit_s, late, cut=len(row["longest"]) == len(late) < row["n"])


def _holds(lags: Sequence[Lag]) -> bool:
    """Whether the p99 is beyond the limit, each gap held against that of its own step, by more than chance and in
    several executions."""
    n = sum(lag.n for lag in lags)
    late = sum(len(lag.late) for lag in lags)
    if n < GAPS_MIN or late <= (1 - Q) * n:
        return False
    if len({execution for lag in lags for _, _, execution in lag.late}) < EXECUTIONS_MIN:
        return False
    paces = {id(lag.pace): lag for lag in lags}.values()
    before = sum(lag.pace.beyond(lag.limit_s) for lag in paces)
    known = float(sum(lag.pace.n for lag in paces))
    rate = float(rate_of(np.array(float(before)), np.array(known)))
    chance = log_tail(
        np.array([float(late)]),
        np.array([float(n)]),
        np.array([rate * known]),
        np.array([(1 - rate) * known]),
    )
    return bool(chance[0] < np.log(CHANCE_MAX))


def _observe(tick: Tick, lags: Sequence[Lag], context: Context) -> Observation:
    worst = max(lags, key=lambda lag: len(lag.late))
    late = sorted((gap for lag in lags for gap in lag.late), key=lambda gap: (-gap[0], gap[1]))
    workflow = _most(lags, "workflow")
    step = _most(lags, "step") if workflow else ""
    place: Place = (worst.row["namespace"], worst.row["engine"], workflow, step)
    n = sum(lag.n for lag in lags)
    executions = tuple(dict.fromkeys(gap[2] for gap in late))
    since = min(gap[1] for gap in late)
    what = workflow or f"the engine {place[1]}"
    after = f" after {step}" if step else ""
    return Observation(
        detector=DETECTOR.id,
        severity=context.severity(place, Severity.WARNING),
        namespace=place[0],
        engine=place[1],
        workflow=workflow,
        step=step,
        step_may_change=True,
        executions=executions,
        count=len(executions),
        since=since,
        title=f"{workflow or f'The engine {place[1]}'} schedules its next steps late{after}",
        explanation=_explain(tick, lags, worst, what + after, late, executions),
        evidence={
            "gaps": n,
            "late": len(late),
            "longest_s": round(late[0][0], 3),
            "limit_s": round(worst.limit_s, 3),
            "after_step": worst.row["step"],
            **{f"{name}_s": round(value, 3) for name, value in _figures(worst).items()},
        },
        next_steps=(
            "Look at the load of the orchestrator and its store: threads, partitions, task queue backlog.",
            "Look whether histories or payloads have grown: the next step is found by replaying them.",
        ),
    )


def _explain(
    tick: Tick,
    lags: Sequence[Lag],
    worst: Lag,
    what: str,
    late: Sequence[Gap],
    executions: Sequence[str],
) -> str:
    cut = any(lag.cut for lag in lags)
    since = min(gap[1] for gap in late)
    looked_from = tick.until - WINDOW
    # What was late from the beginning of what is looked at may have been so before.
    earlier = cut or (tick.epoch < looked_from and since - looked_from < SOON)
    longest, limit, median, p99, upper = (
        format_duration(value) for value in (late[0][0], worst.limit_s, *_figures(worst).values())
    )
    return (
        f"In {what} the next step has been scheduled late {'at least ' if earlier else ''}since {clock(since)}: in the "
        f"last 15 minutes {'at least ' if cut else ''}{counted(len(late), 'gap')} between the end of a step and the "
        f"scheduling of the next one were too long, up to {longest}. After {worst.row['step']} half of {worst.n:,} "
        f"took at least {median}, where 99 % of {worst.pace.n:,} within a day before took at most {p99}, with 95 % "
        f"confidence no more than {upper}. Too long is more than three times that, and more than a second: here "
        f"{limit}. So many happen by chance less than once in a million quarters of an hour. Executions concerned: "
        f"{named(executions)}."
    )


def _figures(lag: Lag) -> dict[str, float]:
    return {
        "median": lag.row["median_s"],
        "usual_p99": lag.pace.p99_s,
        "usual_upper": lag.pace.upper_s,
    }


def _most(lags: Sequence[Lag], name: str) -> str:
    """The workflow or step with more than nine in ten of the long gaps."""
    late: dict[str, int] = {}
    for lag in lags:
        late[lag.row[name]] = late.get(lag.row[name], 0) + len(lag.late)
    value = max(late, key=lambda one: late[one])
    return value if late[value] > DOMINANT_SHARE * sum(late.values()) else ""


DETECTOR: Final = Detector("scheduling_lag", 30.0, judge, parameters)
