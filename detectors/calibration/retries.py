"""How often each step is tried again when nothing is wrong."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from detectors.calibration.learned import RetryHabit, StepKey
from detectors.statistics.retry_cusum import DISPERSION_MAX, DISPERSION_MIN
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
_SUMS: Final = (
    "sum_f", "sum_r", "sum_ff", "sum_fr", "sum_rr", "sum_failed", "windows", "long_ff", "long_fr", "long_rr",
)  # fmt: skip
_SQL: Final = (files("detectors.calibration") / "retries.sql").read_text(encoding="utf-8").strip()

Row = Mapping[str, Any]


def learn_retries(store: Store, now: datetime) -> dict[StepKey, RetryHabit]:
    """The habits of the trailing day without its last hour, which may hold the storm that is to be
    told; with it for steps that were hardly seen before."""
    window = {
        "from": now - RETRY_WINDOW,
        "until": now,
        "young_from": now - RETRY_LAG,
        "folded_from": max(0, int((now - RETRY_WINDOW - CLOCKS_AHEAD).timestamp() * 1e6)),
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
    long = total["long_rr"] - 2 * ratio * total["long_fr"] + ratio * ratio * total["long_ff"]
    inflation = _inflation(long / short if short > 0 else 1.0, total["windows"])
    return RetryHabit(firsts, ratio, dispersion, total["sum_failed"] / firsts, inflation)


def _inflation(seen: float, windows: float) -> float:
    """How much more long sums vary than independent bins would have them vary, by what sums over ten minutes show.

    1 within what chance alone does to so many windows (two standard errors, and drawn towards 1 where they are few).
    """
    weight = windows + WINDOWS_PRIOR
    drawn = (windows * seen + WINDOWS_PRIOR) / weight
    surplus = max(drawn - 1.0 - 2.0 * math.sqrt(2.0 / weight), 0.0)
    return min(1.0 + HIDDEN_FACTOR * surplus, INFLATION_MAX)
