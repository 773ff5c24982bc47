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

from detectors.budget import part_of
from detectors.calibration import RetryHabit
from detectors.calibration.retries import habits_of
from detectors.retry_storm import DETECTOR, MINUTE_BINS, charts_of, storm_of
from detectors.statistics.backoff import retry_pattern
from detectors.statistics.retry_cusum import BIN_S, BINS_PER_WEEK, RetryLoad
from detectors.storm import TRAILING, Bin, root_causes
from stallwatch.model.ticks import Tick

NAME: Final = "Retry storms"
DAY_BINS: Final = BINS_PER_WEEK // 7
WINDOW_BINS: Final = round(TRAILING.total_seconds() / BIN_S)
EPISODE_BINS: Final = 30
"""Alarms less than five minutes apart are one."""
CHARTS: Final = 20
STORM: Final = 0.3
NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
PLACE: Final = {"namespace": "default", "engine": "custom", "workflow": "shop", "step": "call"}
KEY: Final = ("default", "custom", "shop", "call")

Counts = np.ndarray[Any, np.dtype[Any]]
Law = Callable[[Generator, int], Counts]
"""How much more or less than usual is tried again in each bin; 1 in the mean."""


def measure(quick: bool) -> str:
    """A Markdown section."""
    parts = (
        _delays(60 if quick else 500),
        _false_alarms(1 if quick else CHARTS),
        _patterns(quick),
        _causes(quick),
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
            random = np.random.default_rng([11, round(100 * rate), round(1e4 * usual)])
            delays = [_delay_s(random, rate, usual) for _ in range(repeats)]
            goal = "" if goal_s is None else f"{goal_s} s"
            median, most = np.median(delays), np.quantile(delays, 0.9)
            lines.append(
                f"| {rate:g} | {100 * usual:g} % | {median:.0f} s | {most:.0f} s | {goal} |"
            )
    return "A storm in which 30 % of first attempts are tried again:\n\n" + "\n".join(lines)


def _delay_s(random: Generator, rate: float, usual: float) -> float:
    """From the beginning of the storm to the tick that tells it, which may fall anywhere."""
    habit = _habit(random, rate, usual)
    every_s = DETECTOR.every_s
    per_bin = round(BIN_S / every_s)
    before, after = WINDOW_BINS * per_bin, 120 * per_bin
    began_s = random.uniform(0, every_s)
    ratio = np.full(before + after, usual)
    ratio[before:] = STORM
    ratio[before] = usual + (STORM - usual) * (1 - began_s / every_s)
    firsts = random.poisson(rate * every_s, before + after)
    retries = random.poisson(ratio * firsts)
    for end in range(before + 1, before + after + 1):
        window = slice(end - before, end)
        # Bins are counted back from the tick, wherever it is.
        row = _row(*(x[window].reshape(-1, per_bin).sum(1) for x in (firsts, retries)))
        if storm_of(_tick(), row, habit, charts_of(habit, 1, part_of(1.0, "retry_storm"))):
            return (end - before) * every_s - began_s
    return float("inf")


def _habit(random: Generator, rate: float, usual: float) -> RetryHabit:
    firsts = random.poisson(rate * BIN_S, DAY_BINS)
    return _learned(firsts, random.poisson(usual * firsts))


def _learned(firsts: Counts, retries: Counts) -> RetryHabit:
    f, r = firsts.astype(np.float64), retries.astype(np.float64)
    sums = {
        "sum_f": f.sum(), "sum_r": r.sum(), "sum_ff": (f * f).sum(), "sum_fr": (f * r).sum(),
        "sum_rr": (r * r).sum(), "sum_failed": r.sum(), **_long(f.reshape(-1, 60), r.reshape(-1, 60)),
    }  # fmt: skip
    return habits_of([{**PLACE, "is_young": False, **sums}])[KEY]


def _long(f: Counts, r: Counts) -> dict[str, Any]:
    """The sums over ten minutes; one row each."""
    f, r = f.sum(1), r.sum(1)
    return {
        "windows": float(len(f)), "long_ff": (f * f).sum(), "long_fr": (f * r).sum(), "long_rr": (r * r).sum(),
    }  # fmt: skip


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


def _spikes(random: Generator, n: int) -> Counts:
    """Every twenty minutes or so, half a minute with 1.5 to many times as much."""
    level = np.full(n, 0.9)
    for at in np.flatnonzero(random.random(n) < 1 / 120):
        level[at : at + 3] *= 1.5 + random.pareto(2.5)
    return level


LAWS: Final[dict[str, Law]] = {
    "independent": lambda random, n: np.ones(n),
    "wandering within a minute": lambda random, n: _waves(random, n, 1, 0.5),
    "wandering within ten minutes": lambda random, n: _waves(random, n, 10, 0.3),
    "short spikes, Pareto(2.5)": _spikes,
    "three times as much by day": lambda random, n: (
        1 + 0.5 * np.sin(np.arange(n) * 2 * np.pi / DAY_BINS)
    ),
}


def _false_alarms(charts: int) -> str:
    lines = [
        "| retries | ratio | false alarms a week, allowed 0.2 | by mean + 3 standard deviations of 60 s |",
        "|---|---|---|---|",
    ]
    for number, (name, law) in enumerate(LAWS.items()):
        for usual in (0.02, 0.15):
            random = np.random.default_rng([13, number, round(100 * usual)])
            found = [_week(random, law, usual, charts) for _ in range(charts)]
            told, plain = (sum(one[i] for one in found) for i in (0, 1))
            lines.append(f"| {name} | {100 * usual:g} % | {told} | {plain:,} |")
    head = f"{charts} steps with one first attempt a second, more by day than by night, watched for a week:"
    return f"{head}\n\n" + "\n".join(lines)


def _week(random: Generator, law: Law, usual: float, charts: int) -> tuple[int, int]:
    """False alarms of the chart, and of three standard deviations over the last day's minutes."""
    n = DAY_BINS + BINS_PER_WEEK
    day = 1 + 0.6 * np.sin(np.arange(n) * 2 * np.pi / DAY_BINS + random.uniform(0, 6))
    firsts = random.poisson(BIN_S * day)
    retries = random.poisson(np.minimum(usual * law(random, n), 0.9) * firsts)
    minute = np.ones(MINUTE_BINS)
    retries_60s, firsts_60s = (np.convolve(x, minute)[:n] for x in (retries, firsts))
    alarms, plain = [], []
    for day_end in range(DAY_BINS, n, DAY_BINS):
        past = slice(day_end - DAY_BINS, day_end)
        habit = _learned(firsts[past], retries[past])
        pair = charts_of(habit, charts, part_of(1.0, "retry_storm"))
        limit = retries_60s[past].mean() + 3 * retries_60s[past].std()
        for i in range(day_end, min(day_end + DAY_BINS, n)):
            expected = habit.ratio * firsts[i]
            loads = [one.tick(retries[i], expected, retries_60s[i], firsts_60s[i]) for one in pair]
            if RetryLoad.STORM in loads:
                alarms.append(i)
            if retries_60s[i] > limit:
                plain.append(i)
    return _episodes(alarms), _episodes(plain)


def _episodes(bins: list[int]) -> int:
    return sum(1 for i, one in enumerate(bins) if not i or one - bins[i - 1] > EPISODE_BINS)


# What the pauses say ---------------------------------------------------------------------------


def _patterns(quick: bool) -> str:
    repeats = 100 if quick else 2000
    lines = ["| | 20 retries | 50 retries | 200 retries |", "|---|---|---|---|"]
    for kind, share in (("none", 0.0), ("equal", 0.5), ("full", 1.0)):
        rates = [_right("jitter", kind, 2.0, share, n, repeats) for n in (20, 50, 200)]
        lines.append(
            f"| jitter: {kind} | " + " | ".join(f"{100 * one:.1f} %" for one in rates) + " |"
        )
    for kind, factor in (("fixed", 1.0), ("exponential", 2.0)):
        rates = [_right("backoff", kind, factor, None, n, repeats) for n in (20, 50, 200)]
        lines.append(
            f"| backoff: {kind} | " + " | ".join(f"{100 * one:.1f} %" for one in rates) + " |"
        )
    return (
        "How often the retry policy is recognised. Pauses of 0.2 to 20 s before up to four retries of a call; each "
        "comes 2 % and some milliseconds off:\n\n" + "\n".join(lines)
    )


def _right(what: str, kind: str, factor: float, share: float | None, n: int, repeats: int) -> float:
    """The share of storms that are described right; `share` of the pause is jitter, None: any."""
    random = np.random.default_rng([17, n, round(10 * factor), round(10 * (share or 0)), len(what)])
    right = 0
    for _ in range(repeats):
        jitter = random.choice((0.0, 0.5, 1.0)) if share is None else share
        pattern = retry_pattern(_pauses(random, n, factor, jitter), [])
        right += getattr(pattern, what).value == kind
    return right / repeats


def _pauses(random: Generator, n: int, factor: float, jitter: float) -> dict[int, list[float]]:
    """`n` pauses, fewer before each further attempt."""
    base_s = float(np.exp(random.uniform(np.log(0.2), np.log(20))))
    pauses: dict[int, list[float]] = {}
    for attempt in random.choice((2, 3, 4, 5), n, p=(0.4, 0.3, 0.2, 0.1)):
        nominal_s = base_s * factor ** (attempt - 2)
        drawn_s = nominal_s * (1 - jitter * random.random()) * (1 + random.normal(0, 0.02))
        late_s = random.exponential(0.01)
        pauses.setdefault(int(attempt), []).append(max(drawn_s, 0.0) + late_s)
    return pauses


# What is behind it -----------------------------------------------------------------------------


def _causes(quick: bool) -> str:
    repeats = 50 if quick else 1000
    lines = [
        "| callers of each downstream | right by the product | by raw counts |",
        "|---|---|---|",
    ]
    for callers in (2, 5, 20):
        random = np.random.default_rng([19, callers])
        found = [_cause_is_right(random, callers) for _ in range(repeats)]
        ours, raw = (float(np.mean([one[i] for one in found])) for i in (0, 1))
        lines.append(f"| {callers} | {100 * ours:.1f} % | {100 * raw:.1f} % |")
    return (
        "One of 20 downstreams refuses a tenth to a half of the calls; in three other steps something of their own "
        "goes wrong as badly, and volumes differ a hundredfold:\n\n" + "\n".join(lines)
    )


def _cause_is_right(random: Generator, callers: int) -> tuple[bool, bool]:
    steps = 20 * callers
    downstream = np.repeat(np.arange(20), callers)
    guilty = int(random.integers(20))
    firsts = random.poisson(60 * np.exp(random.normal(0, 1.2, steps))) + 1
    usual = np.exp(random.uniform(np.log(0.002), np.log(0.1), steps))
    ratio = usual.copy()
    refuses = random.uniform(0.1, 0.5)
    ratio[downstream == guilty] += refuses * random.uniform(0.5, 1.5, callers)
    ratio[random.choice(np.flatnonzero(downstream != guilty), 3, replace=False)] += refuses
    level = random.gamma(5.0, 1 / 5.0, steps)
    retries = random.poisson(ratio * level * firsts)
    rows = [
        {
            **PLACE,
            "step": f"s-{i}",
            "calls": [([f"d-{downstream[i]}"], [int(firsts[i])], [int(retries[i])])],
        }
        for i in range(steps)
    ]
    habits = {
        ("default", "custom", "shop", f"s-{i}"): RetryHabit(1e4, float(usual[i]), 5.0)
        for i in range(steps)
    }
    name, _ = root_causes(rows, habits)["default"]
    raw = int(np.bincount(downstream, weights=retries).argmax())
    return name == f"d-{guilty}", raw == guilty
