"""Durations as the statistics need them: finite, positive, sorted."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOTHING: Final[Floats] = np.empty(0)

SHORTEST_S: Final = 1e-3
"""Shorter (and, by clock skew, negative) durations count as this: the logarithms need a floor, and
the duration histograms in the store resolve no finer."""


def sorted_durations(durations_s: Floats) -> Floats:
    """Ascending copy of `durations_s` (shape (n,), seconds), nothing below SHORTEST_S.

    Raises ValueError if a duration is not finite.
    """
    durations = np.asarray(durations_s, dtype=np.float64).ravel()
    if not np.isfinite(durations).all():
        raise ValueError("a duration is not finite")
    return np.sort(np.maximum(durations, SHORTEST_S))


def empirical_quantile(ascending: Floats, q: float) -> float:
    """The order statistic ⌈n·q⌉ of a sorted sample (n ≥ 1), as `quantileExact` counts it."""
    return float(np.quantile(ascending, q, method="inverted_cdf"))
