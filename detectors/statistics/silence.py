"""How improbable it is that nothing ends: hazard-integrated silence.

Every open attempt has a hazard to end that depends on its age. Summed over all that is open since the last end that was
seen, the hazards are the number of ends to be expected; that there is none of them has the probability e^-Λ. Ages make
this as quick as the work itself: a group of two-second steps is expected to say something within seconds, one of
hour-long steps is not. What is not open accrues nothing, so an idle group is not silent.

Times are seconds before the moment that is judged: larger is earlier.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.statistics.samples import SHORTEST_S, Floats
from detectors.statistics.survival import BINS_PER_OCTAVE, Ints

CLOSES_MIN: Final = 50
"""Neither the hazards of a step nor the pace of a group are known from fewer ends."""
AGE_SLACK: Final = 1.05
"""What always takes equally long never takes exactly equally long: ages count 5 % less."""
PEAK_DEVIATIONS: Final = 3.0
OVERDUE: Final = 3.0
"""H of an attempt that is older than 95 % of healthy ones become."""
CEILING_SHARE: Final = 0.8
"""Of the most attempts that were seen running at once, when so many do every place is taken."""
LEFT_MIN: Final = 3
"""So many that were passed over when something was started last show that no place was left for them."""
MOMENT_S: Final = 0.25
"""News, and a start after an end, take at least a moment."""

EDGES_S: Final[Floats] = np.array(
    [
        *(1800, 1350, 1000, 750, 560, 420, 310, 230, 170, 130, 95, 70, 52, 39),
        *(29, 22, 16, 12, 9, 7, 5, 3.5, 2.4, 1.6, 1, 0.5, 0),
    ],
    dtype=np.float64,
)
"""Between these the loss of throughput is replayed; coarser the longer ago it was."""
LOST_SHARE: Final = 0.5
"""The alternative that the loss is tested for: half of the ends no longer come."""
ENDED_WEIGHT: Final = -math.log(1 - LOST_SHARE)
LOST_SHARE_MIN: Final = 1 / 3
"""Of what should have ended so much must be overdue: fewer are those that hang, not a group that does."""
PACE_MAX: Final = 2 / 3
"""Of the fastest minute seen: a group that ends more than that has too much to do, which is no loss."""


@dataclass(frozen=True)
class Hazard:
    """Cumulative hazard H of one kind of attempt at the end of each bin from `first_bin` on (see survival), and from
    how many ends it is known."""

    first_bin: int
    cumulative: Floats
    closes: int


def hazard(bins: Ints, closed: Ints, censored: Ints) -> Hazard:
    """By Kaplan and Meier from how many ended in each bin, and how many were last seen there without an end; `bins`
    ascending, not empty.

    The attempt that is judged is one more at risk, so that nothing is more improbable than n ends can tell: without
    censoring H ends with ln(n+1), the rank of a new one among n + 1 exchangeable ones. One attempt alone, however
    old, never amounts to a silence.
    """
    first = int(bins[0])
    ended = np.zeros(int(bins[-1]) - first + 1)
    lost = np.zeros_like(ended)
    np.add.at(ended, bins - first, closed)
    np.add.at(lost, bins - first, censored)
    at_risk = np.cumsum((ended + lost)[::-1])[::-1]
    return Hazard(first, np.cumsum(-np.log1p(-ended / (at_risk + 1))), int(ended.sum()))


def last_s(hazard: Hazard) -> float:
    """The age from which on H grows no more."""
    return float(AGE_SLACK * 2 ** ((hazard.first_bin + len(hazard.cumulative)) / BINS_PER_OCTAVE))


class Hazards:
    """The hazards of many kinds, looked up for many ages at once."""

    def __init__(self, hazards: Sequence[Hazard]) -> None:
        """A kind's number is its place in `hazards`."""
        sizes = np.array([len(one.cumulative) for one in hazards], dtype=np.int64)
        self._first = np.array([one.first_bin for one in hazards], dtype=np.int64)
        self._last = sizes - 1
        # Before each kind's own bins stands a zero.
        self._start = np.cumsum(sizes + 1) - sizes
        parts = [part for one in hazards for part in (np.zeros(1), one.cumulative)]
        self._values = np.concatenate(parts) if parts else np.zeros(1)

    def at(self, kinds: Ints, ages_s: Floats) -> Floats:
        """H of each kind at each age (same shapes); 0 for an age that is not positive."""
        places = BINS_PER_OCTAVE * np.log2(np.maximum(ages_s / AGE_SLACK, SHORTEST_S))
        places = np.clip(places - self._first[kinds], 0.0, self._last[kinds] + 1.0)
        whole = np.minimum(places.astype(np.int64), self._last[kinds])
        # Inside a bin H grows evenly, so that what comes of ages in bins comes evenly too.
        before = self._start[kinds] + whole - 1
        low, high = self._values[before], self._values[before + 1]
        return np.where(ages_s > 0, low + (places - whole) * (high - low), 0.0)


def age_s(hazard: Hazard, reached: float) -> float:
    """The age at which H becomes larger than `reached`; infinity: it never does."""
    at = int(np.searchsorted(hazard.cumulative, reached, side="right"))
    if at == len(hazard.cumulative):
        return math.inf
    return float(AGE_SLACK * 2 ** ((hazard.first_bin + at) / BINS_PER_OCTAVE))


@dataclass(frozen=True)
class Spells:
    """Attempts alike: `count` of a `kind` that began `begun_s` ago and ended, or are open and known of until,
    `until_s` ago. Arrays of one length."""

    kind: Ints
    begun_s: Floats
    until_s: Floats
    count: Floats

    def where(self, chosen: NDArray[np.bool_] | Ints) -> "Spells":
        """Those of a mask, or at some places."""
        return Spells(
            self.kind[chosen], self.begun_s[chosen], self.until_s[chosen], self.count[chosen]
        )

    def accrued(self, hazards: Hazards, to_s: Floats | float) -> Floats:
        """Ends that were to be expected of each up to `to_s`."""
        ages_s = self.begun_s - np.maximum(to_s, self.until_s)
        return self.count * hazards.at(self.kind, ages_s)

    def expected(self, hazards: Hazards, since_s: Floats | float, to_s: float = 0.0) -> Floats:
        """Ends to be expected of each between `since_s` and `to_s`."""
        return self.accrued(hazards, to_s) - self.accrued(hazards, since_s)


def limits(closes_per_week: Floats, groups: int, budget_per_week: float) -> Floats:
    """`limit` of many groups."""
    return np.log(np.maximum(closes_per_week, CLOSES_MIN) * groups / budget_per_week)


def limit(closes_per_week: float, groups: int, budget_per_week: float) -> float:
    """h: Λ of a healthy group exceeds it so seldom that all groups together do `budget_per_week` times a week.

    Each end begins a silence anew, and one in e^h of them becomes as long.
    """
    return float(limits(np.array([closes_per_week]), groups, budget_per_week)[0])


def loss_limit(limit: float) -> float:
    """The limit of W beside which Λ has `limit`: W of a healthy group falls with each end, so that fewer ends than all
    begin an excursion (by Wald's approximation of the run length of Page's chart: Siegmund 1985, 2.6)."""
    return limit + math.log(ENDED_WEIGHT - LOST_SHARE)


def most_ends(peak_per_s: Floats | float, seconds: Floats | float) -> Floats:
    """How many ends can be expected at most in so many seconds of a group whose fastest minute had `peak_per_s`.

    However much is open, workers end no more than they can: a backlog makes no silence. Three deviations beyond the
    fastest minute, and one more.
    """
    most = peak_per_s * np.asarray(seconds, dtype=np.float64)
    return most + PEAK_DEVIATIONS * np.sqrt(most) + 1.0


@dataclass(frozen=True)
class Stop:
    """For `silent_s` nothing has ended although something was open; `score` is Λ."""

    silent_s: float
    score: float


def is_full(running: float, ceiling: float) -> bool:
    """Whether so many run that what waits cannot be started: about as many as ever did at once."""
    return running >= max(1.0, CEILING_SHARE * ceiling)


def free_s(
    running: Spells,
    lost_s: Floats,
    waiting: Spells,
    usual_s: float,
    closed_s: float,
    ceiling: float,
) -> float:
    """Since how long ago what waits for a worker could have been started; 0: it cannot be yet, infinity: always.

    It cannot while every place is taken by what runs and is not lost, that is not older than `lost_s` (one age for
    each of `running`). Two things show that: as many run as ever did at once (`ceiling`); or when something was
    started last, and nothing has ended since (`closed_s` ago), others had waited for longer than is usual (`usual_s`)
    and were passed over. Where all that runs is lost there is room since the last of it became so.
    """
    if not len(running.kind):
        return math.inf
    newest_s = float(running.begun_s.min())
    took_s = running.begun_s - lost_s
    if (took_s > 0).all():
        return float(took_s.min())
    if is_full(float(running.count.sum()), ceiling):
        return 0.0
    passed_over = waiting.begun_s >= AGE_SLACK * newest_s + max(usual_s, MOMENT_S)
    is_taken = newest_s <= AGE_SLACK * closed_s + MOMENT_S
    return 0.0 if is_taken and waiting.count[passed_over].sum() >= LEFT_MIN else math.inf


def stop(
    opened: Spells,
    hazards: Hazards,
    closed_s: float,
    peak_per_s: float,
    since_s: Floats | float = math.inf,
) -> Stop:
    """Since the last end, `closed_s` ago, of a group in which `opened` (not empty) is open; see `most_ends` for
    `peak_per_s`. Of each only what came after `since_s` counts."""
    silent_s = max(0.0, min(closed_s, float(opened.begun_s.max())) - float(opened.until_s.min()))
    expected = float(opened.expected(hazards, np.minimum(closed_s, since_s)).sum())
    return Stop(silent_s, min(expected, float(most_ends(peak_per_s, silent_s))))


@dataclass(frozen=True)
class Loss:
    """A loss of throughput: `score` is W; since when (`began_s` ago) it grew, and what has ended since."""

    score: float
    began_s: float
    ended: float


def edge_of(ago_s: Floats) -> Ints:
    """Behind which of EDGES_S something happened: 1 … for the times between them, 0 for earlier."""
    return np.searchsorted(-EDGES_S, -np.asarray(ago_s, dtype=np.float64), side="left")


def edge_mid_s(edges: Ints) -> Floats:
    """The times that stand for what happened behind edges (not 0)."""
    middles: Floats = 0.5 * (EDGES_S[edges - 1] + EDGES_S[np.minimum(edges, len(EDGES_S) - 1)])
    return middles


def loss(
    opened: Spells, ended: Spells, closes: Floats, hazards: Hazards, peak_per_s: float, limit: float
) -> Loss:
    """Replay W = clip(W + q·ΔΛ + ln(1-q)·ends, 0, 2h) over the times between EDGES_S, q = LOST_SHARE, h = `limit`.

    `opened` and `ended`: what is open, and what ended within these times, by their own end or not; `closes`: how many
    ended of their own, by `edge_of`. W is the log-likelihood ratio of ends that come half as often as expected (Page
    1954), so that it needs a limit like Λ's.
    """
    score, began = 0.0, 0
    most = most_ends(peak_per_s, -np.diff(EDGES_S))
    due = np.diff(
        [sum(one.accrued(hazards, edge).sum() for one in (opened, ended)) for edge in EDGES_S]
    )
    for place, gained in enumerate(LOST_SHARE * np.minimum(due, most) - ENDED_WEIGHT * closes[1:]):
        began = place if score == 0.0 else began
        score = min(max(0.0, score + float(gained)), 2 * limit)
    return Loss(score, float(EDGES_S[began]), float(closes[began + 1 :].sum()))


def may_be_degraded(closes: Floats, overdue: float, peak_per_s: float, limit: float) -> bool:
    """Whether `loss` could be one of the group (see `is_degraded`), whatever is open: cheap, where much is."""
    ended = np.cumsum(closes[:0:-1])[::-1]
    most = np.cumsum(most_ends(peak_per_s, -np.diff(EDGES_S))[::-1])[::-1]
    could = LOST_SHARE * most >= limit
    could &= overdue >= LOST_SHARE_MIN * (overdue + ended)
    could &= ended <= PACE_MAX * peak_per_s * EDGES_S[:-1]
    return bool(could.any())


def is_degraded(loss: Loss, limit: float, overdue: float, peak_per_s: float) -> bool:
    """Whether a loss is one of the group: enough is `overdue`, and less ends than could."""
    share = overdue / max(overdue + loss.ended, 1.0)
    pace = loss.ended / max(loss.began_s, 1.0)
    return loss.score >= limit and share >= LOST_SHARE_MIN and pace <= PACE_MAX * peak_per_s
