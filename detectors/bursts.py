"""What the detectors of bursts share: from counts per 10 s to bursts, and from a burst to its words.

A burst is judged at every moment of the last quarter of an hour, not only at the tick's end: so it lasts
until 15 minutes were quiet, although nothing is remembered from tick to tick.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from detectors.calibration.bursts import BurstHabit
from detectors.detector import Context, Row, folded_from, place_of
from detectors.explaining import clock, counted, named, seldom, share
from detectors.statistics.bursts import (
    ERRORS_MIN,
    WINDOWS_MIN,
    BurstHabits,
    burst_evidence,
    change_point,
    discoveries,
    level_of,
)
from detectors.statistics.samples import Floats
from stallwatch.model.durations import format_duration
from stallwatch.model.ticks import Tick

BIN_S: Final = 10
QUIET: Final = timedelta(minutes=15)
TRAILING: Final = timedelta(minutes=WINDOWS_MIN[-1]) + QUIET
EXECUTIONS_MAX: Final = 200
"""Names per step and 10 s: a finding names no more than half of that."""
EXECUTIONS_MIN: Final = 2
"""Of a step: one call that is tried again and again is one trouble, told by what its retries are."""
EVERY_S: Final = 15.0

_BINS: Final = int(TRAILING.total_seconds()) // BIN_S
_MOMENTS: Final = int(QUIET.total_seconds()) // BIN_S
_WIDTHS: Final = np.array(WINDOWS_MIN) * 60 // BIN_S


@dataclass(frozen=True)
class Series:
    """Errors and attempts of one thing per 10 s, the tick's own the last; and the rows that they come from."""

    rows: Sequence[Row]
    habit: BurstHabit
    errors: Floats
    attempts: Floats


@dataclass(frozen=True)
class Burst:
    """What was found of a series: it began at `since`; `evidence` is -ln of the probability of the window that tells
    it best."""

    series: Series
    since: datetime
    evidence: float
    errors: int
    attempts: int
    last_at: datetime
    executions: tuple[str, ...]
    shared: dict[str, str]

    @property
    def rate(self) -> float:
        return self.errors / max(self.attempts, 1)


def parameters(tick: Tick, context: Context) -> dict[str, Any]:
    """What the statements of bursts need."""
    return {
        "from": max(tick.until - TRAILING, tick.epoch),
        "until": tick.until,
        "folded_from": folded_from(tick, TRAILING),
        "bin_s": BIN_S,
        "errors_min": ERRORS_MIN,
        "executions_max": EXECUTIONS_MAX,
    }


def step_bursts(
    tick: Tick, rows: Sequence[Row], context: Context, kind: str, budget_per_week: float
) -> list[Burst]:
    """The steps that are in a burst of one kind of error; a step that nothing is known of is not judged."""
    habits = context.calibration.bursts.get(kind, {})
    series = [
        series_of(tick, [row], habits[place])
        for row in rows
        if (place := place_of(row)) in habits and context.enabled(place)
    ]
    bursts = bursts_of(tick, series, len(habits), budget_per_week)
    return [burst for burst in bursts if len(burst.executions) >= EXECUTIONS_MIN]


def series_of(tick: Tick, rows: Sequence[Row], habit: BurstHabit) -> Series:
    """The counts of these rows together."""
    errors, attempts = np.zeros(_BINS), np.zeros(_BINS)
    for row in rows:
        place = np.asarray(row["bins"], dtype=np.int64) - _newest(tick) + _BINS - 1
        inside = place >= 0
        np.add.at(errors, place[inside], np.asarray(row["errors"], dtype=np.float64)[inside])
        np.add.at(attempts, place[inside], np.asarray(row["attempts"], dtype=np.float64)[inside])
    return Series(rows, habit, errors, attempts)


def bursts_of(
    tick: Tick, series: Sequence[Series], groups: int, budget_per_week: float
) -> list[Burst]:
    """Those of the series that are in a burst. `groups`: how many are watched, these among them."""
    if not series:
        return []
    errors = np.cumsum([one.errors for one in series], axis=1)
    attempts = np.cumsum([one.attempts for one in series], axis=1)
    habits = stacked([one.habit for one in series])
    level = level_of(budget_per_week)
    # Of each the evidence at the newest moment of a burst; what is found need not be judged at older ones.
    found = np.zeros(len(series))
    moments = np.full(len(series), -1)
    for moment in range(_BINS - 1, _BINS - 1 - _MOMENTS, -1):
        evidence = burst_evidence(_windows(errors, moment), _windows(attempts, moment), habits)
        evidence[found > 0] = np.inf
        new = discoveries(evidence, groups, level) & (found == 0)
        found[new], moments[new] = evidence[new], moment
        if found.all():
            break
    return [
        _burst(tick, one, int(moment), float(evidence))
        for one, moment, evidence in zip(series, moments, found, strict=True)
        if evidence > 0
    ]


def stacked(habits: Sequence[BurstHabit]) -> BurstHabits:
    """Habits as the arrays that statistics take."""
    return BurstHabits(
        rates=np.array([habit.rate for habit in habits]),
        known=np.array([habit.attempts for habit in habits]),
        dispersions=np.array([habit.dispersions for habit in habits]),
        stretches=np.array([habit.stretches for habit in habits]),
        surpluses=np.array([habit.surpluses for habit in habits]),
    )


def _windows(sums: Floats, moment: int) -> Floats:
    """The counts (S, W) of the windows that end with this bin."""
    before = moment - _WIDTHS
    earlier = np.where(before >= 0, sums[:, np.maximum(before, 0)], 0.0)
    return np.asarray(sums[:, [moment]] - earlier)


def _newest(tick: Tick) -> int:
    return int(tick.until.timestamp()) // BIN_S


def _burst(tick: Tick, series: Series, moment: int, evidence: float) -> Burst:
    upto = moment + 1
    begin = change_point(series.errors[:upto], series.attempts[:upto], series.habit.rate)
    oldest = _newest(tick) - _BINS + 1
    wanted = range(oldest + begin, oldest + upto)
    details = [detail for row in series.rows for detail in row["details"] if detail[0] in wanted]
    last = max(detail[0] for detail in details)
    since = datetime.fromtimestamp((oldest + begin) * BIN_S, UTC)
    return Burst(
        series=series,
        since=max(since, tick.epoch),
        evidence=evidence,
        errors=int(series.errors[begin:upto].sum()),
        attempts=int(series.attempts[begin:upto].sum()),
        last_at=min(datetime.fromtimestamp((last + 1) * BIN_S, UTC), tick.until),
        executions=tuple(dict.fromkeys(one for detail in details for one in detail[1])),
        shared=_shared(details),
    )


def _shared(details: Sequence[Any]) -> dict[str, str]:
    """What most of the bins' most frequent combinations name."""
    found = {}
    for place, name in enumerate(("error_type", "downstream", "queue", "worker", "version")):
        values = Counter(str(detail[2][0][place]) for detail in details if detail[2])
        value, times = values.most_common(1)[0]
        if value and (times > 0.9 * len(details) or name == "error_type"):
            found[name] = value
    return found


def described(tick: Tick, burst: Burst, name: str, verb: str, said: Collection[str] = ()) -> str:
    """Since when, how much, compared with what, how sure; `name` of what `verb` (failed, timed out). `said`: what they
    share that `name` tells already."""
    habit = burst.series.habit
    lasting = format_duration(round((burst.last_at - burst.since) / timedelta(seconds=1)))
    usual = (
        f"usually {share(habit.errors / habit.attempts, 2)} do ({habit.errors:,.0f} of {habit.attempts:,.0f} attempts "
        "within a day before)"
        if habit.errors
        else f"of {habit.attempts:,.0f} attempts within a day before, none did"
    )
    words = (
        f"Since {clock(burst.since)} {burst.errors:,} of {counted(burst.attempts, 'attempt')} of {name} "
        f"{verb} ({share(burst.rate)}), within {lasting}; {usual}. So much more than usual happens by chance less "
        f"than once in {one_in(burst.evidence)} such stretches."
    )
    if tick.until - burst.last_at > timedelta(minutes=1):
        words += (
            f" The last was at {clock(burst.last_at)}; it counts as over when "
            f"{QUIET // timedelta(minutes=1)} minutes are quiet."
        )
    if error := burst.shared.get("error_type"):
        words += f" Mostly with {error}."
    places = ", ".join(
        f"{k} {v}" for k, v in burst.shared.items() if k not in ("error_type", *said)
    )
    if places:
        words += f" Nearly all of them: {places}."
    return f"{words} Executions concerned: {named(burst.executions)}."


def one_in(evidence: float) -> str:
    """How seldom that is, as far as anyone can tell."""
    return seldom(math.exp(min(evidence, 700.0)))


def evidence_of(burst: Burst) -> dict[str, Any]:
    """The numbers behind a burst."""
    habit = burst.series.habit
    return {
        "errors": burst.errors,
        "attempts": burst.attempts,
        "rate": round(burst.rate, 4),
        "usual_rate": round(habit.rate, 5),
        "usual_errors": habit.errors,
        "usual_attempts": habit.attempts,
        "minus_ln_p": round(burst.evidence, 1),
        **burst.shared,
    }
