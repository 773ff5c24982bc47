"""A stall threshold from a handful of durations, or even one.

A few durations say little about their own tail, but much about which known shape of duration they
may come from. The shapes ("donors": lognormal, Pareto, Weibull, gamma, delayed exponential, two
modes) are moved to the sample's median and a little around it, weighted by the likelihood of the
sample, and the mixture is solved for the survival alpha.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from detectors.statistics.samples import Floats, sorted_durations

Survival = Callable[[Floats], Floats]
"""P(T > t) of a duration in arbitrary units, for an array of t > 0."""

STEP: Final = 0.1
_CELLS: Final = np.arange(-6, 14, STEP)
"""Centres of the density's cells, in ln(T / median)."""
SHIFT_MAX: Final = 25
"""The sample's median misses the true one by up to so many steps (a factor e^±2.5)."""
_SHIFTS: Final = np.arange(-SHIFT_MAX, SHIFT_MAX + 1)
_PADDING: Final = 30
"""Cells repeated at both ends, so that a shifted density stays inside its row."""
_POINTS: Final = np.arange(0, 16, STEP / 2)
"""Candidate thresholds, ln(τ / median): up to e^16 medians, in steps of 5 %."""

SMOOTHING_SD: Final = 0.7
DENSITY_FLOOR: Final = 2e-5
"""No cell is impossible: one odd duration must not rule out an otherwise fitting donor."""
SURVIVAL_FLOOR: Final = 1e-12
WEIGHT_MIN: Final = 1e-4
"""Lighter members of the mixture are left out: together they would still widen the tail."""
EXCEEDED_FACTOR: Final = 2.0
"""A threshold that a healthy attempt has already exceeded is raised to this many times the longest
one."""


def lognormal(sigma: float, median: float = 1.0) -> Survival:
    return lambda t: np.asarray(special.ndtr(-np.log(t / median) / sigma))


def pareto(power: float) -> Survival:
    return lambda t: np.maximum(t, 1.0) ** -power


def weibull(power: float) -> Survival:
    return lambda t: np.exp(-(t**power))


def gamma(order: float) -> Survival:
    return lambda t: np.asarray(special.gammaincc(order, t))


def delayed_exponential(delay: float) -> Survival:
    return lambda t: np.exp(-np.maximum(t - delay, 0.0))


def two_modes(slow_share: float, sigma: float, slow_median: float) -> Survival:
    """Mostly a lognormal of median 1; `slow_share` of the time a slower one (a cache miss, a retry
    inside)."""
    fast, slow = lognormal(sigma), lognormal(0.5, slow_median)
    return lambda t: (1 - slow_share) * fast(t) + slow_share * slow(t)


def archetypes() -> list[Survival]:
    """The shapes that step durations take in practice."""
    sigmas = (0.03, 0.06, 0.12, 0.25, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5)
    return [
        *(lognormal(sigma) for sigma in sigmas),
        *(pareto(power) for power in (0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0)),
        *(weibull(power) for power in (0.4, 0.5, 0.7, 1.0, 1.5, 2.5)),
        *(gamma(order) for order in (2.0, 4.0, 8.0)),
        *(delayed_exponential(delay) for delay in (3.0, 10.0, 100.0)),
        *(
            two_modes(slow_share, sigma, slow_median)
            for slow_share in (0.1, 0.01)
            for sigma in (0.3, 0.6)
            for slow_median in (10.0, 50.0, 200.0)
        ),
    ]


@dataclass(frozen=True)
class DonorTable:
    """All donors relative to their medians, one row each.

    `log_density`: per cell of ln(T / median), with padding. `survival`: on the lattice of candidate
    thresholds, begun SHIFT_MAX steps early and ended as many late.
    """

    log_density: Floats
    survival: Floats


@functools.cache
def donor_table() -> DonorTable:
    """The archetypes as tables: built when first needed, some ten milliseconds."""
    reach = SHIFT_MAX * STEP
    lattice = np.arange(len(_POINTS) + 4 * SHIFT_MAX) * (STEP / 2) - reach
    densities, survivals = [], []
    for survival in archetypes():
        log_median = _log_median(survival)
        densities.append(_log_density(survival, log_median))
        survivals.append(np.maximum(survival(np.exp(lattice + log_median)), SURVIVAL_FLOOR))
    padding = ((0, 0), (_PADDING, _PADDING))
    return DonorTable(np.pad(np.array(densities), padding, mode="edge"), np.array(survivals))


def _log_median(survival: Survival) -> float:
    low, high = -20.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if survival(np.exp(np.array([middle])))[0] > 0.5:
            low = middle
        else:
            high = middle
    return high


def _log_density(survival: Survival, log_median: float) -> Floats:
    """ln of the density of ln(T / median) per cell, smoothed a little and kept off zero."""
    edges = np.append(_CELLS - STEP / 2, _CELLS[-1] + STEP / 2)
    mass = np.maximum(-np.diff(survival(np.exp(edges + log_median))), 0.0)
    kernel = np.exp(-0.5 * (np.arange(-3, 4) / SMOOTHING_SD) ** 2)
    smooth = np.convolve(mass, kernel / kernel.sum(), "same") + DENSITY_FLOOR
    return np.asarray(np.log(smooth / smooth.sum() / STEP))


def _donor_weights(log_ratios: Floats, log_density: Floats) -> Floats:
    """Share of every donor at every shift (shape (donors, shifts)), by the sample's likelihood."""
    cell = np.clip(np.round((log_ratios - _CELLS[0]) / STEP).astype(int), 0, len(_CELLS) - 1)
    counts = np.bincount(cell, minlength=len(_CELLS))
    starts = _PADDING - _SHIFTS
    log_likelihood = np.stack(
        [log_density[:, start : start + len(_CELLS)] @ counts for start in starts], axis=1
    )
    weights = np.exp(log_likelihood - log_likelihood.max())
    weights /= weights.sum()
    weights[weights <= WEIGHT_MIN] = 0.0
    return np.asarray(weights / weights.sum())


def _mixture_survival(weights: Floats, survival: Floats) -> Floats:
    """Survival of the weighted donors at the candidate thresholds."""
    mixed = np.zeros(len(_POINTS))
    for column, shift in enumerate(_SHIFTS):
        start = 2 * (SHIFT_MAX - shift)
        mixed += weights[:, column] @ survival[:, start : start + len(_POINTS)]
    return np.minimum.accumulate(mixed)


def cold_start_tau(durations_s: Floats, alpha: float) -> float:
    """Seconds that a healthy attempt exceeds with probability `alpha`, from 1 to about 100
    durations.

    1. Place the durations relative to their median.
    2. Weight every donor at every shift by their likelihood.
    3. The first candidate at which the mixture's survival is down to alpha.
    4. If a duration already exceeds that: twice the longest.

    Raises ValueError without durations, for one that is not finite, or alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is a probability, not {alpha}")
    ascending = sorted_durations(durations_s)
    if not len(ascending):
        raise ValueError("a cold start needs at least one duration")
    donors = donor_table()
    logs = np.log(ascending)
    log_median = np.median(logs)
    weights = _donor_weights(logs - log_median, donors.log_density)
    rare = np.flatnonzero(_mixture_survival(weights, donors.survival) <= alpha)
    point = _POINTS[rare[0] if len(rare) else -1]
    threshold_s = float(np.exp(point + log_median))
    longest_s = float(ascending[-1])
    return threshold_s if threshold_s > longest_s else EXCEEDED_FACTOR * longest_s
