"""Wilson's score interval: what a share seen k times in n says of the probability behind it."""

from math import sqrt
from typing import Final

Z_90: Final = 1.2816
"""One-sided confidence of 90 %: with it 20 of 20 show at least 0.92."""


def wilson_lower(k: int, n: int, z: float = Z_90) -> float:
    """The least probability that k of n go with, at the confidence of `z`; 0 without any.

    (p + z²/2n - z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), p = k/n: Wilson, JASA 22 (1927).
    """
    if n == 0:
        return 0.0
    p = k / n
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (p + z * z / (2 * n) - spread) / (1 + z * z / n))


def wilson_upper(k: int, n: int, z: float = Z_90) -> float:
    """The greatest probability that k of n go with; 1 without any."""
    return 1 - wilson_lower(n - k, n, z)
