"""From attempts counted by age to the queues, downstreams, workers and steps that are silent.

What is dead is usually silent in several groups at once: a queue, the steps that run on it, what they call. The most
general of them tells, and another only if it is silent without what that one covers.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import budget
from detectors.calibration.hazards import Group, Liveness, Pace
from detectors.detector import Context, Row, place_of
from detectors.silence_rows import SilenceRows
from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    EDGES_S,
    OVERDUE,
    Loss,
    free_s,
    is_degraded,
    is_full,
    limit,
    loss,
    loss_limit,
    may_be_degraded,
    most_ends,
    stop,
)
from detectors.statistics.survival import Ints
from stallwatch.model.ticks import Tick

DIMENSIONS: Final = ("queue", "downstream", "worker", "step")
"""Of groups that explain equally much the earlier one tells."""
MEMBERS_MIN: Final = 3
"""With fewer executions a silence is told apart from so many hung attempts by nothing."""


@dataclass(frozen=True)
class Silence:
    """A group that is silent: `score` (Λ of a stop, W of a loss) is above `limit`.

    `silent_s`: for how long nothing, or too little, has ended although something was open. `members`: the rows and
    executions that wait on it, the oldest first. `lost`: set if something still ends.
    """

    group: Group
    pace: Pace
    score: float
    limit: float
    closed_at: datetime
    silent_s: float
    open: int
    members: Sequence[tuple[Row, str]]
    lost: Loss | None = None

    @property
    def executions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(execution_id for _, execution_id in self.members))


class Silences:
    """Judges the rows of one tick."""

    def __init__(self, tick: Tick, rows: Sequence[Row], context: Context) -> None:
        self._until = tick.until
        self._known: Liveness = context.calibration.liveness
        self._budget = budget.share(context.config, "dead_queue")
        self._laid = SilenceRows(tick, rows, context)
        self._silent_senders = context.silent_senders

    def silences(self, hidden: bool) -> list[Silence]:
        """What has stopped, then what has lost throughput; from the attempts that senders still heard tell of, or from
        the others (`hidden`)."""
        asked = {
            number
            for number, row in enumerate(self._laid.rows)
            if (row["sender"] in self._silent_senders) == hidden
        }
        found: list[Silence] = []
        for judged in (self._stopped, self._lost):
            candidates = [
                one for group in self._groups if (one := judged(group, asked)) is not None
            ]
            # The most general first; the others again, without what it covers.
            for candidate in sorted(candidates, key=_generality):
                silence = judged(candidate.group, asked)
                if silence is not None:
                    found.append(silence)
                    asked.difference_update(self._groups[silence.group])
        return found

    def _stopped(self, group: Group, asked: Collection[int]) -> Silence | None:
        """Whether nothing ends any more: Λ since the last end is above the limit."""
        pace = self._known.paces[group]
        highest = limit(pace.per_week, len(self._known.paces), self._budget)
        closed_at = self._closed_at(group)
        closed_s = self._closed_s(group)
        numbers = self._judged(group, asked)
        # Most groups have just ended something.
        if not numbers or most_ends(pace.peak_per_s, closed_s) < highest:
            return None
        spells, at = self._laid.open.of(numbers)
        if spells.count.sum() < MEMBERS_MIN:
            return None
        since_s = self._since_s(group, at)
        stopped = stop(spells, self._laid.hazards, closed_s, pace.peak_per_s, since_s)
        if stopped.score < highest or stopped.silent_s < pace.pause_s:
            return None
        if not _enough(self._members(numbers, 0.0)):
            return None
        # What nothing is known of says nothing about the silence, but waits on what is dead as well.
        everything = [number for number in self._groups[group] if number in asked]
        return Silence(
            group=group,
            pace=pace,
            score=stopped.score,
            limit=highest,
            closed_at=closed_at,
            silent_s=stopped.silent_s,
            open=int(self._laid.open.of(everything)[0].count.sum()),
            members=self._members(everything, 0.0),
        )

    def _lost(self, group: Group, asked: Collection[int]) -> Silence | None:
        """Whether much less ends than should: W is above the limit."""
        pace = self._known.paces[group]
        numbers = self._judged(group, asked)
        opened, at = self._laid.open.of(numbers)
        counts = self._could_end(group, at)
        overdue = float((opened.count * self._laid.overdue[at])[counts].sum())
        if overdue < MEMBERS_MIN:
            return None
        highest = loss_limit(limit(pace.per_week, len(self._known.paces), self._budget))
        ended, ends = self._laid.ended.of(numbers)
        closes: Floats = np.bincount(
            self._laid.edge[ends], ended.count * self._laid.is_close[ends], len(EDGES_S)
        ).astype(np.float64)
        if not may_be_degraded(closes, overdue, pace.peak_per_s, highest):
            return None
        lost = loss(
            opened.where(counts), ended, closes, self._laid.hazards, pace.peak_per_s, highest
        )
        if not is_degraded(lost, highest, overdue, pace.peak_per_s):
            return None
        members = self._members(numbers, OVERDUE)
        if not _enough(members):
            return None
        return Silence(
            group=group,
            pace=pace,
            score=lost.score,
            limit=highest,
            closed_at=self._closed_at(group),
            silent_s=lost.began_s,
            open=int(opened.count.sum()),
            members=members,
            lost=lost,
        )

    def _since_s(self, group: Group, at: Ints) -> Floats:
        """Since how long ago each of these open attempts may have been expected to end: what waits for a worker may not
        while the group, or the queue that it waits in, has no place left."""
        row, waits = self._laid.open.row[at], self._laid.waits[at]
        since_s: Floats = np.full(len(at), np.inf)
        for number in np.unique(row[waits]):
            groups = {group, self._group_of(self._laid.rows[number], "queue")}
            free = min(self._free_s(one) for one in groups if one in self._groups)
            since_s[waits & (row == number)] = free
        return since_s

    def _could_end(self, group: Group, at: Ints) -> NDArray[np.bool_]:
        """Which of these open attempts could end: not what waits while the group, or its queue, has its hands full."""
        row, counts = self._laid.open.row[at], ~self._laid.waits[at]
        for number in np.unique(row[~counts]):
            groups = {group, self._group_of(self._laid.rows[number], "queue")}
            if not any(self._is_full(one) for one in groups if one in self._groups):
                counts |= row == number
        return counts

    def _is_full(self, group: Group) -> bool:
        spells, at = self._laid.open.of([n for n in self._groups[group] if self._laid.kind[n] >= 0])
        runs = ~self._laid.waits[at] & (spells.begun_s < self._laid.lost_s[self._laid.open.row[at]])
        return is_full(float(spells.count[runs].sum()), self._known.paces[group].ceiling)

    def _free_s(self, group: Group) -> float:
        """Since how long ago the group has had a place for what waits."""
        spells, at = self._laid.open.of([n for n in self._groups[group] if self._laid.kind[n] >= 0])
        row, waits = self._laid.open.row[at], self._laid.waits[at]
        if not waits.any():
            return np.inf
        return free_s(
            spells.where(~waits),
            self._laid.lost_s[row[~waits]],
            spells.where(waits),
            usual_s=float(self._laid.wait_s[row[waits]].max()),
            closed_s=self._closed_s(group),
            ceiling=self._known.paces[group].ceiling,
        )

    def _judged(self, group: Group, asked: Collection[int]) -> list[int]:
        """The group's rows by which a silence is judged: it is known at what ages such attempts end."""
        return [n for n in self._groups[group] if n in asked and self._laid.kind[n] >= 0]

    def _members(self, numbers: Sequence[int], older_than: float) -> list[tuple[Row, str]]:
        """The open executions of these rows whose attempts have at least that H, the oldest first."""
        spells, at = self._laid.open.of(numbers)
        old = spells.expected(self._laid.hazards, np.inf) >= older_than * spells.count
        found = []
        for place in np.argsort(-spells.begun_s, kind="stable"):
            if not old[place]:
                continue
            row = self._laid.rows[int(self._laid.open.row[at[place]])]
            if row["is_named"]:
                inside = int(at[place] - self._laid.open.start[self._laid.open.row[at[place]]])
                found += [(row, execution_id) for execution_id in row["executions"][inside]]
        return found

    def _closed_at(self, group: Group) -> datetime:
        """When something ended last in the group."""
        ends = [self._laid.rows[number]["closed_at"] for number in self._groups[group]]
        last_at: datetime = max(self._known.paces[group].last_at, *ends)
        return min(last_at, self._until)

    def _closed_s(self, group: Group) -> float:
        return (self._until - self._closed_at(group)) / timedelta(seconds=1)

    def _group_of(self, row: Row, dimension: str) -> Group:
        life = self._known.steps.get(place_of(row))
        usual = {} if life is None else {"queue": life.queue, "downstream": life.downstream}
        place = row["workflow"] if dimension == "step" else ""
        value = row[dimension] or usual.get(dimension, "")
        return (dimension, row["namespace"], row["engine"], place, value)

    @cached_property
    def _groups(self) -> Mapping[Group, Sequence[int]]:
        """The numbers of the rows of each group that was asked for and whose pace is known."""
        groups: defaultdict[Group, list[int]] = defaultdict(list)
        for number, row in enumerate(self._laid.rows):
            for dimension in DIMENSIONS:
                group = self._group_of(row, dimension)
                if row[f"asks_{dimension}"] and group in self._known.paces:
                    groups[group].append(number)
        return groups


def _generality(silence: Silence) -> tuple[int, int]:
    return -silence.open, DIMENSIONS.index(silence.group[0])


def _enough(members: Sequence[tuple[Row, str]]) -> bool:
    return len({execution_id for _, execution_id in members}) >= MEMBERS_MIN
