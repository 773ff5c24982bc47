"""Retry storms: how soon they are told, how often wrongly, and whether their timing and their cause are named right.

Goals: a storm in which 30 % of first attempts are tried again is told within 35 s at one first attempt a second and
within 20 s at ten; at most one false alarm a week over the whole fleet; "no jitter" is right in 96 of 100 cases at 50
retries; the cause is named right in 99 of 100.

All of it is judged by the product's own functions, from counts and pauses that are drawn here: habits from a day of
counts, the chart that runs over bins, the description of pauses, the choice among downstreams. The chart runs through
the week without the twenty minutes' limit, which can only make it raise more.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from benchmarks.detectors._storm_signs import PLACE, causes, patterns
from detectors.budget import part_of
from detectors.calibration import RetryHabit
from detectors.calibration.retries import LOUD_RETRIES_MIN, LOUD_WINDOWS, habits_of
from detectors.retry_storm import DETECTOR, HALF_MINUTE_BINS, MINUTE_BINS, charts_of, storm_of
from detectors.statistics.retry_cusum import (
    BIN_S,
    BINS_PER_WEEK,
    STORM_RETRIES_MIN,
    SUDDEN_RETRIES_MIN,
    RetryLoad,
    are_many,
)
from detectors.storm import TRAILING, Bin
from stallwatch.model.ticks import Tick

NAME: Final = "Retry storms"
DAY_BINS: Final = BINS_PER_WEEK // 7
WINDOW_BINS: Final = round(TRAILING.total_seconds() / BIN_S)
EPISODE_BINS: Final = 30
"""Alarms less than five minutes apart are one."""
CHARTS: Final = 20
STORM: Final = 0.3
RATIO_MAX: Final = 0.9
NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY: Final = ("default", "custom", "shop", "call")

Counts = np.ndarray[Any, np.dtype[Any]]
Law = Callable[[Generator, int], Counts]
"""How much more or less than usual is tried again in each bin; 1 in the mean."""


def measure(quick: bool) -> str:
    """A Markdown section."""
    parts = (
        _delays(60 if quick else 500),
        _delays_after_spikes(20 if quick else 200),
        _false_alarms(1 if quick else CHARTS),
        patterns(quick),
        causes(quick),
    )
    return "\n\n".join(parts)


# How soon --------------------------------------------------------------------------------------


def _delays(repeats: int) -> str:
    lines = [
        "| first attempts a second | usually tried again | told after, median | 90 % within | goal |",
        "|---|---|---|---|---|",
    ]
    for rate, goal_s in ((0.3, None), (1.0, 35), (3.0, None), (10.0, 20), (100.0, None)):
        for usual in (0.005, 0.03):
            goal = "" if goal_s is None else f"{goal_s} s"
            median, most = _median_and_most(rate, usual, STORM, _even, repeats)
            lines.append(
                f"| {rate:g} | {100 * usual:g} % | {median:.0f} s | {most:.0f} s | {goal} |"
            )
    return "A storm in which 30 % of first attempts are tried again:\n\n" + "\n".join(lines)


def _delays_after_spikes(repeats: int) -> str:
    """What it costs to know that short spikes are usual."""
    lines = [
        "| first attempts a second | usually tried again | in the storm | told after, median | 90 % within "
        "| without spikes before |",
        "|---|---|---|---|---|---|",
    ]
    for rate in (1.0, 10.0):
        for usual, storm in ((0.02, STORM), (0.15, 2 * STORM)):
            after, most = _median_and_most(rate, usual, storm, _spikes, repeats)
            without, _ = _median_and_most(rate, usual, storm, _even, repeats)
            lines.append(
                f"| {rate:g} | {100 * usual:g} % | {100 * storm:g} % | {after:.0f} s | {most:.0f} s | {without:.0f} s |"
            )
    head = (
        "A storm after a day with short spikes (Pareto(2.5), see below), which it has to outlast:"
    )
    return f"{head}\n\n" + "\n".join(lines)


def _median_and_most(
    rate: float, usual: float, storm: float, law: Law, repeats: int
) -> tuple[float, float]:
    """The median and the 90 % quantile of the delays."""
    random = np.random.default_rng([11, round(100 * rate), round(1e4 * usual)])
    delays = [_delay_s(random, rate, usual, storm, law) for _ in range(repeats)]
    return float(np.median(delays)), float(np.quantile(delays, 0.9))


def _delay_s(random: Generator, rate: float, usual: float, storm: float, law: Law) -> float:
    """From the beginning of the storm to the tick that tells it, which may fall anywhere."""
    habit = _habit(random, rate, usual, law)
    every_s = DETECTOR.every_s
    per_bin = round(BIN_S / every_s)
    before, after = WINDOW_BINS * per_bin, 120 * per_bin
    began_s = random.uniform(0, every_s)
    ratio = np.full(before + after, usual)
    ratio[before:] = storm
    ratio[before] = usual + (storm - usual) * (1 - began_s / every_s)
    firsts = random.poisson(rate * every_s, before + after)
    retries = random.poisson(ratio * firsts)
    for end in range(before + 1, before + after + 1):
        window = slice(end - before, end)
        # Bins are counted back from the tick, wherever it is.
        row = _row(*(x[window].reshape(-1, per_bin).sum(1) for x in (firsts, retries)))
        if storm_of(_tick(), row, habit, charts_of(habit, 1, part_of(1.0, "retry_storm"))):
            return (end - before) * every_s - began_s
    return float("inf")


def _habit(random: Generator, rate: float, usual: float, law: Law) -> RetryHabit:
    firsts = random.poisson(rate * BIN_S, DAY_BINS)
    level = np.minimum(usual * law(random, DAY_BINS), RATIO_MAX)
    return _learned(firsts, random.poisson(level * firsts))


def _learned(firsts: Counts, retries: Counts) -> RetryHabit:
    f, r = firsts.astype(np.float64), retries.astype(np.float64)
    sums = {
        "sum_f": f.sum(), "sum_r": r.sum(), "sum_ff": (f * f).sum(), "sum_fr": (f * r).sum(),
        "sum_rr": (r * r).sum(), "sum_failed": r.sum(), "loud": _loud(f.reshape(-1, 60), r.reshape(-1, 60)),
        **_long(f.reshape(-1, 60), r.reshape(-1, 60)),
    }  # fmt: skip
    return habits_of([{**PLACE, "is_young": False, **sums}])[KEY]


def _long(f: Counts, r: Counts) -> dict[str, Any]:
    """The sums over ten minutes; one row each."""
    f, r = f.sum(1), r.sum(1)
    return {
        "windows": float(len(f)), "long_ff": (f * f).sum(), "long_fr": (f * r).sum(), "long_rr": (r * r).sum(),
    }  # fmt: skip


def _loud(f: Counts, r: Counts) -> list[list[tuple[float, float]]]:
    """The windows of ten minutes with the most retries in one bin; one row each."""
    loudest = [
        i
        for i in np.argsort(-r.max(1), kind="stable")[:LOUD_WINDOWS]
        if r[i].max() >= LOUD_RETRIES_MIN
    ]
    return [list(zip(f[i].tolist(), r[i].tolist(), strict=True)) for i in loudest]


def _row(firsts: Counts, retries: Counts) -> dict[str, Any]:
    """A row as the detector's statement gives it, the oldest bin first here."""
    n = len(firsts)
    bins = [
        Bin(n - 1 - i, int(firsts[i]), int(retries[i]), 0, 0, 0, 0)
        for i in range(n)
        if firsts[i] or retries[i]
    ]
    # Each retry is another call's.
    executions = [(one.number, [f"{one.number}-{i}" for i in range(one.retries)]) for one in bins]
    return {
        **PLACE,
        "bins": bins,
        "executions": executions,
        "samples": [],
        "slots": [],
        "calls": [],
    }


def _tick() -> Tick:
    return Tick(NOW - timedelta(hours=1), NOW, NOW - timedelta(hours=6))


# How often wrongly -----------------------------------------------------------------------------


def _waves(random: Generator, n: int, minutes: float, sigma: float) -> Counts:
    """Logarithms that wander: standard deviation sigma, forgotten after so many minutes."""
    keep = np.exp(-BIN_S / (60 * minutes))
    steps = random.normal(0, sigma * np.sqrt(1 - keep**2), n)
    values = np.empty(n)
    value = random.normal(0, sigma)
    for i in range(n):
        value = keep * value + steps[i]
        values[i] = value
    return np.exp(values - sigma * sigma / 2)


def _even(random: Generator, n: int) -> Counts:
    return np.ones(n)


def _spikes(random: Generator, n: int) -> Counts:
    """Every twenty minutes or so, half a minute with 1.5 to many times as much."""
    level = np.full(n, 0.9)
    for at in np.flatnonzero(random.random(n) < 1 / 120):
        level[at : at + 3] *= 1.5 + random.pareto(2.5)
    return level


LAWS: Final[dict[str, Law]] = {
    "independent": _even,
    "wandering within a minute": lambda random, n: _waves(random, n, 1, 0.5),
    "wandering within ten minutes": lambda random, n: _waves(random, n, 10, 0.3),
    "short spikes, Pareto(2.5)": _spikes,
    "three times as much by day": lambda random, n: (
        1 + 0.5 * np.sin(np.arange(n) * 2 * np.pi / DAY_BINS)
    ),
}


def _false_alarms(charts: int) -> str:
    lines = [
        "| retries | first attempts a second | ratio | false alarms a week, allowed 0.2 "
        "| by mean + 3 standard deviations of 60 s |",
        "|---|---|---|---|---|",
    ]
    for number, (name, law) in enumerate(LAWS.items()):
        for rate in (1, 10):
            for usual in (0.02, 0.15):
                random = np.random.default_rng(
                    [13, number, round(100 * usual), *([rate] if rate > 1 else [])]
                )
                found = [_week(random, law, rate, usual, charts) for _ in range(charts)]
                told, plain = (sum(one[i] for one in found) for i in (0, 1))
                lines.append(f"| {name} | {rate} | {100 * usual:g} % | {told} | {plain:,} |")
    head = f"{charts} steps, more busy by day than by night, watched for a week:"
    return f"{head}\n\n" + "\n".join(lines)


def _week(random: Generator, law: Law, rate: float, usual: float, charts: int) -> tuple[int, int]:
    """False alarms of the charts, and of three standard deviations over the last day's minutes."""
    n = DAY_BINS + BINS_PER_WEEK
    day = 1 + 0.6 * np.sin(np.arange(n) * 2 * np.pi / DAY_BINS + random.uniform(0, 6))
    firsts = random.poisson(rate * BIN_S * day)
    retries = random.poisson(np.minimum(usual * law(random, n), RATIO_MAX) * firsts)
    many = np.zeros(n, dtype=bool)
    for bins, least in ((MINUTE_BINS, STORM_RETRIES_MIN), (HALF_MINUTE_BINS, SUDDEN_RETRIES_MIN)):
        lately = [np.convolve(x, np.ones(bins))[:n] for x in (retries, firsts)]
        many |= [are_many(r, f, least) for r, f in zip(*lately, strict=True)]
    retries_60s = np.convolve(retries, np.ones(MINUTE_BINS))[:n]
    alarms, plain = [], []
    for day_end in range(DAY_BINS, n, DAY_BINS):
        past = slice(day_end - DAY_BINS, day_end)
        habit = _learned(firsts[past], retries[past])
        pair = charts_of(habit, charts, part_of(1.0, "retry_storm"))
        limit = retries_60s[past].mean() + 3 * retries_60s[past].std()
        for i in range(day_end, min(day_end + DAY_BINS, n)):
            expected = habit.ratio * firsts[i]
            loads = [one.tick(retries[i], expected, bool(many[i])) for one in pair]
            if RetryLoad.STORM in loads:
                alarms.append(i)
            if retries_60s[i] > limit:
                plain.append(i)
    return _episodes(alarms), _episodes(plain)


def _episodes(bins: list[int]) -> int:
    return sum(1 for i, one in enumerate(bins) if not i or one - bins[i - 1] > EPISODE_BINS)
