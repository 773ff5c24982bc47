"""Which of several things that are called is the one that makes its callers try again."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

Z_MIN: Final = -2.0
Z_MAX: Final = 6.0
"""One caller alone can neither acquit nor convict."""

Name = TypeVar("Name")


def excess(count: float, expected: float, dispersion: float) -> float:
    """By how many standard deviations a negative-binomial count is above what was expected, clipped.

    `dispersion`: k of the variance m + m²/k. Expected at least a tenth, so that what never happens may happen once.
    """
    expected = max(expected, 0.1)
    deviation = math.sqrt(expected + expected * expected / dispersion)
    return min(max((count - expected) / deviation, Z_MIN), Z_MAX)


def stouffer(scores: Iterable[float]) -> float:
    """Independent standard scores as one: their sum over the root of their number (Stouffer 1949)."""
    known = list(scores)
    return sum(known) / math.sqrt(len(known)) if known else 0.0


def likeliest(scores_by_name: Mapping[Name, Sequence[float]]) -> tuple[Name, float] | None:
    """The name with the highest common score of its callers, and that score; None without names.

    Many callers that are a little above their usual outweigh one that is far above: so a busy
    caller with a trouble of its own does not point at what it happens to call.
    """
    if not scores_by_name:
        return None
    combined = {name: stouffer(scores) for name, scores in scores_by_name.items()}
    best = max(combined, key=lambda name: combined[name])
    return best, combined[best]
