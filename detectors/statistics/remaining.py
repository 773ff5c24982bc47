"""How long what is still going on will go on."""

from collections.abc import Sequence
from typing import Final

import numpy as np

SHARES: Final = (
    0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99,
)  # fmt: skip
"""At which the durations of what went on from the same point to its end are known."""


def whole_s(percentiles_s: Sequence[float], elapsed_s: float) -> float | None:
    """The median duration from that point to the end, of those that lasted at least `elapsed_s`.

    `percentiles_s`: at SHARES, in seconds. None: nearly all had ended before, so nobody can tell.
    """
    if not percentiles_s:
        return None
    if elapsed_s >= percentiles_s[-1]:
        return None
    ended = float(np.interp(elapsed_s, percentiles_s, SHARES, left=0.0))
    half = ended + (1 - ended) / 2
    return None if half > SHARES[-1] else float(np.interp(half, SHARES, percentiles_s))
