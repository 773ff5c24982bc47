"""Survival where some were last seen before they ended; and histograms of durations on logarithmic
bins: 32 a factor of two, 2.2 % wide, so ±1.1 % to a bin's middle.

The same bins are computed in SQL: `floor(32 * log2(greatest(seconds, 1e-3)))`.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.statistics.samples import SHORTEST_S, Floats

BINS_PER_OCTAVE: Final = 32
HAZARD_SHARE_MAX: Final = 1 - 1e-6
"""The last bin would have an infinite hazard when everyone in it completed."""

Ints = NDArray[np.int64]


def bin_of(seconds: Floats) -> Ints:
    """Bin numbers of durations; below one millisecond all share one bin."""
    octaves: Floats = np.log2(np.maximum(seconds, SHORTEST_S))
    return np.floor(BINS_PER_OCTAVE * octaves).astype(np.int64)


def bin_mid_s(bins: Ints) -> Floats:
    """Geometric middles of bins, in seconds."""
    middles: Floats = np.exp((np.asarray(bins) + 0.5) * (math.log(2) / BINS_PER_OCTAVE))
    return middles


def hist_quantile(bins: Ints, counts: Ints, q: float) -> float:
    """The q-quantile (0 ≤ q ≤ 1) of a histogram in seconds, within 1.1 % of the exact order
    statistic.

    `bins` need not be sorted and may repeat. Counts as ClickHouse's `quantileExactWeighted` does:
    the first bin up to which at least ⌈q·n⌉ durations lie. Raises ValueError for an empty
    histogram.
    """
    order = np.argsort(bins, kind="stable")
    reached = np.cumsum(np.asarray(counts)[order])
    if not len(reached) or reached[-1] <= 0:
        raise ValueError("a quantile needs at least one duration")
    at = np.searchsorted(reached, max(math.ceil(reached[-1] * q), 1))
    return float(bin_mid_s(np.asarray(bins)[order][at]))


def km_bins(completed: Ints, censored: Ints) -> Floats:
    """Kaplan-Meier cumulative hazard H = -ln S at the end of each bin, bins in ascending order.

    `completed` ended in the bin; `censored` were last seen there without an end of their own (timed
    out, cancelled, or still open at their present age). Source: Kaplan & Meier 1958.
    """
    at_risk = np.cumsum((completed + censored)[::-1])[::-1]
    share = np.minimum(completed / np.maximum(at_risk, 1), HAZARD_SHARE_MAX)
    return np.cumsum(-np.log1p(-share))


def km_curve(ascending: Floats, censored: Floats) -> Floats:
    """P(T > t) at each of the `ascending` durations, by Kaplan and Meier, beside the ages (ascending
    too) at which others were last seen without having ended.

    One more that never ends is thought beside them, which keeps survival off 0: it is
    (n+1-i)/(n+1) at the i-th of n durations where none is censored.
    """
    n, ended_before = len(ascending), np.arange(len(ascending))
    if not len(censored):
        return np.asarray((n - ended_before) / (n + 1))
    gone_before = np.searchsorted(censored, ascending, side="left")
    at_risk = n + len(censored) + 1 - ended_before - gone_before
    return np.asarray(np.cumprod(1 - 1 / at_risk))


def km_quantile(ascending: Floats, censored: Floats, alpha: float) -> float | None:
    """The first duration at which survival is down to `alpha`, the conformal order statistic where
    none is censored. None: so many were cut off that it never is."""
    reached = np.flatnonzero(km_curve(ascending, censored) <= alpha)
    return float(ascending[reached[0]]) if len(reached) else None
