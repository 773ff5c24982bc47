"""Seeded samples of known distributions, the same on every version of numpy."""

import numpy as np
from scipy import special

from detectors.statistics.samples import Floats

NAMES = ("lognormal", "exponential", "pareto")


def isf(name: str, survival: Floats | float) -> Floats:
    """The duration that is exceeded with probability `survival`: lognormal(0, 1), exp(1),
    Pareto(2)."""
    s = np.asarray(survival, dtype=np.float64)
    if name == "lognormal":
        return np.asarray(np.exp(-np.sqrt(2) * special.erfinv(2 * s - 1)))
    return np.asarray(-np.log(s) if name == "exponential" else s**-0.5)


def sf(name: str, duration: float) -> float:
    """P(T > duration)."""
    if name == "lognormal":
        return float(special.ndtr(-np.log(duration)))
    return float(np.exp(-duration) if name == "exponential" else min(duration**-2.0, 1.0))


def sample(name: str, n: int, seed: int) -> Floats:
    """`n` durations. RandomState's stream is frozen for good, unlike default_rng's."""
    uniform = np.random.RandomState(seed).random_sample(n)
    return isf(name, 1 - uniform if name == "lognormal" else uniform)
