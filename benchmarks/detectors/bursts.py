"""False alarms of `error_burst` over a fleet of 2,000 steps, and how soon it finds what is one.

Goals: at most one false alarm a week per 2,000 steps; a rise to 50 % errors found within a minute at 5 attempts a
minute and more. The product's own functions, from the sums that the calibration selects to the alarm: only the
counting is done here. A moment every 10 s is judged, as `serve` may.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.detectors import table
from detectors.budget import PARTS
from detectors.bursts import BIN_S, stacked
from detectors.calibration.bursts import LAG, habits_of
from detectors.statistics.bursts import (
    ERRORS_MIN,
    SCREEN_Z,
    WINDOWS_MIN,
    BurstHabits,
    burst_evidence,
    discoveries,
    level_of,
)

NAME: Final = "Bursts of errors"
STEPS: Final = 2000
BINS_PER_MINUTE: Final = 60 // BIN_S
MINUTES_PER_DAY: Final = 1440
HOUR: Final = 60 * BINS_PER_MINUTE
RELEARN_MIN: Final = 120
QUIET_BINS: Final = 15 * BINS_PER_MINUTE
WIDTHS: Final = np.array(WINDOWS_MIN) * BINS_PER_MINUTE
LEVEL: Final = level_of(PARTS["error_burst"])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fleet:
    """Steps by attempts per minute and share of errors, shape (S,)."""

    per_minute: Floats
    rate: Floats


@dataclass(frozen=True)
class Case:
    """A step whose share of errors rises."""

    per_minute: float
    usual: float
    rate: float


CASES: Final = (
    Case(5, 0.001, 0.5), Case(5, 0.01, 0.5), Case(20, 0.01, 0.5), Case(60, 0.01, 0.5),
    Case(60, 0.01, 0.1), Case(60, 0.01, 0.03), Case(60, 0.05, 0.15),
)  # fmt: skip
FLEETS: Final = (1, 20, STEPS)

Noise = Callable[[Generator, Fleet, int], tuple[Floats, Floats]]
"""Attempts per bin and error rates, both (minutes, S), of so many minutes."""


def fleet(random: Generator) -> Fleet:
    """From an attempt in five minutes to 100 a minute; from one error in 10,000 to one in 20."""
    per_minute = 10 ** random.uniform(-0.7, 2, STEPS)
    return Fleet(per_minute, 10 ** random.uniform(-4, -1.3, STEPS))


def constant(random: Generator, steps: Fleet, minutes: int) -> tuple[Floats, Floats]:
    shape = (minutes, len(steps.rate))
    return np.broadcast_to(steps.per_minute, shape), np.broadcast_to(steps.rate, shape)


def beta(random: Generator, steps: Fleet, minutes: int) -> tuple[Floats, Floats]:
    """In the model: every minute draws its rate, with a correlation of 1 %."""
    weight = 1 / 0.01 - 1
    shape = (minutes, len(steps.rate))
    rates = random.beta(steps.rate * weight, (1 - steps.rate) * weight, shape)
    return np.broadcast_to(steps.per_minute, shape), rates


def restless(spread: float) -> Noise:
    """Outside of it: lognormal rates that stay high for half an hour, and a day's course in load and rates."""

    def noise(random: Generator, steps: Fleet, minutes: int) -> tuple[Floats, Floats]:
        size = len(steps.rate)
        keep = np.exp(-1 / 30)
        shocks = random.standard_normal((minutes, size)) * np.sqrt(1 - keep**2)
        wander = np.empty((minutes, size))
        wander[0] = random.standard_normal(size)
        for minute in range(1, minutes):
            wander[minute] = keep * wander[minute - 1] + shocks[minute]
        hour = np.arange(minutes)[:, None] / 60
        wave = np.sin((hour - random.uniform(0, 24, size)) * 2 * np.pi / 24)
        rates = steps.rate * np.exp(spread * wander - spread**2 / 2 + 0.4 * wave)
        return steps.per_minute * np.exp(0.7 * wave), np.minimum(rates, 0.9)

    return noise


NOISES: Final[dict[str, Noise]] = {
    "constant rates": constant,
    "rates drawn anew each minute (the model)": beta,
    "rates that wander by 30 % for half an hour, and ±50 % over the day": restless(0.3),
    "rates that wander by 50 %: to five times the usual one now and then": restless(0.5),
}


def counts(random: Generator, load: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """Errors and attempts per bin (bins, S)."""
    attempts = random.poisson(np.repeat(load / BINS_PER_MINUTE, BINS_PER_MINUTE, axis=0))
    errors = random.binomial(attempts, np.repeat(rates, BINS_PER_MINUTE, axis=0))
    return errors.astype(np.float64), attempts.astype(np.float64)


def learned(errors: Floats, attempts: Floats) -> BurstHabits:
    """The habits that the calibration would learn from these bins (the sums of its statement)."""
    rows = []
    for window_min in WINDOWS_MIN:
        e, n = (_by_window(one, window_min) for one in (errors, attempts))
        p = e.sum(0) / np.maximum(n.sum(0), 1)
        limit = n * p + SCREEN_Z * np.sqrt(np.maximum(n * p * (1 - p), 1e-9))
        high = (e >= ERRORS_MIN) & (e > limit)
        for step in range(e.shape[1]):
            own, of = e[:, step], n[:, step]
            rows.append(
                {
                    **{"namespace": "", "engine": "", "workflow": "", "step": str(step)},
                    "window_min": window_min,
                    "windows": int((of > 0).sum()),
                    "sum_e": own.sum(),
                    "sum_n": of.sum(),
                    "sum_nn": (of * of).sum(),
                    "sum_pairs": (of * (of - 1)).sum(),
                    "sum_en": (own * of).sum(),
                    "sum_ee": (own * own).sum(),
                    "highs": np.column_stack((own, of))[high[:, step]].tolist(),
                }
            )
    return stacked(list(habits_of(rows).values()))


def _by_window(bins: Floats, window_min: int) -> Floats:
    width = window_min * BINS_PER_MINUTE
    whole = bins[: len(bins) // width * width]
    return np.asarray(whole.reshape(-1, width, bins.shape[1]).sum(1))


def false_alarms(noise: Noise, seed: int, days: int) -> float:
    """Episodes that begin, per week."""
    random = np.random.default_rng(seed)
    lag = int(LAG.total_seconds()) // BIN_S
    before = MINUTES_PER_DAY * BINS_PER_MINUTE + lag
    minutes = before // BINS_PER_MINUTE + days * MINUTES_PER_DAY
    load, rates = noise(random, fleet(random), minutes)
    errors, attempts = counts(random, load, rates)
    episodes = 0
    last = np.full(errors.shape[1], -QUIET_BINS)
    for begin in range(before, len(errors), RELEARN_MIN * BINS_PER_MINUTE):
        habits = learned(
            errors[begin - before : begin - lag], attempts[begin - before : begin - lag]
        )
        end = min(begin + RELEARN_MIN * BINS_PER_MINUTE, len(errors))
        first = begin - HOUR
        for moment, e, n in windows(errors[first:end], attempts[first:end], HOUR):
            alarm = discoveries(burst_evidence(e, n, habits), errors.shape[1], LEVEL)
            now = first + moment
            episodes += int((alarm & (now - last >= QUIET_BINS)).sum())
            last[alarm] = now
    return episodes * 7 / days


def windows(errors: Floats, attempts: Floats, first: int) -> Iterator[tuple[int, Floats, Floats]]:
    """The counts (S, W) of the windows that end with each bin from `first` on."""
    sums = [np.vstack((np.zeros((1, one.shape[1])), one.cumsum(0))) for one in (errors, attempts)]
    for moment in range(first, len(errors)):
        before = np.maximum(moment + 1 - WIDTHS, 0)
        e, n = (total[moment + 1] - total[before] for total in sums)
        yield moment, e.T, n.T


def delays(seed: int, case: Case, repeats: int) -> dict[int, tuple[Floats, Floats]]:
    """Seconds from a rise to the first alarm by size of a fleet where nothing else shows, and to that of who knows all
    beforehand; infinite beyond an hour."""
    random = np.random.default_rng(seed)
    steps = Fleet(np.full(repeats, case.per_minute), np.full(repeats, case.usual))
    lag = int(LAG.total_seconds()) // BIN_S
    load, rates = constant(random, steps, MINUTES_PER_DAY + lag // BINS_PER_MINUTE + 60)
    past = MINUTES_PER_DAY * BINS_PER_MINUTE
    rates = rates.copy()
    rates[-60:] = case.rate
    errors, attempts = counts(random, load, rates)
    habits = learned(errors[:past], attempts[:past])
    known = certainty(errors[-HOUR:], attempts[-HOUR:], case)
    found = {size: (np.full(repeats, np.inf), np.full(repeats, np.inf)) for size in FLEETS}
    for moment, e, n in windows(errors[-2 * HOUR :], attempts[-2 * HOUR :], HOUR):
        evidence = burst_evidence(e, n, habits)
        for size, firsts in found.items():
            for first, sure in zip(firsts, (evidence, known[moment - HOUR]), strict=True):
                alarm = sure >= np.log(size / LEVEL)
                first[alarm & np.isinf(first)] = (moment - HOUR + 1) * BIN_S
    return found


def certainty(errors: Floats, attempts: Floats, case: Case) -> Floats:
    """The evidence (bins, S) of an observer who knows both rates and when one became the other: ln of the likelihood
    ratio, which is the soonest at a given risk (Wald 1945). It waits for as many errors as anybody cares for."""
    e, n = errors.cumsum(0), attempts.cumsum(0)
    ratio = e * np.log(case.rate / case.usual)
    ratio += (n - e) * np.log((1 - case.rate) / (1 - case.usual))
    return np.asarray(np.where(e >= ERRORS_MIN, ratio, 0.0))


def measure(quick: bool) -> str:
    """Two tables: false alarms a week, and delays."""
    days = 1 if quick else 7
    noises = list(NOISES.items())[: 1 if quick else None]
    alarms = [(name, f"{false_alarms(noise, 1, days):.0f}") for name, noise in noises]
    rows = []
    for case in CASES[: 1 if quick else None]:
        found = delays(2, case, 20 if quick else 300)
        shown = [_quantiles(*found[size]) for size in FLEETS]
        rows.append((f"{case.per_minute:.0f}", f"{case.usual:.1%}", f"{case.rate:.0%}", *shown))
    heads = ["alone", *(f"among {size:,} steps" for size in FLEETS[1:])]
    return "\n\n".join(
        (
            f"False alarms a week over {STEPS:,} steps (0.2 to 100 attempts a minute, errors 0.01 to 5 %), the "
            f"detector's part of the budget being {PARTS['error_burst']:g} (seed 1, {days} d):",
            table(("what is usual", "false alarms a week"), alarms),
            "From the rise to the alarm, median and 90 %, where no other step shows anything (300 repetitions; a tick "
            "comes up to 15 s later). In parentheses the median of an observer who knows both rates and the beginning, "
            "and asks for the same certainty and three errors too: sooner is hardly possible.",
            table(("attempts a minute", "usual errors", "errors", *heads), rows),
        )
    )


def _quantiles(seconds: Floats, at_best: Floats) -> str:
    """`30 s, 50 s (20 s)`."""
    found = np.quantile(seconds, (0.5, 0.9), method="inverted_cdf")
    least = np.quantile(at_best, 0.5, method="inverted_cdf")
    shown = [f"{one:.0f} s" if np.isfinite(one) else "> 1 h" for one in (*found, least)]
    return f"{shown[0]}, {shown[1]} ({shown[2]})"
