"""Bursts of errors: when a step fails so much more often than it used to that chance does not explain it.

Errors are counted in windows of 1, 2, 5, 15 and 60 minutes. How often a step fails is not constant even
when all is well, so the number of errors in a window is taken to be beta-binomial: the rate varies
from window to window, and its variance is learned for each length of window. What was seen of the
step bounds how well its rate is known, which makes the variance larger.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detectors.statistics.samples import Floats

Flags = NDArray[np.bool_]

WINDOWS_MIN: Final = (1, 2, 5, 15, 60)
TICKS_PER_WEEK: Final = 10_080
"""Windows of neighbouring moments hold the same errors: what counts as one test is a minute."""

ERRORS_MIN: Final = 3
RATE_FACTOR: Final = 2.0
RATE_MORE: Final = 0.01
"""Nobody cares below: at least three errors, and a rate above twice the usual one and a percentage
point above it."""

OVER_ODDS: Final = 20.0

KNOWN_MIN: Final = 50.0
"""Attempts below which the usual rate is not known any worse."""
DISPERSION_MAX: Final = 0.3
DISPERSION_TOLD: Final = 0.003
"""So small a dispersion hardly matters, and is not told from none."""
SCREEN_Z: Final = 3.0
"""Only windows so many standard deviations above what is usual are worth the exact computation."""

COMMON: Final = 3.0
"""Evidence (-ln of the probability) that one window in twenty has."""
COMMON_SHARE: Final = 0.05
PRIOR_EXCESSES: Final = 10.0
STRETCH_MARGIN: Final = 1.1

_TERMS: Final = 48
_BLOCKS: Final = 48


@dataclass(frozen=True)
class BurstHabits:
    """How often things fail when all is well: arrays over S things, and W windows (WINDOWS_MIN).

    `rates` (S,): share of attempts. `known` (S,): attempts that the rate is known from. `dispersions`
    (S, W): the correlation rho of the beta-binomial. `stretches` and `surpluses` (S, W): what evidence has to
    be divided and lessened by, see `recalibrated`.
    """

    rates: Floats
    known: Floats
    dispersions: Floats
    stretches: Floats
    surpluses: Floats


def rate_of(errors: Floats, attempts: Floats) -> Floats:
    """The rate by Jeffreys' prior: none in a hundred is not never."""
    return (errors + 0.5) / (attempts + 1.0)


def dispersion_by_moments(
    errors: Floats, attempts: Floats, squares: Floats, pairs: Floats, cross: Floats, ee: Floats
) -> Floats:
    """The correlation rho of the beta-binomial of S things, within [0, DISPERSION_MAX], from sums over past windows of
    one length.

    With the rate p = Σe/Σn a window's variance is n·p·(1-p)·(1 + (n-1)·rho), so
    rho = Σ((e-np)² - np(1-p)) ÷ Σ n(n-1)·p(1-p). `squares` Σn², `pairs` Σn(n-1), `cross` Σen, `ee` Σe².
    Few errors tell little of it: the numerator has a standard deviation of √(2Σ(np(1-p))² + Σnp(1-p)) even without any
    dispersion. So a thing's rho is drawn towards the fleet's, and the fleet's towards 0, the more
    the further that is above DISPERSION_TOLD of the denominator.
    """
    p = errors / np.maximum(attempts, 1.0)
    one = p * (1 - p)
    excess = ee - 2 * p * cross + p * p * squares - one * attempts
    scale = pairs * one
    noise = 2 * one * one * squares + one * attempts
    fleet_weight = np.sqrt(noise.sum()) / DISPERSION_TOLD
    fleet = max(float(excess.sum()) / max(float(scale.sum() + fleet_weight), 1e-12), 0.0)
    weight = np.sqrt(noise) / DISPERSION_TOLD
    rho = (excess + weight * fleet) / np.maximum(scale + weight, 1e-12)
    return np.asarray(np.clip(rho, 0.0, DISPERSION_MAX))


def widened(dispersions: Floats, windows: Floats) -> Floats:
    """Dispersions as they may be, learned from so many windows: two standard errors of a variance more."""
    wide = dispersions * (1 + 2 * np.sqrt(2 / np.maximum(windows, 1.0)))
    return np.asarray(np.minimum(wide, DISPERSION_MAX))


def worth_telling(errors: Floats, attempts: Floats, rates: Floats) -> Flags:
    """Which windows (S, W) hold errors that somebody would care for, and that still go on.

    A long window stays full of a burst that is long over. So the last minute has to be above the floor too,
    and no shorter window may look like usual again, OVER_ODDS to one, rather than like the long one.
    """
    floor = np.maximum(RATE_FACTOR * rates, rates + RATE_MORE)[:, None]
    above = (errors >= 1) & (errors > floor * attempts)
    told = above & (errors >= ERRORS_MIN) & above[:, :1]
    usual = rates[:, None]
    own = np.clip(errors / np.maximum(attempts, 1.0), usual, 1 - 1e-9)
    for_error, for_success = np.log(usual / own), np.log((1 - usual) / (1 - own))
    for shorter in range(len(WINDOWS_MIN) - 1):
        e, n = errors[:, [shorter]], attempts[:, [shorter]]
        told[:, shorter + 1 :] &= (e * for_error + (n - e) * for_success < math.log(OVER_ODDS))[
            :, shorter + 1 :
        ]
    return np.asarray(told)


def log_tail(errors: Floats, attempts: Floats, a: Floats, b: Floats) -> Floats:
    """ln P(X ≥ e) of beta-binomials with n attempts and the beta's a and b; arrays of one shape. To within 3 % from
    the mean upwards.

    Exact over the first terms; beyond them, where the terms change slowly, they are summed in blocks whose
    ends grow geometrically, by the trapezoid. Far below 1e-16, where 1 - P(X < e) has no digits.
    """
    e = np.asarray(errors, dtype=np.float64)[..., None]
    n = np.asarray(attempts, dtype=np.float64)[..., None]
    a, b = (np.asarray(one, dtype=np.float64)[..., None] for one in (a, b))

    def log_mass(k: Floats) -> Floats:
        ways = -np.log1p(n) - special.betaln(n - k + 1, k + 1)
        return np.asarray(ways + special.betaln(k + a, n - k + b) - special.betaln(a, b))

    k = e + np.arange(_TERMS)
    exact = np.where(k <= n, log_mass(np.minimum(k, n)), -np.inf)
    first = e + _TERMS - 1
    rest = np.maximum(n - first, 0.0)
    edges = first + np.expm1(np.linspace(0.0, 1.0, _BLOCKS + 1) * np.log1p(rest))
    coarse = log_mass(np.minimum(edges, n))
    # In units of the largest, which is not the first where the beta has two ends.
    unit = np.maximum(exact.max(-1), coarse.max(-1))[..., None]
    masses = np.exp(coarse - unit)
    # The sum over (k0, k1]: the trapezoid, and half of the difference of its ends.
    blocks = (masses[..., 1:] + masses[..., :-1]) / 2 * np.diff(edges, axis=-1)
    ends = (masses[..., -1] - masses[..., 0]) / 2
    beyond = np.where(rest[..., 0] > 0, np.maximum(blocks.sum(-1) + ends, 0.0), 0.0)
    near = np.exp(exact - unit).sum(-1)
    return np.asarray(np.minimum(unit[..., 0] + np.log(near + beyond), 0.0))


def window_evidence(
    errors: Floats, attempts: Floats, rates: Floats, known: Floats, dispersions: Floats
) -> Floats:
    """-ln P(at least so many errors) under the habit; arrays of one shape. 0 where nothing is unusual."""
    expected = attempts * rates
    deviation = np.sqrt(np.maximum(expected * (1 - rates), 1e-9))
    odd = (errors >= ERRORS_MIN) & (errors - expected > SCREEN_Z * deviation)
    evidence = np.zeros(np.shape(errors))
    rho = np.minimum(dispersions[odd] + 1 / np.maximum(known[odd], KNOWN_MIN), DISPERSION_MAX)
    weight = 1 / rho - 1
    p = rates[odd]
    evidence[odd] = -log_tail(errors[odd], attempts[odd], p * weight, (1 - p) * weight)
    return evidence


def recalibrated(evidence: Floats, stretch: Floats, surplus: Floats) -> Floats:
    """Evidence as the past would count it: beyond COMMON it is divided by how much further it reached there than it
    should, and lessened by how much more often."""
    corrected = COMMON + (evidence - COMMON) / stretch - surplus
    return np.where(evidence > COMMON, corrected, evidence)


def learn_correction(
    counts: Floats, excesses: Floats, seconds: Floats, windows: Floats
) -> tuple[Floats, Floats]:
    """Stretch and surplus of S things from the evidence of their past windows of one length.

    `counts` (S,): how many of the `windows` (S,) had evidence beyond COMMON; `excesses` (S,): by how much, in all;
    `seconds` (S,): by how much the second most. Under the model one window in twenty has it, and the excess is
    exponential with mean 1, or less where errors are so few that evidence comes in large steps: then what is missing
    to one in twenty counts as no excess. The mean is taken together with PRIOR_EXCESSES of the fleet's. Rare
    but huge excesses hardly move it: so the second largest has to be where the model has it, too.
    """
    expected = np.maximum(counts, COMMON_SHARE * windows)
    fleet = max(float(excesses.sum()) / max(float(expected.sum()), 1.0), 1.0)
    mean = (excesses + PRIOR_EXCESSES * fleet) / (expected + PRIOR_EXCESSES)
    reach = seconds / np.log(np.maximum(COMMON_SHARE * windows / 2, math.e))
    often = counts / np.maximum(windows, 1.0) / COMMON_SHARE
    stretch = np.maximum(np.maximum(mean, reach), 1.0) * STRETCH_MARGIN
    return stretch, np.log(np.maximum(often, 1.0))


def burst_evidence(errors: Floats, attempts: Floats, habits: BurstHabits) -> Floats:
    """The evidence (S,) of each thing's most telling window; `errors` and `attempts` (S, W), ending at one moment."""
    told = worth_telling(errors, attempts, habits.rates)
    evidence = np.zeros(told.shape)
    if not told.any():
        return np.asarray(evidence.max(-1))
    s, w = np.nonzero(told)
    raw = window_evidence(
        errors[s, w], attempts[s, w], habits.rates[s], habits.known[s], habits.dispersions[s, w]
    )
    evidence[s, w] = recalibrated(raw, habits.stretches[s, w], habits.surpluses[s, w])
    return np.asarray(evidence.max(-1))


def discoveries(evidence: Floats, groups: int, level: float) -> Flags:
    """Which of `groups` hypotheses, those not in `evidence` (S,) being unremarkable, are false with a false-discovery
    rate of `level` (Benjamini and Hochberg 1995)."""
    order = np.argsort(-evidence, kind="stable")
    allowed = np.log(max(groups, len(evidence)) / (level * np.arange(1, len(evidence) + 1)))
    passed = np.flatnonzero(evidence[order] >= allowed)
    found = np.zeros(len(evidence), dtype=bool)
    if len(passed):
        found[order[: passed[-1] + 1]] = True
    return found


def level_of(budget_per_week: float) -> float:
    """The false-discovery rate of one moment that spends the weekly budget."""
    return budget_per_week / TICKS_PER_WEEK / len(WINDOWS_MIN)


def change_point(errors: Floats, attempts: Floats, rate: float) -> int:
    """The bin since which the errors up to the last bin are most unlike `rate`: the maximum over beginnings of
    the binomial log-likelihood ratio of the rate since then against the usual one."""
    e = np.cumsum(errors[::-1], dtype=np.float64)
    n = np.maximum(np.cumsum(attempts[::-1], dtype=np.float64), 1.0)
    own = np.maximum(e / n, rate)
    ratio = special.xlogy(e, own / rate) + special.xlogy(n - e, (1 - own) / (1 - rate))
    return len(e) - 1 - int(np.argmax(ratio))
