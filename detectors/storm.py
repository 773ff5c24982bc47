"""What is known of one retry storm: its size, its timing, whether what set it off is gone, and what
it is about."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from detectors.calibration import RetryHabit
from detectors.detector import Place, Row, place_of
from detectors.statistics.backoff import SYNCHRONISATION_BIN_S, RetryPattern, retry_pattern
from detectors.statistics.retry_cusum import BIN_S
from detectors.statistics.root_cause import excess, likeliest

TRAILING: Final = timedelta(minutes=20)
"""How far back is looked. With five retries a minute, the least that counts, a score is over any limit by then."""
PATTERN_BINS: Final = 30
"""How many bins back the timing of retries is read."""
USUAL_FACTOR: Final = 2.0
USUAL_MARGIN: Final = 0.02
"""First attempts fail as usual up to twice their usual share, or 2 % more."""
ENDED_MIN: Final = 5
"""Fewer first attempts say nothing about their share of failures."""
EXECUTIONS_MAX: Final = 10_000


class Bin(NamedTuple):
    """The attempts of a step that started in the same 10 s, counted back from the end of the tick."""

    number: int
    firsts: int
    retries: int
    failed_firsts: int
    ended_firsts: int
    completed: int
    ended: int
    queues: Sequence[str] = ()
    error_types: Sequence[str] = ()


@dataclass(frozen=True)
class Storm:
    """A chart over its limit. `since`: when its score last rose from zero, `began` the bin of that.
    `bins` are those of the storm, `lately` those of the last minute."""

    row: Row
    habit: RetryHabit
    since: datetime
    until: datetime
    began: int
    bins: Sequence[Bin]
    lately: Sequence[Bin]

    @property
    def place(self) -> Place:
        return place_of(self.row)

    @property
    def is_older(self) -> bool:
        """Whether it began before what is looked at."""
        return (self.began + 1) * BIN_S >= TRAILING.total_seconds()

    @property
    def retries(self) -> int:
        return sum(one.retries for one in self.bins)

    @property
    def firsts(self) -> int:
        return sum(one.firsts for one in self.bins)

    @property
    def retries_60s(self) -> int:
        return sum(one.retries for one in self.lately)

    @property
    def firsts_60s(self) -> int:
        return sum(one.firsts for one in self.lately)

    @property
    def amplification(self) -> float:
        """Attempts per first attempt; without first attempts, every attempt is one of an earlier call."""
        return (self.firsts + self.retries) / max(self.firsts, 1)

    def amplifications(self) -> dict[str, float]:
        """The same for each downstream in the last minute."""
        return {
            name: (firsts + retries) / max(firsts, 1)
            for name, (firsts, retries) in calls_by_downstream(self.row).items()
            if name
        }

    @cached_property
    def downstream(self) -> str:
        """What most of the last minute's retries call; empty where that is not known."""
        calls = calls_by_downstream(self.row)
        return max(calls, key=lambda name: calls[name][1]) if calls else ""

    @cached_property
    def executions(self) -> tuple[str, ...]:
        """Those that were tried again in the storm, the oldest first."""
        named = (
            ids
            for number, ids in sorted(self.row["executions"], reverse=True)
            if number <= self.began
        )
        return tuple(dict.fromkeys(one for ids in named for one in ids))[:EXECUTIONS_MAX]

    def most(self, name: str) -> str:
        """The value that most of the bins' most frequent ones are."""
        values = Counter(said[0] for one in self.bins if (said := getattr(one, name)) and said[0])
        return str(values.most_common(1)[0][0]) if values else ""

    @property
    def first_failure_share(self) -> float:
        """Of the first attempts of the last minute that ended, those that failed."""
        failed = sum(one.failed_firsts for one in self.lately)
        return failed / max(sum(one.ended_firsts for one in self.lately), 1)

    @property
    def goodput(self) -> float:
        """Of all attempts of the last minute that ended, those that completed."""
        completed = sum(one.completed for one in self.lately)
        return completed / max(sum(one.ended for one in self.lately), 1)

    @property
    def trigger_is_gone(self) -> bool:
        """Whether first attempts end as well as ever, while the retries of earlier ones go on."""
        ended = sum(one.ended_firsts for one in self.lately)
        if ended < ENDED_MIN or not self._earlier_are_known:
            return False
        usual = self.habit.first_failures
        return self.first_failure_share <= max(USUAL_FACTOR * usual, usual + USUAL_MARGIN)

    @property
    def _earlier_are_known(self) -> bool:
        """Whether what was tried again is known from before. Histories that have the last attempt of a call alone hide
        that its first one failed."""
        told = {(call, attempt) for call, attempt, _, _ in self.row["samples"]}
        before = [(call, attempt - 1) for call, attempt in told if attempt > 1]
        return 2 * sum(one in told for one in before) >= len(before)

    @cached_property
    def pattern(self) -> RetryPattern:
        """The pauses between the attempts of one call, and how the retries are spread over time."""
        return retry_pattern(self._delays_s(), self._slots())

    def _delays_s(self) -> dict[int, list[float]]:
        began_us = self.since.timestamp() * 1e6
        ended_us = {(call, attempt): ended for call, attempt, _, ended in self.row["samples"]}
        delays: defaultdict[int, list[float]] = defaultdict(list)
        for call, attempt, started_us, _ in self.row["samples"]:
            before_us = ended_us.get((call, attempt - 1))
            if before_us is not None and started_us >= max(before_us, began_us):
                delays[attempt].append((started_us - before_us) / 1e6)
        return delays

    def _slots(self) -> list[int]:
        """Retries that began in each slot since the storm began."""
        in_bin = round(BIN_S / SYNCHRONISATION_BIN_S)
        counts = [0] * (min(self.began + 1, PATTERN_BINS) * in_bin)
        for _, (slots, retries) in self.row["slots"]:
            for slot, count in zip(slots, retries, strict=True):
                if slot < len(counts):
                    counts[slot] += count
        return counts


def calls_by_downstream(row: Row) -> dict[str, tuple[int, int]]:
    """First attempts and retries of the last minute."""
    calls: dict[str, tuple[int, int]] = {}
    for names, firsts, retries in row["calls"]:
        for name, first, retry in zip(names, firsts, retries, strict=True):
            before = calls.get(name, (0, 0))
            calls[name] = (before[0] + first, before[1] + retry)
    return calls


def root_causes(
    rows: Sequence[Row], habits: Mapping[Place, RetryHabit]
) -> dict[str, tuple[str, float]]:
    """By namespace, the downstream whose callers together are furthest above their usual retries,
    and how far."""
    scores: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        habit = habits.get(place_of(row))
        if habit is None:
            continue
        for name, (firsts, retries) in calls_by_downstream(row).items():
            if name:
                score = excess(retries, habit.ratio * firsts, habit.dispersion)
                scores[row["namespace"]][name].append(score)
    found = {namespace: likeliest(of) for namespace, of in scores.items()}
    return {namespace: best for namespace, best in found.items() if best is not None}
