"""How often each step is tried again when nothing is wrong."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from detectors.calibration.learned import RetryHabit, StepKey
from detectors.statistics.retry_cusum import CHARTS, DISPERSION_MAX, DISPERSION_MIN, RetryCusum
from stallwatch.store import Store

RETRY_WINDOW: Final = timedelta(days=1)
RETRY_LAG: Final = timedelta(hours=1)
CLOCKS_AHEAD: Final = timedelta(minutes=10)
FIRSTS_MIN: Final = 50
"""First attempts that a retry ratio needs."""
WINDOWS_PRIOR: Final = 6.0
HIDDEN_FACTOR: Final = math.e
"""A swing that decays over ten minutes shows 1/e of its inflation in windows of ten minutes."""
INFLATION_MAX: Final = 60.0
"""All bins of ten minutes swing as one."""
QUIET_SCORE: Final = 9.6
"""The highest score of a day that independent noise reaches on one day in ten."""
SPIKE_BINS: Final = (3, 4)
"""Where spikes of 20 s or of 30 s (which touch three bins, or four) went beyond that, the evidence of a bin is held to
what keeps as many bins below it."""
LOUD_WINDOWS: Final = 8
LOUD_RETRIES_MIN: Final = 2
"""Ten minutes of the day that are looked at for spikes: the loudest, with some retries in one bin."""
_SUMS: Final = (
    "sum_f", "sum_r", "sum_ff", "sum_fr", "sum_rr", "sum_failed", "windows", "long_ff", "long_fr", "long_rr",
)  # fmt: skip
_SQL: Final = (files("detectors.calibration") / "retries.sql").read_text(encoding="utf-8").strip()

Row = Mapping[str, Any]
Bins = Sequence[tuple[float, float]]
"""First attempts and retries of the bins with any, one after the other."""


def learn_retries(store: Store, now: datetime) -> dict[StepKey, RetryHabit]:
    """The habits of the trailing day without its last hour, which may hold the storm that is to be
    told; with it for steps that were hardly seen before."""
    window = {
        "from": now - RETRY_WINDOW,
        "until": now,
        "young_from": now - RETRY_LAG,
        "folded_from": max(0, int((now - RETRY_WINDOW - CLOCKS_AHEAD).timestamp() * 1e6)),
        "loud_windows": LOUD_WINDOWS,
        "loud_retries_min": LOUD_RETRIES_MIN,
    }
    return habits_of(store.select(_SQL, window))


def habits_of(rows: Iterable[Row]) -> dict[StepKey, RetryHabit]:
    """From rows of `retries.sql`: of each step what was before the last hour, and what was in it."""
    by_step: defaultdict[StepKey, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: bool(row["is_young"])):
        by_step[(row["namespace"], row["engine"], row["workflow"], row["step"])].append(row)
    habits = {}
    for key, parts in by_step.items():
        habit = _habit(parts[:1]) if not parts[0]["is_young"] else None
        habit = habit or _habit(parts)
        if habit is not None:
            habits[key] = habit
    return habits


def _habit(parts: list[Row]) -> RetryHabit | None:
    """Ratio and dispersion by moments: k = Σm² ÷ Σ((R-m)² - m) with m = ratio·F, expanded into sums.

    The ratio counts half a retry more than was seen: none in a hundred is not never.
    """
    total = {name: sum(part[name] for part in parts) for name in _SUMS}
    firsts = total["sum_f"]
    if firsts < FIRSTS_MIN:
        return None
    ratio = (total["sum_r"] + 0.5) / firsts
    squares = ratio * ratio * total["sum_ff"]
    short = total["sum_rr"] - 2 * ratio * total["sum_fr"] + squares
    excess = short - ratio * firsts
    dispersion = squares / excess if excess > 0 else DISPERSION_MAX
    dispersion = min(max(dispersion, DISPERSION_MIN), DISPERSION_MAX)
    inflation = _inflation(_long_by_short(total), total["windows"])
    habit = RetryHabit(firsts, ratio, dispersion, total["sum_failed"] / firsts, inflation)
    loud = [window for part in parts for window in part["loud"]]
    return replace(
        habit, evidence_max=min((_evidence_max(one, habit) for one in loud), default=math.inf)
    )


def _long_by_short(total: Mapping[str, float]) -> float:
    """How much sums over ten minutes vary, by how much those of 10 s do, around the mean that was seen: half a retry
    that was not would be missing in all of them alike, which looks like long waves."""
    mean = total["sum_r"] / total["sum_f"]
    short, long = (
        total[f"{name}_rr"] - 2 * mean * total[f"{name}_fr"] + mean * mean * total[f"{name}_ff"]
        for name in ("sum", "long")
    )
    return long / short if short > 0 else 1.0


def _evidence_max(window: Bins, habit: RetryHabit) -> float:
    """The most evidence of a bin that keeps this past window quiet, or the least there is."""
    limits = (math.inf, *(QUIET_SCORE / bins for bins in SPIKE_BINS))
    quiet = (
        most
        for most in limits
        if all(_highest(window, habit, ratio, most) <= QUIET_SCORE for ratio in CHARTS)
    )
    return next(quiet, limits[-1])


def _highest(window: Bins, habit: RetryHabit, ratio: float, most: float) -> float:
    """The highest score of a chart over a window."""
    chart = RetryCusum(habit.dispersion, ratio=ratio, inflation=habit.inflation, evidence_max=most)
    highest = 0.0
    for firsts, retries in window:
        chart.tick(retries, habit.ratio * firsts, is_big=False)
        highest = max(highest, chart.score)
    return highest


def _inflation(seen: float, windows: float) -> float:
    """How much more long sums vary than independent bins would have them vary, by what sums over ten minutes show.

    1 within what chance alone does to so many windows (two standard errors, and drawn towards 1 where they are few).
    """
    weight = windows + WINDOWS_PRIOR
    drawn = (windows * seen + WINDOWS_PRIOR) / weight
    surplus = max(drawn - 1.0 - 2.0 * math.sqrt(2.0 / weight), 0.0)
    return min(1.0 + HIDDEN_FACTOR * surplus, INFLATION_MAX)
