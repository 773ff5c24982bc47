"""What a timeout costs: waiting for what is stuck, and doing again what was healthy."""

from typing import Final

import numpy as np

from detectors.statistics.samples import Floats, sorted_durations

POINTS: Final = 120
LONGEST_FACTOR: Final = 4.0
"""The curve ends at so many times the longest duration seen."""


def trade_off(
    durations_s: Floats, stuck_share: float, penalty_s: float = 0.0, points: int = POINTS
) -> tuple[tuple[float, float], ...]:
    """(timeout τ, expected cost J) in seconds of an attempt, τ ascending from the median; () without durations.

    J(τ) = π·τ + (1-π)·S(τ)·(τ + E[T] + penalty): of the share π that is stuck, each is waited for until τ; of the
    healthy ones those that take longer (S) are ended at τ and done again, which takes E[T] and whatever a repetition
    costs besides. Raises ValueError for a share outside [0, 1].
    """
    if not 0 <= stuck_share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {stuck_share}")
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    if n == 0:
        return ()
    timeouts_s = np.geomspace(
        float(np.median(ascending)), LONGEST_FACTOR * float(ascending[-1]), points
    )
    longer = 1.0 - np.searchsorted(ascending, timeouts_s, side="right") / n
    again_s = timeouts_s + float(ascending.mean()) + penalty_s
    costs_s = stuck_share * timeouts_s + (1 - stuck_share) * longer * again_s
    return tuple(zip(timeouts_s.tolist(), costs_s.tolist(), strict=True))


def cheapest_s(curve: tuple[tuple[float, float], ...]) -> float | None:
    """The timeout at which the curve is lowest, the shorter of two that are."""
    return min(curve, key=lambda point: point[1])[0] if curve else None
