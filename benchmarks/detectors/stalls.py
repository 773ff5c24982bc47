"""Thresholds of stalls: how much of the budget of false alarms they use and how long they wait, on distributions by
which no constant was chosen, and on those that had been looked at; with durations that are alike inside
executions; with attempts that never completed.

Goal: between 0.3 and 1.5 of the budget at 1e-5 from 1,000 durations on; at most 1.3 times the best possible wait from
10,000 on.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.detectors import table
from benchmarks.detectors._laws import FRESH, LOOKED_AT, REFERENCE, Law, used_and_delay
from detectors.statistics.correlation import correlation_factor
from detectors.statistics.samples import NOTHING, Floats
from detectors.statistics.threshold import stall_threshold

NAME: Final = "Stalls: the threshold"

ALPHAS: Final = (1e-4, 1e-5)
SIZES: Final = (300, 1_000, 3_000, 10_000, 20_000)
REPETITIONS: Final = 60


def measure(quick: bool) -> str:
    """Three parts, each with its table."""
    parts = [_budget(alpha, quick) for alpha in ALPHAS]
    return "\n\n".join([*parts, _alike(quick), _censored(quick)])


def _seconds(durations: Floats, alpha: float, censored_s: Floats = NOTHING) -> float:
    seconds = stall_threshold(durations, alpha, censored_s=censored_s).seconds
    return float("inf") if seconds is None else seconds


def _budget(alpha: float, quick: bool) -> str:
    sizes = SIZES[:2] if quick else SIZES
    repetitions = 2 if quick else REPETITIONS

    def measured(law: Law) -> list[tuple[float, float]]:
        return [
            used_and_delay(law, n, alpha, repetitions, lambda x: _seconds(x, alpha)) for n in sizes
        ]

    rows = []
    for words, laws in (("fresh", FRESH), ("looked at", LOOKED_AT)):
        by_law = {name: measured(law) for name, law in laws.items()}
        figures = np.array(list(by_law.values()))
        together = list(
            zip(figures[:, :, 0].mean(axis=0), np.median(figures[:, :, 1], axis=0), strict=True)
        )
        rows += [_row(name, by_law[name]) for name in laws]
        rows.append(_row(f"**all that are {words}**", together))
    rows += [_row(f"({name})", measured(law)) for name, law in REFERENCE.items()]
    return (
        f"### One false alarm in {round(1 / alpha):,} attempts allowed\n\n"
        f"Used, and in parentheses the delay ratio; {repetitions} samples each. By laws above *fresh* no constant was "
        "chosen; those above *looked at* had been seen while some were; those in parentheses are well known, and "
        "constants were tuned with them.\n\n"
    ) + table(("durations", *(f"n = {n:,}" for n in sizes)), rows)


def _row(name: str, figures: Sequence[tuple[float, float]]) -> list[str]:
    return [name, *(f"{used:.2f} ({delay:.2f})" for used, delay in figures)]


def _alike(quick: bool) -> str:
    """Durations of executions over inputs of different sizes."""
    alpha, repetitions = 1e-4, 2 if quick else 40
    rows = []
    for between, inside in ((0.0, 0.5), (0.3, 0.4), (0.6, 0.3)):
        for executions, runs in ((5, 60), (20, 50), (50, 20), (200, 20)):
            random = np.random.default_rng(7)
            total = float(np.hypot(between, inside))
            plain, helped, factors = [], [], []
            for _ in range(repetitions):
                sizes = between * random.standard_normal((executions, 1))
                logs = sizes + inside * random.standard_normal((executions, runs))
                groups = list(np.exp(logs))
                seconds = _seconds(np.concatenate(groups), alpha)
                factor = correlation_factor(groups, alpha)
                factors.append(factor)
                plain.append(stats.norm.sf(np.log(seconds) / total) / alpha)
                helped.append(stats.norm.sf(np.log(seconds * factor) / total) / alpha)
            rows.append(
                [
                    f"{(between / total) ** 2:.2f}", f"{executions} of {runs}", f"{np.mean(plain):.2f}",
                    f"{np.mean(helped):.2f}", f"{np.median(factors):.2f}",
                ]
            )  # fmt: skip
    headings = ("correlation", "executions, runs each", "used without the factor", "used", "factor")
    return (
        "### Runs of a step that are alike inside an execution\n\nLognormal durations, one false alarm in 10,000 "
        "allowed.\n\n" + table(headings, rows)
    )


def _censored(quick: bool) -> str:
    """Hangs that somebody cancelled after hours, and timeouts that end healthy attempts."""
    alpha, n, repetitions = 1e-5, 3_000, 2 if quick else 40
    laws = {"lognormal(1.2)": stats.lognorm(1.2), "Weibull(0.7)": stats.weibull_min(0.7),
            "log-logistic(2.5)": stats.fisk(2.5)}  # fmt: skip
    rows = []
    for name, law in laws.items():
        random = np.random.default_rng(11)
        ratios: dict[str, list[float]] = {}
        for _ in range(repetitions):
            durations = law.rvs(size=n, random_state=random)
            alone = _seconds(durations, alpha)
            for share in (0.01, 0.05):
                hangs = random.uniform(3_600, 36_000, round(share * n))
                ratio = _seconds(durations, alpha, hangs) / alone
                ratios.setdefault(f"{share:.0%} hang", []).append(ratio)
            for survival in (0.1, 0.01):
                timeout_s = float(law.isf(survival))
                ok = durations[durations <= timeout_s]
                cut = np.full(n - len(ok), timeout_s)
                blind = _seconds(ok, alpha) / timeout_s
                ratios.setdefault(f"blind {survival}", []).append(blind)
                seeing = _seconds(ok, alpha, cut) / timeout_s
                ratios.setdefault(f"seeing {survival}", []).append(seeing)
        rows.append([name, *(f"{np.median(one):.2f}" for one in ratios.values())])
    headings = (
        "durations", "1 % hang", "5 % hang", "timeout at p90, unseen", "seen", "at p99, unseen", "seen",
    )  # fmt: skip
    return (
        "### Attempts that never completed\n\nn = 3,000, one false alarm in 100,000 allowed. Left: the threshold "
        "beside so many hangs, cancelled after 1 to 10 h, as a multiple of the one without. Right: the threshold as a "
        "multiple of a timeout that ends healthy attempts, without and with what it cut off; a healthy attempt is "
        "told only where this is below 1.\n\n" + table(headings, rows)
    )
