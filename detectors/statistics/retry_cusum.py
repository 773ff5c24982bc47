"""Retry storms: when retries have grown for good, and what their timing says about the retry
policy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from detectors.statistics.samples import Floats, sorted_durations

BIN_S: Final = 10.0
BINS_PER_WEEK: Final = 60480
STORM_RATIO: Final = 3.0
"""The alternative that the test is built for: retries have tripled."""
CORRELATED_BINS: Final = 6
"""Retries of one trouble stay for about a minute, so that neighbouring bins are not independent."""
DISPERSION_MIN: Final = 0.5
DISPERSION_MAX: Final = 1e6
"""Indistinguishable from Poisson."""
STORM_SHARE_MIN: Final = 0.10
STORM_RETRIES_MIN: Final = 5
"""In 60 s: more retries than a tenth of the first attempts, and not just a few. Below, nobody
cares."""


class RetryLoad(StrEnum):
    USUAL = "usual"
    RAISED_BUT_SMALL = "raised_but_small"
    STORM = "storm"


class RetryCusum:
    """Tempered negative-binomial CUSUM over 10 s bins of one downstream (or one step).

    Per bin the score grows by the log-likelihood ratio of STORM_RATIO times the expected retries
    against the expected ones (Page 1954), counts being negative binomial: variance m + m²/k. The
    ratio is tempered, that is divided by how much the correlation of neighbouring bins inflates it.
    The score stays within 0 and 2·limit, so that a long storm is over as soon as it is over.
    """

    def __init__(
        self, dispersion: float, groups: int = 1, budget_per_week: float = 1.0, score: float = 0.0
    ) -> None:
        """`groups`: how many such charts share the weekly budget. `score` continues an earlier
        chart."""
        self.dispersion = max(dispersion, DISPERSION_MIN)
        self.limit = math.log(BINS_PER_WEEK * groups / budget_per_week)
        self.score = score

    def tick(
        self, retries: float, expected: float, retries_60s: float, first_attempts_60s: float
    ) -> RetryLoad:
        """Judge the next bin: its retries, those expected, and both kinds of attempts of the last
        60 s."""
        k = self.dispersion
        shift = math.log((k + expected) / (k + STORM_RATIO * expected))
        log_ratio = retries * (math.log(STORM_RATIO) + shift) + k * shift
        extra_variance = (expected / k) / (1 + expected / k)
        tempering = 1 + (CORRELATED_BINS - 1) * extra_variance
        self.score = min(max(0.0, self.score + log_ratio / tempering), 2 * self.limit)
        if self.score <= self.limit:
            return RetryLoad.USUAL
        big = retries_60s > STORM_SHARE_MIN * first_attempts_60s
        if big and retries_60s >= STORM_RETRIES_MIN:
            return RetryLoad.STORM
        return RetryLoad.RAISED_BUT_SMALL


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


FIXED_SLOPE_MAX: Final = 0.2
EXPONENTIAL_SLOPE_MIN: Final = 0.5
"""Doubling has slope ln 2 = 0.69 per attempt, a factor of 1.65 has 0.5."""
NO_JITTER_MAX: Final = 0.08
WEAK_JITTER_MAX: Final = 0.2
EQUAL_JITTER_MAX: Final = 0.75
"""Interquartile range over median: 1/3 for "equal" jitter (uniform over [d/2, d]), 1 for "full"
([0, d])."""
DELAYS_MIN: Final = 5
"""Fewer delays of one attempt have no interquartile range to speak of."""
SYNCHRONISATION_BIN_S: Final = 0.25
SYNCHRONISED_FANO: Final = 50.0


class Backoff(StrEnum):
    FIXED = "fixed"
    GROWING = "growing"
    EXPONENTIAL = "exponential"
    UNKNOWN = "unknown"


class Jitter(StrEnum):
    NONE = "none"
    WEAK = "weak"
    EQUAL = "equal"
    FULL = "full"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RetryPattern:
    """How the retries of a storm are spaced; `fano` of SYNCHRONISED_FANO and more means in step."""

    backoff: Backoff
    jitter: Jitter
    fano: float

    @property
    def synchronised(self) -> bool:
        return self.fano > SYNCHRONISED_FANO


def retry_pattern(
    delays_s_by_attempt: Mapping[int, Sequence[float]], retry_times_s: Floats
) -> RetryPattern:
    """Describe a storm: delays before each attempt number, and when the retries began (any
    origin)."""
    delays = {
        attempt: sorted_durations(np.asarray(values, dtype=np.float64))
        for attempt, values in delays_s_by_attempt.items()
        if len(values)
    }
    return RetryPattern(
        backoff_kind(delays), jitter_class(delays), fano_factor(np.asarray(retry_times_s))
    )


def backoff_kind(delays_by_attempt: Mapping[int, Floats]) -> Backoff:
    """By the slope of ln(median delay in seconds) against the attempt number; UNKNOWN below two
    numbers."""
    if len(delays_by_attempt) < 2:
        return Backoff.UNKNOWN
    attempts = np.array(sorted(delays_by_attempt), dtype=np.float64)
    medians = [float(np.median(delays_by_attempt[int(attempt)])) for attempt in attempts]
    slope = float(np.polyfit(attempts, np.log(medians), 1)[0])
    if slope < FIXED_SLOPE_MAX:
        return Backoff.FIXED
    return Backoff.EXPONENTIAL if slope > EXPONENTIAL_SLOPE_MIN else Backoff.GROWING


def jitter_class(delays_by_attempt: Mapping[int, Floats]) -> Jitter:
    """By the interquartile range over the median, the middle one of the attempts with enough
    delays."""
    spreads = []
    for delays in delays_by_attempt.values():
        if len(delays) >= DELAYS_MIN:
            low, middle, high = np.quantile(delays, (0.25, 0.5, 0.75))
            spreads.append((high - low) / middle)
    if not spreads:
        return Jitter.UNKNOWN
    spread = float(np.median(spreads))
    if spread < NO_JITTER_MAX:
        return Jitter.NONE
    if spread < WEAK_JITTER_MAX:
        return Jitter.WEAK
    return Jitter.EQUAL if spread < EQUAL_JITTER_MAX else Jitter.FULL


def fano_factor(times_s: Floats) -> float:
    """Variance over mean of the number of `times_s` per 250 ms: 1 for independent retries; 0
    without any."""
    if not len(times_s):
        return 0.0
    slots = np.floor((times_s - times_s.min()) / SYNCHRONISATION_BIN_S).astype(np.int64)
    filled, counts = np.unique(slots, return_counts=True)
    bins = int(filled[-1]) + 1
    mean = len(times_s) / bins
    return float((counts.astype(np.float64) ** 2).sum()) / bins / mean - mean
