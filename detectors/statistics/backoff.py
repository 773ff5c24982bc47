"""What the timing of retries says about the retry policy behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from detectors.statistics.samples import Floats

FIXED_SLOPE_MAX: Final = 0.2
EXPONENTIAL_SLOPE_MIN: Final = 0.5
"""Doubling has slope ln 2 = 0.69 per attempt, a factor of 1.65 has 0.5."""
NO_JITTER_MAX: Final = 0.08
WEAK_JITTER_MAX: Final = 0.2
EQUAL_JITTER_MAX: Final = 0.75
"""Interquartile range over median: 1/3 for "equal" jitter (uniform over [d/2, d]), 1 for "full"
([0, d])."""
DELAYS_MIN: Final = 5
"""Fewer delays of one attempt have neither a median nor an interquartile range to speak of."""
DELAY_MIN_S: Final = 1e-3
"""Shorter is no pause at all, and has no logarithm worth comparing."""
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
    """How the retries of a storm are spaced.

    `medians_s`: the median pause before each attempt number with enough of them, ascending.
    `fano`: SYNCHRONISED_FANO and more means that calls come back in step.
    """

    backoff: Backoff
    jitter: Jitter
    medians_s: Mapping[int, float]
    fano: float

    @property
    def synchronised(self) -> bool:
        return self.fano > SYNCHRONISED_FANO


def retry_pattern(
    delays_s_by_attempt: Mapping[int, Sequence[float]], retries_per_slot: Sequence[int] | Floats
) -> RetryPattern:
    """Describe a storm: the pauses before each attempt number, and how many retries began in each
    SYNCHRONISATION_BIN_S, slots without any included."""
    delays = {
        attempt: np.maximum(np.asarray(delays_s_by_attempt[attempt], dtype=np.float64), DELAY_MIN_S)
        for attempt in sorted(delays_s_by_attempt)
        if len(delays_s_by_attempt[attempt]) >= DELAYS_MIN
    }
    medians_s = {attempt: float(np.median(values)) for attempt, values in delays.items()}
    return RetryPattern(
        backoff_kind(medians_s),
        jitter_class(delays),
        medians_s,
        fano_factor(np.asarray(retries_per_slot, dtype=np.float64)),
    )


def backoff_kind(medians_s: Mapping[int, float]) -> Backoff:
    """By the slope of ln(median delay) against the attempt number; UNKNOWN below two numbers."""
    if len(medians_s) < 2:
        return Backoff.UNKNOWN
    slope = float(np.polyfit(list(medians_s), np.log(list(medians_s.values())), 1)[0])
    if slope < FIXED_SLOPE_MAX:
        return Backoff.FIXED
    return Backoff.EXPONENTIAL if slope > EXPONENTIAL_SLOPE_MIN else Backoff.GROWING


def jitter_class(delays_by_attempt: Mapping[int, Floats]) -> Jitter:
    """By the interquartile range of all delays, each over the median of its attempt number."""
    if not delays_by_attempt:
        return Jitter.UNKNOWN
    relative = [delays / np.median(delays) for delays in delays_by_attempt.values()]
    low, high = np.quantile(np.concatenate(relative), (0.25, 0.75))
    spread = float(high - low)
    if spread < NO_JITTER_MAX:
        return Jitter.NONE
    if spread < WEAK_JITTER_MAX:
        return Jitter.WEAK
    return Jitter.EQUAL if spread < EQUAL_JITTER_MAX else Jitter.FULL


def fano_factor(counts: Floats) -> float:
    """Variance over mean of counts: 1 for independent events; 0 without any event."""
    mean = float(counts.mean()) if len(counts) else 0.0
    return float(counts.var()) / mean if mean > 0 else 0.0
