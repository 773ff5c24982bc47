"""Dead queues: how soon a stop and the loss of half of the workers are told, and how often a healthy queue is called
dead.

The functions are the product's, with its hourly calibration replaced by what it would have learned from 20,000 attempts
of the same law, its tick, its slack and its share of the default budget. Goals: a stop is found in at most 8 s at one
attempt a second and 2 s at ten, half of the workers lost in at most 20 s, at most one false alarm a week.
None of these laws was used to choose a constant.
"""

import heapq
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from scipy import stats

from benchmarks.detectors import table
from detectors.budget import part_of
from detectors.calibration.hazards import PAUSE_FACTOR, RECURRENT
from detectors.dead_queue import DETECTOR
from detectors.silences import LATENESS_MIN_S, MEMBERS_MIN, OVERDUE
from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    EDGES_S,
    Hazards,
    Spells,
    edge_of,
    hazard,
    is_degraded,
    limit,
    loss,
    most_ends,
    stop,
)
from detectors.statistics.survival import bin_of
from detectors.statistics.threshold import WEEK_S

NAME: Final = "Dead queues"
RATES: Final = (10.0, 1.0, 0.1)
LEARNED: Final = 20_000
MEDIAN_S: Final = 2.0
LAWS: Final[dict[str, Any]] = {
    "Weibull(0.8)": stats.weibull_min(0.8),
    "lognormal(0.9)": stats.lognorm(0.9),
    "gamma(3)": stats.gamma(3),
    "Burr(3, 1.5)": stats.burr12(3, 1.5),
    "at least 1.9 s": stats.expon(19, 1),
}
DETAILED: Final = "lognormal(0.9)"
FEW: Final = 300
WORKERS: Final = 4


@dataclass(frozen=True)
class Queue:
    """A queue whose attempts take `law` (scaled to MEDIAN_S) and come `rate` a second, and what was learned of it."""

    law: Any
    rate: float
    hazards: Hazards
    limit: float
    peak_per_s: float

    def durations_s(self, n: int, random: Generator) -> Floats:
        scale = MEDIAN_S / self.law.median()
        return np.asarray(self.law.rvs(n, random_state=random) * scale)


def learned(law: Any, rate: float, random: Generator, n: int = LEARNED) -> Queue:
    """What a week of the queue teaches, its hazards from `n` attempts."""
    taken_s = law.rvs(n, random_state=random) * MEDIAN_S / law.median()
    return _queue(law, rate, taken_s, float(random.poisson(60 * rate, 10_080).max()))


def _queue(law: Any, rate: float, taken_s: Floats, peak_60s: float) -> Queue:
    bins, closed = np.unique(bin_of(taken_s), return_counts=True)
    highest = limit(rate * WEEK_S, 1, part_of(1.0, DETECTOR.id))
    hazards = Hazards([hazard(bins, closed, np.zeros_like(closed))])
    return Queue(law, rate, hazards, highest, peak_60s / 60)


@dataclass(frozen=True)
class Course:
    """When attempts began, and when they end (infinity: never); seconds."""

    begins_s: Floats
    ends_s: Floats

    def around(self, now_s: float) -> "Course":
        """The part that matters at a time: nothing takes longer than an hour."""
        near = slice(*np.searchsorted(self.begins_s, (now_s - EDGES_S[0] - 3600, now_s)))
        return Course(self.begins_s[near], self.ends_s[near])

    def silent_s(self, queue: Queue, now_s: float) -> float:
        """For how long the detector says at that time that it has stopped; 0: it does not."""
        opened, _, ago_s = self._at(now_s)
        if opened.count.sum() < MEMBERS_MIN:
            return 0.0
        closed_s = float(ago_s.min()) if len(ago_s) else float(EDGES_S[0])
        found = stop(opened, queue.hazards, closed_s, queue.peak_per_s)
        return found.silent_s if found.score >= queue.limit else 0.0

    def is_degraded(self, queue: Queue, now_s: float) -> bool:
        """Whether the detector says at that time that too little ends."""
        opened, ended, ago_s = self._at(now_s)
        overdue = float((opened.expected(queue.hazards, np.inf) >= OVERDUE).sum())
        if overdue < MEMBERS_MIN:
            return False
        closes = np.bincount(edge_of(ago_s), minlength=len(EDGES_S)).astype(np.float64)
        lost = loss(opened, ended, closes, queue.hazards, queue.peak_per_s, queue.limit)
        return is_degraded(lost, queue.limit, overdue, queue.peak_per_s)

    def _at(self, now_s: float) -> tuple[Spells, Spells, Floats]:
        """What is open, what has ended lately, and how long ago."""
        begun = (self.ends_s > now_s - EDGES_S[0]) & (self.begins_s < now_s)
        begins, ends = self.begins_s[begun], self.ends_s[begun]
        is_open = ends > now_s
        ago_s = now_s - ends[~is_open]
        lag_s = np.full(is_open.sum(), LATENESS_MIN_S)
        return (
            _spells(now_s - begins[is_open], lag_s),
            _spells(now_s - begins[~is_open], ago_s),
            ago_s,
        )


def _spells(begun_s: Floats, until_s: Floats) -> Spells:
    return Spells(np.zeros(len(begun_s), dtype=np.int64), begun_s, until_s, np.ones(len(begun_s)))


def delay_s(queue: Queue, lost: float, random: Generator) -> float:
    """How long after a share of the workers is lost anything is told; infinity: not within two thousand attempts."""
    before_s = max(2 * EDGES_S[0], 200 / queue.rate)
    after_s = 2000 / queue.rate
    n = random.poisson(queue.rate * (before_s + after_s))
    begins = np.sort(random.uniform(-before_s, after_s, n))
    ends = begins + queue.durations_s(n, random)
    ends[(ends > 0) & (random.random(n) < lost)] = np.inf
    course = Course(begins, ends)
    now_s = random.uniform(0, DETECTOR.every_s)
    while now_s < after_s:
        if course.silent_s(queue, now_s) or course.is_degraded(queue, now_s):
            return float(now_s)
        now_s += DETECTOR.every_s
    return float("inf")


def healthy(queue: Queue, weeks: float, random: Generator) -> Course:
    """Attempts that come at random, and all of which end."""
    end_s = weeks * WEEK_S
    n = random.poisson(queue.rate * end_s)
    begins = np.sort(random.uniform(0, end_s, n))
    return Course(begins, begins + queue.durations_s(n, random))


def backlogged(weeks: float, random: Generator) -> Course:
    """One attempt in two seconds, and 300 more at once every hour, through WORKERS workers in their order."""
    end_s = weeks * WEEK_S
    single = random.uniform(0, end_s, random.poisson(0.5 * end_s))
    begins = np.sort(np.concatenate([single, np.repeat(np.arange(1800.0, end_s, 3600), 300)]))
    law = LAWS[DETAILED]
    taken = law.rvs(len(begins), random_state=random) * MEDIAN_S / law.median()
    free = [0.0] * WORKERS
    ends = np.empty(len(begins))
    for number, (begin, lasting) in enumerate(zip(begins, taken, strict=True)):
        ends[number] = max(begin, free[0]) + lasting
        heapq.heapreplace(free, ends[number])
    return Course(begins, ends)


def false_alarms(queue: Queue, course: Course) -> tuple[int, int]:
    """Stops and losses told of a healthy queue, each counted once until it is over.

    A stop is looked for at the end of every silence that could be one, so whatever the tick; what was called one
    teaches, as it does in the product. A loss is looked for every ten seconds.
    """
    closes = np.sort(course.ends_s)
    silences = np.flatnonzero(most_ends(queue.peak_per_s, np.diff(closes)) >= queue.limit)
    pauses: list[float] = []
    for at in silences:
        habit_s = PAUSE_FACTOR * sorted(pauses)[-RECURRENT] if len(pauses) >= RECURRENT else 0.0
        silent_s = course.around(closes[at + 1]).silent_s(queue, closes[at + 1] - 1e-9)
        if silent_s > habit_s:
            pauses.append(silent_s)
    losses, was_lost = 0, False
    for now_s in np.arange(EDGES_S[0], course.begins_s[-1], 10.0):
        is_lost = course.around(now_s).is_degraded(queue, now_s)
        losses += is_lost and not was_lost
        was_lost = is_lost
    return len(pauses), losses


def measure(quick: bool) -> str:
    runs, weeks = (5, 0.01) if quick else (101, 4.0)
    random = np.random.default_rng(20_261_122)
    delays = []
    for rate in RATES:
        for name, law in LAWS.items():
            queue = learned(law, rate, random)
            found = [[delay_s(queue, lost, random) for _ in range(runs)] for lost in (1.0, 0.5)]
            delays.append([f"{rate:g}/s, {name}", *(_spread(one) for one in found)])
    alarms = []
    for rate, n in ((1.0, LEARNED), (0.1, LEARNED), (0.1, FEW)):
        for name, law in LAWS.items():
            queue, lasting = learned(law, rate, random, n), weeks / rate**0.5
            counted = false_alarms(queue, healthy(queue, lasting, random))
            what = f"{rate:g}/s, {name}" + (f", learned from {n}" if n == FEW else "")
            alarms.append([what, f"{lasting:.2g}", *map(str, counted)])
    for name, teaches in (("a backlog every hour", True), ("the same, never seen before", False)):
        course = backlogged(weeks, random)
        queue = learned(LAWS[DETAILED], 0.5, random)
        if teaches:
            minutes = np.bincount((course.ends_s // 60).astype(np.int64))
            taken_s = course.ends_s - course.begins_s
            queue = _queue(queue.law, len(taken_s) / weeks / WEEK_S, taken_s, minutes.max())
        alarms.append([name, f"{weeks:.2g}", *map(str, false_alarms(queue, course))])
    return "\n\n".join(
        [
            f"Median step {MEDIAN_S:g} s, a tick every {DETECTOR.every_s:g} s, the default budget. Seconds until it is "
            f"told, median (90 % within) of {runs} runs:",
            table(["attempts, law", "stopped", "half of the workers lost"], delays),
            "False alarms of healthy queues:",
            table(["attempts, law", "weeks", "stopped", "degraded"], alarms),
        ]
    )


def _spread(delays_s: list[float]) -> str:
    return f"{np.median(delays_s):.1f} ({np.quantile(delays_s, 0.9, method='inverted_cdf'):.1f})"
