"""The duration that a healthy attempt exceeds with a given small probability, from many past
durations.

With enough of them it is an order statistic. Beyond the sample the tail has to be extrapolated: the
logarithms of the largest durations over a cut follow a generalized Pareto distribution (GPD;
Pickands 1975, peaks over threshold). Its two parameters are not estimated but averaged over their
posterior on a grid, so that not knowing them makes the threshold wider and the promised probability
holds on average.
"""

import math
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np

from detectors.statistics.samples import NOTHING, Floats, sorted_durations
from detectors.statistics.survival import km_curve, km_quantile

CONFORMAL_EXCEEDANCES: Final = 20
"""With so many expected exceedances (n·alpha) in the sample no tail model is needed: the relative
error of the order statistic's false-alarm rate is 1/√20."""
DURATIONS_MIN: Final = 20
"""Half of the sample at most is tail, and EXCESSES_MIN are needed there."""

EXCESSES_MIN: Final = 10
EXCESSES_MAX: Final = 1000
KS_CRITICAL: Final = 0.95
"""A tail whose Kolmogorov-Smirnov distance times √k is above this is not a GPD yet: halve it. Below
the usual 1.36 because the parameters were fitted to the same excesses."""

_NEARLY_ZERO: Final = 1e-6
"""Stands for the shape 0 (an exponential tail), so that one formula serves all shapes."""
_SHAPES: Final = np.linspace(-0.6, 0.6, 49)
_SHAPES[np.abs(_SHAPES) < _NEARLY_ZERO] = _NEARLY_ZERO
_SCALES: Final = np.exp(np.linspace(np.log(0.25), np.log(4.0), 41))
"""In units of the mean excess, which is the scale's own estimate for an exponential tail."""
EXCESS_MIN: Final = 1e-9
"""Ties at the cut count as this instead of 0."""
_EXCESS_LIMIT: Final = 60.0
"""e^60 seconds: no need to look for a quantile further out."""
_BISECTIONS: Final = 50
_TINY: Final = 1e-300
_FACTORS: Final = 8
_SMALL_FACTOR: Final = 1e-30
"""So small that it rules the grid's point out, and eight of them are still a number."""


@dataclass(frozen=True)
class TailModel:
    """How much of the sample is tail, and what is thought of its shape before it is seen.

    The tail is the largest `per_root_n`·√n durations: a share that shrinks with n, so that the GPD's
    limit applies. `shape_mean`, `shape_sd`: the prior of the shape. Log-excesses of power laws have
    shape 0, of lognormal, exponential and Weibull durations a negative one.
    """

    per_root_n: float
    shape_mean: float
    shape_sd: float


NARROW: Final = TailModel(2.5, -0.08, 0.07)
"""Sure of itself, as befits a sample of some hundred: such a sample, believed, scatters the
thresholds by factors."""
WIDE: Final = TailModel(5.0, -0.13, 0.12)
"""Looks at twice as much of the sample and lets it say more: of a light tail's budget it uses several
times as much as NARROW, and no more of a power law's."""
_NARROW_UNTIL: Final = 500
_WIDE_FROM: Final = 1000


def model_for(n: int) -> TailModel:
    """NARROW for few durations, WIDE for many, and what lies between for those between."""
    share = float(np.interp(np.log(max(n, 1)), np.log((_NARROW_UNTIL, _WIDE_FROM)), (0.0, 1.0)))
    return TailModel(
        *(
            (1 - share) * narrow + share * wide
            for narrow, wide in zip(astuple(NARROW), astuple(WIDE), strict=True)
        )
    )


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


def fit_tail(
    excesses: Floats, model: TailModel = NARROW, censored: Floats = NOTHING
) -> TailPosterior:
    """Posterior of the GPD on a grid of shapes and scales, given log-excesses (shape (k,),
    positive).

    `censored`: log-excesses at which others were still open when they were last seen. Each counts
    π + (1-π)·S(y): with the share π of all that was cut off it may have hung, and would never have
    ended. So hangs, far beyond the rest, say nothing, and what a timeout cut off says that the tail
    goes on.
    """
    shape, scale = np.meshgrid(
        _SHAPES, _SCALES * max(float(excesses.mean()), EXCESS_MIN), indexing="ij"
    )
    log_stretch = _sum_of_log_stretches(excesses, shape / scale)
    log_likelihood = -len(excesses) * np.log(scale) - (1 + 1 / shape) * log_stretch
    beyond_end_point = 1 + shape / scale * excesses.max() <= 0
    log_prior = -0.5 * ((shape - model.shape_mean) / model.shape_sd) ** 2
    log_posterior = np.where(beyond_end_point, -np.inf, log_likelihood + log_prior)
    if len(censored):
        hung = len(censored) / (len(censored) + len(excesses))
        open_still = np.exp(gpd_log_survival(censored, shape[..., None], scale[..., None]))
        log_posterior += np.log(hung + (1 - hung) * open_still).sum(axis=-1)
    weight = np.exp(log_posterior - log_posterior.max())
    return TailPosterior(shape, scale, weight / weight.sum())


def _sum_of_log_stretches(excesses: Floats, slope: Floats) -> Floats:
    """Sum of ln(1 + slope·y) over the excesses for every slope, what is not positive taken as next to
    nothing. Eight are multiplied before a logarithm is taken of them, which is most of a fit's cost."""
    columns = -(-len(excesses) // _FACTORS)
    padded = np.zeros(_FACTORS * columns)
    padded[: len(excesses)] = excesses
    stretch = slope[..., None, None] * padded.reshape(_FACTORS, columns)
    stretch += 1
    np.maximum(stretch, _SMALL_FACTOR, out=stretch)
    return np.asarray(np.log(stretch.prod(axis=-2)).sum(axis=-1))


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


def tau(
    durations_s: Floats, alpha: float, model: TailModel = NARROW, censored_s: Floats = NOTHING
) -> float:
    """Seconds that a healthy attempt exceeds with probability `alpha`; meant for n ≥ 300 durations.

    1. With n·alpha ≥ 20: the conformal order statistic; beside censored durations the Kaplan-Meier
       quantile, where they leave one.
    2. Otherwise cut off the largest durations and fit the GPD to their logarithms over the cut.
    3. While the fit is poor and enough would be left, take half as many.
    4. The posterior predictive quantile, or the sample's own where alpha lies inside it.

    `censored_s`: ages at which other attempts were seen for the last time without having completed
    (timed out, cancelled, open). Raises ValueError for fewer than DURATIONS_MIN durations, one that
    is not finite, or alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is a probability, not {alpha}")
    ascending = sorted_durations(durations_s)
    censored = sorted_durations(censored_s)
    n = len(ascending)
    if n < DURATIONS_MIN:
        raise ValueError(f"{n} durations are too few for a tail: {DURATIONS_MIN} are needed")
    if n * alpha >= CONFORMAL_EXCEEDANCES:
        if not len(censored):
            return conformal_quantile(ascending, alpha)
        quantile_s = km_quantile(ascending, censored, alpha)
        if quantile_s is not None:
            return quantile_s
    wanted = max(EXCESSES_MIN, min(EXCESSES_MAX, math.ceil(model.per_root_n * math.sqrt(n))))
    k = min(n // 2, wanted)
    while True:
        cut_s = ascending[n - k - 1]
        excesses = np.maximum(np.log(ascending[-k:] / cut_s), EXCESS_MIN)
        posterior = fit_tail(excesses, model, np.log(censored[censored > cut_s] / cut_s))
        fits = ks_distance(posterior, excesses) * math.sqrt(k) < KS_CRITICAL
        if fits or k // 2 < EXCESSES_MIN:
            break
        k //= 2
    above_cut = km_curve(ascending, censored)[n - k - 1]
    if alpha >= above_cut:
        return float(np.quantile(ascending, 1 - alpha))
    return float(cut_s * np.exp(posterior.quantile(alpha / above_cut)))
