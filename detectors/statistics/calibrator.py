"""The duration that a healthy attempt exceeds with a given small probability, from many past
durations.

With enough of them it is an order statistic. Beyond the sample the tail has to be extrapolated: the
logarithms of the largest durations over a cut follow a generalized Pareto distribution (GPD;
Pickands 1975, peaks over threshold). Its two parameters are not estimated but averaged over their
posterior on a grid, so that not knowing them makes the threshold wider and the promised probability
holds on average.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.statistics.samples import Floats, sorted_durations

CONFORMAL_EXCEEDANCES: Final = 20
"""With so many expected exceedances (n·alpha) in the sample no tail model is needed: the relative
error of the order statistic's false-alarm rate is 1/√20."""
DURATIONS_MIN: Final = 20
"""Half of the sample at most is tail, and EXCESSES_MIN are needed there."""

EXCESSES_MIN: Final = 10
EXCESSES_MAX: Final = 1000
EXCESSES_PER_ROOT_N: Final = 2.5
"""The tail is the largest 2.5·√n durations: a share that shrinks with n, so that the GPD's limit
applies."""
KS_CRITICAL: Final = 0.95
"""A tail whose Kolmogorov-Smirnov distance times √k is above this is not a GPD yet: halve it. Below
the usual 1.36 because the parameters were fitted to the same excesses."""

_NEARLY_ZERO: Final = 1e-6
"""Stands for the shape 0 (an exponential tail), so that one formula serves all shapes."""
_SHAPES: Final = np.linspace(-0.6, 0.6, 49)
_SHAPES[np.abs(_SHAPES) < _NEARLY_ZERO] = _NEARLY_ZERO
_SCALES: Final = np.exp(np.linspace(np.log(0.25), np.log(4.0), 41))
"""In units of the mean excess, which is the scale's own estimate for an exponential tail."""
SHAPE_PRIOR_MEAN: Final = -0.08
SHAPE_PRIOR_SD: Final = 0.07
"""Log-excesses of power laws have shape 0, of lognormal, exponential and Weibull durations a
slightly negative one: the prior covers both."""

EXCESS_MIN: Final = 1e-9
"""Ties at the cut count as this instead of 0."""
_EXCESS_LIMIT: Final = 60.0
"""e^60 seconds: no need to look for a quantile further out."""
_BISECTIONS: Final = 50
_TINY: Final = 1e-300


@dataclass(frozen=True)
class TailPosterior:
    """What is known of a GPD after its excesses were seen: three arrays of one shape, the
    grid's."""

    shape: Floats
    scale: Floats
    weight: Floats

    def survival(self, excess: float) -> float:
        """Predictive P(log-excess > `excess`)."""
        log_survival = gpd_log_survival(np.float64(excess), self.shape, self.scale)
        return float((self.weight * np.exp(log_survival)).sum())

    def quantile(self, survival: float) -> float:
        """The log-excess that is exceeded with probability `survival` (0 < survival < 1)."""
        low, high = 0.0, float(self.scale.max()) * 2
        while self.survival(high) > survival and high < _EXCESS_LIMIT:
            high *= 2
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if self.survival(middle) > survival:
                low = middle
            else:
                high = middle
        return high

    def most_likely(self) -> tuple[np.float64, np.float64]:
        """Shape and scale at the posterior's mode."""
        at = np.unravel_index(self.weight.argmax(), self.weight.shape)
        return self.shape[at], self.scale[at]


def gpd_log_survival(
    excess: Floats | np.float64, shape: Floats | np.float64, scale: Floats | np.float64
) -> Floats:
    """ln S(y) = -ln(1 + shape·y/scale)/shape of the GPD, -∞ beyond its end point; the arguments
    broadcast, shape ≠ 0."""
    stretch = 1 + shape * excess / scale
    return np.where(stretch <= 0, -np.inf, -np.log(np.maximum(stretch, _TINY)) / shape)


def fit_tail(excesses: Floats) -> TailPosterior:
    """Posterior of the GPD on a grid of shapes and scales, given log-excesses (shape (k,),
    positive)."""
    shape, scale = np.meshgrid(
        _SHAPES, _SCALES * max(float(excesses.mean()), EXCESS_MIN), indexing="ij"
    )
    stretch = 1 + (shape / scale)[..., None] * excesses
    log_stretch = np.log(np.maximum(stretch, _TINY)).sum(axis=-1)
    log_likelihood = -len(excesses) * np.log(scale) - (1 + 1 / shape) * log_stretch
    beyond_end_point = 1 + shape / scale * excesses.max() <= 0
    log_prior = -0.5 * ((shape - SHAPE_PRIOR_MEAN) / SHAPE_PRIOR_SD) ** 2
    log_posterior = np.where(beyond_end_point, -np.inf, log_likelihood + log_prior)
    weight = np.exp(log_posterior - log_posterior.max())
    return TailPosterior(shape, scale, weight / weight.sum())


def ks_distance(posterior: TailPosterior, excesses: Floats) -> float:
    """Kolmogorov-Smirnov distance between ascending `excesses` and the most likely GPD."""
    k = len(excesses)
    fitted = 1 - np.exp(gpd_log_survival(excesses, *posterior.most_likely()))
    below = fitted - np.arange(1, k + 1) / k
    return float(max(np.abs(below).max(), np.abs(below + 1 / k).max()))


def conformal_quantile(ascending: Floats, alpha: float) -> float:
    """The order statistic ⌈(n+1)(1-alpha)⌉: a new, exchangeable duration exceeds it with
    probability ≤ alpha.

    Needs alpha ≥ 1/(n+1). Source: split conformal prediction (Vovk et al., 2005).
    """
    return float(ascending[math.ceil((len(ascending) + 1) * (1 - alpha)) - 1])


def tau(durations_s: Floats, alpha: float) -> float:
    """Seconds that a healthy attempt exceeds with probability `alpha`; meant for n ≥ 300 durations.

    1. With n·alpha ≥ 20: the conformal order statistic.
    2. Otherwise cut off the largest durations and fit the GPD to their logarithms over the cut.
    3. While the fit is poor and enough would be left, take half as many.
    4. The posterior predictive quantile, or the sample's own where alpha lies inside it.

    Raises ValueError for fewer than DURATIONS_MIN durations, one that is not finite, or alpha
    outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is a probability, not {alpha}")
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    if n < DURATIONS_MIN:
        raise ValueError(f"{n} durations are too few for a tail: {DURATIONS_MIN} are needed")
    if n * alpha >= CONFORMAL_EXCEEDANCES:
        return conformal_quantile(ascending, alpha)
    wanted = max(EXCESSES_MIN, min(EXCESSES_MAX, math.ceil(EXCESSES_PER_ROOT_N * math.sqrt(n))))
    k = min(n // 2, wanted)
    while True:
        cut_s = ascending[n - k - 1]
        excesses = np.maximum(np.log(ascending[-k:] / cut_s), EXCESS_MIN)
        posterior = fit_tail(excesses)
        fits = ks_distance(posterior, excesses) * math.sqrt(k) < KS_CRITICAL
        if fits or k // 2 < EXCESSES_MIN:
            break
        k //= 2
    above_cut = (k + 1) / (n + 1)
    if alpha >= above_cut:
        return float(np.quantile(ascending, 1 - alpha))
    return float(cut_s * np.exp(posterior.quantile(alpha / above_cut)))
