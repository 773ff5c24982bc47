"""Retry storms: when retries have grown for good."""

import math
from enum import StrEnum
from typing import Final

import numpy as np

from detectors.statistics.samples import Floats

BIN_S: Final = 10.0
BINS_PER_WEEK: Final = 60480
STORM_RATIO: Final = 3.0
"""The alternative that the test is built for: retries have tripled."""
SUDDEN_RATIO: Final = 10.0
"""A second chart, built for retries that are ten times as many, tells a fierce storm in half the time."""
CHARTS: Final = (STORM_RATIO, SUDDEN_RATIO)
CORRELATED_BINS: Final = 6
"""Retries of one trouble stay for about a minute, so that neighbouring bins are not independent."""
DISPERSION_MIN: Final = 0.5
DISPERSION_MAX: Final = 1e6
"""Indistinguishable from Poisson."""
STORM_SHARE_MIN: Final = 0.10
STORM_RETRIES_MIN: Final = 5
SUDDEN_RETRIES_MIN: Final = 10
"""More retries than a tenth of the first attempts and not just a few, in 60 s; or in 30 s, which needs more of them.
Below, nobody cares."""


class RetryLoad(StrEnum):
    USUAL = "usual"
    RAISED_BUT_SMALL = "raised_but_small"
    STORM = "storm"


class RetryCusum:
    """Tempered negative-binomial CUSUM over 10 s bins of one downstream (or one step).

    Per bin the score grows by the log-likelihood ratio of `ratio` times the expected retries
    against the expected ones (Page 1954), counts being negative binomial: variance m + m²/k. The
    log-ratio is tempered, that is divided by how much the correlation of neighbouring bins inflates
    the variance of their sum: as assumed for a minute, or as the past shows (`inflation`), if that is more.
    No bin adds more than `evidence_max`, which is less than all where retries come in short spikes now and then.
    The score stays within 0 and 2·limit, so that a long storm is over as soon as it is over.
    """

    def __init__(
        self,
        dispersion: float,
        groups: int = 1,
        budget_per_week: float = 1.0,
        score: float = 0.0,
        *,
        ratio: float = STORM_RATIO,
        inflation: float = 1.0,
        evidence_max: float = math.inf,
    ) -> None:
        """`groups`: how many such charts share the weekly budget. `score` continues an earlier
        chart."""
        self.ratio = ratio
        self.inflation = inflation
        self.evidence_max = evidence_max
        self.dispersion = max(dispersion, DISPERSION_MIN)
        self.limit = math.log(BINS_PER_WEEK * groups / budget_per_week)
        self.score = score

    def tick(self, retries: float, expected: float, is_big: bool) -> RetryLoad:
        """Judge the next bin: its retries, those expected, and whether the retries up to it are many
        (`is_big`)."""
        k = self.dispersion
        shift = math.log((k + expected) / (k + self.ratio * expected))
        log_ratio = retries * (math.log(self.ratio) + shift) + k * shift
        extra_variance = (expected / k) / (1 + expected / k)
        tempering = max(1 + (CORRELATED_BINS - 1) * extra_variance, self.inflation)
        evidence = min(log_ratio / tempering, self.evidence_max)
        self.score = min(max(0.0, self.score + evidence), 2 * self.limit)
        if self.score <= self.limit:
            return RetryLoad.USUAL
        return RetryLoad.STORM if is_big else RetryLoad.RAISED_BUT_SMALL


def are_many(retries: float, first_attempts: float, least: int = STORM_RETRIES_MIN) -> bool:
    """Whether anybody would care for so many retries of a while."""
    return retries >= least and retries > STORM_SHARE_MIN * first_attempts


def dispersion_by_moments(retries_per_bin: Floats, expected_per_bin: Floats) -> float:
    """k of the negative binomial from past bins: Σm² over Σ((R-m)² - m), within the DISPERSION
    limits.

    Small k means bursts; without any excess over Poisson it is DISPERSION_MAX.
    """
    expected = np.asarray(expected_per_bin, dtype=np.float64)
    excess = float(((np.asarray(retries_per_bin) - expected) ** 2 - expected).sum())
    if excess <= 0:
        return DISPERSION_MAX
    k = float((expected**2).sum()) / excess
    return min(max(k, DISPERSION_MIN), DISPERSION_MAX)
