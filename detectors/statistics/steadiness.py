"""A recommendation that does not change every week because a sample did."""

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

Change = Literal["at_once", "due", "wait", "keep"]
"""Whether the timeout should be changed: at once, because it cuts off healthy attempts; due; wait a week, whether it is
asked for again; keep it."""

MEDIAN_WEEKS: Final = 4
SPREAD_WEEKS: Final = 8
"""This week and so many before it, less one."""
RAISE_FACTOR: Final = 1.25
LOWER_FACTOR: Final = 1.5
RAISE_SPREADS: Final = 1.25
LOWER_SPREADS: Final = 1.5
"""Within so many spreads of weekly ln-uppers the current timeout is as good as the recommended one: a thin week's upper
limit is anywhere between half and twice the next one's. A timeout too long does less harm than one too short."""
AT_ONCE_CUT: Final = 0.005


class Week(NamedTuple):
    """What one week's report had: the upper limit by its own window, and what it recommended; seconds."""

    upper_s: float
    recommended_s: float


def steady_s(uppers_s: Sequence[float]) -> float:
    """exp(median of the last 4 weekly ln-uppers + 1 standard deviation over 8 weeks), seconds.

    `uppers_s`: at least one, the oldest first. The deviation makes up for what a median of so few misses: with one week
    there is none, and the recommendation is that week's upper limit.
    """
    if len(uppers_s) == 1:
        return uppers_s[0]
    logs = np.log(np.asarray(uppers_s, dtype=np.float64)[-SPREAD_WEEKS:])
    return math.exp(float(np.median(logs[-MEDIAN_WEEKS:])) + float(logs.std(ddof=1)))


def spread_of(uppers_s: Sequence[float]) -> float:
    """The standard deviation of a weekly ln-upper, by how much the last 8 weeks differ from the week before each.

    By the mean difference, which is 2/√π standard deviations where nothing but chance changes. A shift of all that
    follows is one difference among seven, and not taken for chance. 0 of a single week.
    """
    if len(uppers_s) == 1:
        return 0.0
    logs = np.log(np.asarray(uppers_s, dtype=np.float64)[-SPREAD_WEEKS:])
    return math.sqrt(math.pi) / 2 * float(np.abs(np.diff(logs)).mean())


def change_of(
    current_s: float | None,
    recommended_s: float,
    upper_s: float,
    earlier: Sequence[Week],
    cut: float,
) -> Change:
    """Whether `current_s` (None: there is none) should become `recommended_s`; `upper_s` is this week's own.

    At once where more than AT_ONCE_CUT of the attempts (`cut`) exceed it. Otherwise it is kept while it is at most a
    fifth below and a half above what is recommended, or no further off than weeks differ anyway (RAISE_SPREADS,
    LOWER_SPREADS); beyond, the week before has to have said so too, if there was one.
    """
    if current_s is None:
        return "due"
    if cut > AT_ONCE_CUT:
        return "at_once"
    before = [week.upper_s for week in earlier]
    side = _beyond(current_s, recommended_s, spread_of([*before, upper_s]))
    if side == 0:
        return "keep"
    was = _beyond(current_s, earlier[-1].recommended_s, spread_of(before)) if earlier else side
    return "due" if was == side else "wait"


def _beyond(current_s: float, recommended_s: float, spread: float) -> int:
    """1: to be raised, -1: to be lowered, 0: near enough."""
    further = math.log(recommended_s / current_s)
    if further > max(math.log(RAISE_FACTOR), RAISE_SPREADS * spread):
        return 1
    return -1 if -further > max(math.log(LOWER_FACTOR), LOWER_SPREADS * spread) else 0
