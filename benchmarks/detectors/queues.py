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
from numpy.typing import NDArray
from scipy import stats

from benchmarks.detectors import table
from detectors.budget import part_of
from detectors.calibration.hazards import PAUSE_FACTOR, RECURRENT
from detectors.dead_queue import DETECTOR
from detectors.silence_rows import LATENESS_MIN_S
from detectors.silences import MEMBERS_MIN
from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    EDGES_S,
    OVERDUE,
    Hazard,
    Hazards,
    Spells,
    edge_of,
    free_s,
    hazard,
    is_degraded,
    is_full,
    limit,
    loss,
    loss_limit,
    most_ends,
    stop,
)
from detectors.statistics.survival import Ints, bin_of
from detectors.statistics.threshold import WEEK_S, stall_threshold

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
POOLS: Final = ((1, 0.15), (2, 0.3), (4, 0.5), (8, 1.2))
"""Workers, and attempts a second: they are busy half of the time."""
BACKLOG: Final = 300
AGES_S: Final[Floats] = MEDIAN_S * 2 ** np.linspace(-6, 12, len(EDGES_S) * 64)


@dataclass(frozen=True)
class Queue:
    """A queue whose attempts take `law` (scaled to MEDIAN_S) and come `rate` a second, and what was learned of it: the
    hazards of attempts since they were scheduled, and since they were started."""

    law: Any
    rate: float
    hazards: Hazards
    limit: float
    peak_per_s: float
    lost_s: float
    ceiling: int

    def durations_s(self, n: int, random: Generator) -> Floats:
        scale = MEDIAN_S / self.law.median()
        return np.asarray(self.law.rvs(n, random_state=random) * scale)


@dataclass(frozen=True)
class Course:
    """When attempts were scheduled, began and end (infinity: never); seconds."""

    scheduled_s: Floats
    begins_s: Floats
    ends_s: Floats

    def around(self, now_s: float) -> "Course":
        """The part that matters at a time: nothing waits or takes longer than an hour."""
        since_s = now_s - EDGES_S[0] - 3600
        near = slice(*np.searchsorted(self.scheduled_s, (since_s, now_s)))
        return Course(self.scheduled_s[near], self.begins_s[near], self.ends_s[near])

    def silent_s(self, queue: Queue, now_s: float, closed_s: float | None = None) -> float:
        """For how long the detector says at that time that it has stopped; 0: it does not."""
        is_open = (self.ends_s > now_s) & (self.scheduled_s < now_s)
        if is_open.sum() < MEMBERS_MIN:
            return 0.0
        if closed_s is None:
            past_s = self.ends_s[self.ends_s <= now_s]
            closed_s = float(now_s - past_s.max()) if len(past_s) else float(EDGES_S[0])
        scheduled_s, begins_s = self.scheduled_s[is_open], self.begins_s[is_open]
        runs = begins_s <= now_s
        opened = _spells(
            runs.astype(np.int64),
            now_s - np.where(runs, begins_s, scheduled_s),
            np.full(len(runs), LATENESS_MIN_S),
        )
        running, waiting = opened.where(runs), opened.where(~runs)
        lost_s = np.full(runs.sum(), queue.lost_s)
        free = free_s(running, lost_s, waiting, 0.0, closed_s, queue.ceiling)
        since_s = np.where(runs, np.inf, free)
        found = stop(opened, queue.hazards, closed_s, queue.peak_per_s, since_s)
        return found.silent_s if found.score >= queue.limit else 0.0

    def is_degraded(self, queue: Queue, now_s: float) -> bool:
        """Whether the detector says at that time that too little ends."""
        begun = (self.ends_s > now_s - EDGES_S[0]) & (self.scheduled_s < now_s)
        scheduled_s, begins_s, ends_s = (
            one[begun] for one in (self.scheduled_s, self.begins_s, self.ends_s)
        )
        is_open, runs = ends_s > now_s, begins_s <= now_s
        begun_s = now_s - np.where(runs, begins_s, scheduled_s)
        until_s = np.where(is_open, LATENESS_MIN_S, now_s - ends_s)
        every = _spells(runs.astype(np.int64), begun_s, until_s)
        alive = is_open & runs & (begun_s < queue.lost_s)
        could_end = runs | (not is_full(float(alive.sum()), queue.ceiling))
        opened, ended = every.where(is_open & could_end), every.where(~is_open)
        overdue = float((opened.expected(queue.hazards, np.inf) >= OVERDUE).sum())
        if overdue < MEMBERS_MIN:
            return False
        edges = edge_of(now_s - ends_s[~is_open])
        closes = np.bincount(edges, minlength=len(EDGES_S)).astype(np.float64)
        highest = loss_limit(queue.limit)
        lost = loss(opened, ended, closes, queue.hazards, queue.peak_per_s, highest)
        return is_degraded(lost, highest, overdue, queue.peak_per_s)


def _spells(kind: Ints, begun_s: Floats, until_s: Floats) -> Spells:
    return Spells(kind, begun_s, until_s, np.ones(len(begun_s)))


def learned(law: Any, rate: float, random: Generator, n: int = LEARNED) -> Queue:
    """What a week of a queue teaches in which nothing waits, its hazards from `n` attempts."""
    taken_s = law.rvs(n, random_state=random) * MEDIAN_S / law.median()
    known, most = _hazard(taken_s), int(random.poisson(rate * taken_s.mean(), 10_080).max())
    per_week, peak_60s = rate * WEEK_S, float(random.poisson(60 * rate, 10_080).max())
    return _queue(law, rate, per_week, Hazards([known, known]), taken_s, peak_60s, most)


def learned_of(course: Course, weeks: float, law: Any, rate: float) -> Queue:
    """What a course has taught when it is over."""
    begins_s, ends_s = course.begins_s, course.ends_s
    minutes = (ends_s // 60).astype(np.int64)
    running = np.bincount(minutes[begins_s < 60 * minutes])
    return _queue(
        law,
        rate,
        len(ends_s) / weeks,
        Hazards([_hazard(ends_s - course.scheduled_s), _hazard(ends_s - begins_s)]),
        (ends_s - begins_s)[:: max(1, len(ends_s) // LEARNED)],
        float(np.bincount(minutes).max()),
        int(running.max()),
    )


def _queue(
    law: Any,
    rate: float,
    per_week: float,
    hazards: Hazards,
    taken_s: Floats,
    peak_60s: float,
    ceiling: int,
) -> Queue:
    highest = limit(per_week, 1, part_of(1.0, DETECTOR.id))
    lost = stall_threshold(np.sort(taken_s), part_of(1.0, "stalled_step") / per_week)
    lost_s = np.inf if lost.seconds is None else lost.seconds
    return Queue(law, rate, hazards, highest, peak_60s / 60, lost_s, ceiling)


def _hazard(taken_s: Floats) -> Hazard:
    bins, closed = np.unique(bin_of(taken_s), return_counts=True)
    return hazard(bins, closed, np.zeros_like(closed))


def delay_s(queue: Queue, lost: float, random: Generator) -> float:
    """How long after a share of the workers is lost anything is told; infinity: not within two thousand attempts."""
    before_s = max(2 * EDGES_S[0], 200 / queue.rate)
    after_s = 2000 / queue.rate
    n = random.poisson(queue.rate * (before_s + after_s))
    begins = np.sort(random.uniform(-before_s, after_s, n))
    ends = begins + queue.durations_s(n, random)
    ends[(ends > 0) & (random.random(n) < lost)] = np.inf
    return _told_s(queue, Course(begins, begins, ends), 0.0, after_s, random)


def _told_s(
    queue: Queue, course: Course, lost_at_s: float, after_s: float, random: Generator
) -> float:
    now_s = lost_at_s + random.uniform(0, DETECTOR.every_s)
    while now_s < lost_at_s + after_s:
        near = course.around(now_s)
        if near.silent_s(queue, now_s) or near.is_degraded(queue, now_s):
            return float(now_s - lost_at_s)
        now_s += DETECTOR.every_s
    return float("inf")


def healthy(queue: Queue, weeks: float, random: Generator) -> Course:
    """Attempts that come at random, and all of which end."""
    end_s = weeks * WEEK_S
    n = random.poisson(queue.rate * end_s)
    begins = np.sort(random.uniform(0, end_s, n))
    return Course(begins, begins, begins + queue.durations_s(n, random))


def pooled(
    weeks: float, workers: int, rate: float, backlog: int, random: Generator, gone_at_s: float = 0.0
) -> Course:
    """`rate` attempts a second, and `backlog` more at once every hour, through so many workers in their order.

    `gone_at_s`: from then on nothing that runs ends, and nothing is started.
    """
    end_s = weeks * WEEK_S
    single = random.uniform(0, end_s, random.poisson(rate * end_s))
    hours = np.arange(1800.0, end_s, 3600)
    scheduled = np.sort(np.concatenate([single, np.repeat(hours, backlog)]))
    law = LAWS[DETAILED]
    taken = law.rvs(len(scheduled), random_state=random) * MEDIAN_S / law.median()
    free = [0.0] * workers
    begins = np.empty(len(scheduled))
    for number, (at, lasting) in enumerate(zip(scheduled.tolist(), taken.tolist(), strict=True)):
        begins[number] = max(at, free[0])
        heapq.heapreplace(free, begins[number] + lasting)
    ends = begins + taken
    if gone_at_s:
        ends[ends > gone_at_s] = begins[begins > gone_at_s] = np.inf
    return Course(scheduled, begins, ends)


def pool_delay_s(queue: Queue, workers: int, random: Generator) -> float:
    """How long after all workers of a pool are gone anything is told."""
    course = pooled(5 * 3600 / WEEK_S, workers, queue.rate, 0, random, gone_at_s=4 * 3600.0)
    return _told_s(queue, course, 4 * 3600.0, 2400.0, random)


def false_alarms(queue: Queue, course: Course) -> tuple[int, int]:
    """Stops and losses told of a healthy queue, each counted once until it is over.

    A stop is looked for at the end of every silence that could be one, so whatever the tick; what was called one
    teaches, as it does in the product. A loss is looked for every ten seconds.
    """
    closes = np.sort(course.ends_s)
    pauses: list[float] = []
    for at in _silences(queue, course, closes):
        habit_s = PAUSE_FACTOR * sorted(pauses)[-RECURRENT] if len(pauses) >= RECURRENT else 0.0
        now_s, closed_s = closes[at + 1] - 1e-9, float(closes[at + 1] - closes[at])
        silent_s = course.around(now_s).silent_s(queue, now_s, closed_s)
        if silent_s > habit_s:
            pauses.append(silent_s)
    losses, was_lost = 0, False
    times = np.arange(EDGES_S[0], course.scheduled_s[-1], 10.0)
    for now_s, is_possible in zip(times, _losses(queue, course, closes, times), strict=True):
        is_lost = bool(is_possible) and course.around(now_s).is_degraded(queue, now_s)
        losses += is_lost and not was_lost
        was_lost = is_lost
    return len(pauses), losses


def _silences(queue: Queue, course: Course, closes: Floats) -> Ints:
    """The ends after which a silence may be a stop: even if everything that is open could end."""
    silences = np.flatnonzero(most_ends(queue.peak_per_s, np.diff(closes)) >= queue.limit)
    until, since = closes[silences + 1], closes[silences]
    first = np.searchsorted(until, course.scheduled_s, side="right")
    number = np.maximum(np.searchsorted(until, course.ends_s, side="right") - first, 0)
    attempt = np.repeat(np.arange(len(number)), number)
    inside = np.arange(len(attempt)) - np.repeat(np.cumsum(number) - number, number)
    place = first[attempt] + inside
    expected = np.zeros(len(silences))
    for begins, kind in ((course.begins_s, 1), (course.scheduled_s, 0)):
        age, before = until[place] - begins[attempt], since[place] - begins[attempt]
        kinds = np.full(len(age), kind)
        gained = queue.hazards.at(kinds, age) - queue.hazards.at(kinds, before)
        expected = np.maximum(expected, np.bincount(place, gained, len(silences)))
        if (course.begins_s == course.scheduled_s).all():
            break
    else:
        # Some run and some wait: both together are no more than the sum.
        expected *= 2
    return silences[expected >= queue.limit]


def _losses(queue: Queue, course: Course, closes: Floats, times: Floats) -> NDArray[np.bool_]:
    """Whether enough is overdue at these times for a loss, and little enough has ended."""
    ages = queue.hazards.at(np.ones(len(AGES_S), dtype=np.int64), AGES_S)
    late_s = float(AGES_S[min(int(np.searchsorted(ages, OVERDUE)), len(AGES_S) - 1)])
    begins = course.scheduled_s
    is_late = course.ends_s - begins >= late_s
    became = np.sort(begins[is_late] + late_s)
    ended = np.sort(course.ends_s[is_late])
    overdue = np.searchsorted(became, times, side="right") - np.searchsorted(ended, times)
    return np.asarray(overdue >= MEMBERS_MIN)


def measure(quick: bool) -> str:
    runs, weeks = (5, 0.01) if quick else (51, 2.0)
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
            queue, lasting = learned(law, rate, random, n), weeks / rate
            counted = false_alarms(queue, healthy(queue, lasting, random))
            what = f"{rate:g}/s, {name}" + (f", learned from {n}" if n == FEW else "")
            alarms.append([what, f"{lasting:.2g}", *map(str, counted)])
    pools = []
    for workers, rate in POOLS:
        plain = pooled(weeks, workers, rate, 0, random)
        known = learned_of(plain, weeks, LAWS[DETAILED], rate)
        full = pooled(weeks, workers, rate, BACKLOG, random)
        used_to_it = learned_of(full, weeks, LAWS[DETAILED], rate)
        counts = (
            false_alarms(queue, course)
            for queue, course in ((known, plain), (used_to_it, full), (known, full))
        )
        gone = [pool_delay_s(known, workers, random) for _ in range(runs)]
        what = f"{workers}, {rate:g}/s"
        pools.append([what, *(f"{stops} / {losses}" for stops, losses in counts), _spread(gone)])
    return "\n\n".join(
        [
            f"Median step {MEDIAN_S:g} s, a tick every {DETECTOR.every_s:g} s, the default budget. Seconds until it is "
            f"told, median (90 % within) of {runs} runs:",
            table(["attempts, law", "stopped", "half of the workers lost"], delays),
            "False alarms of healthy queues, of which nothing waits:",
            table(["attempts, law", "weeks", "stopped", "degraded"], alarms),
            f"Pools of few workers, {DETAILED}: false alarms (stopped / degraded) in {weeks:g} weeks, where {BACKLOG} "
            "more come at once every hour, and where such backlogs had never been seen before; and seconds until it is "
            "told that all workers are gone:",
            table(
                ["workers, attempts", "no backlog", "backlogs", "never seen before", "all gone"],
                pools,
            ),
        ]
    )


def _spread(delays_s: list[float]) -> str:
    return f"{np.median(delays_s):.1f} ({np.quantile(delays_s, 0.9, method='inverted_cdf'):.1f})"
