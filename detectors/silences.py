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

from detectors import budget
from detectors.calibration.hazards import Group, Liveness, Pace
from detectors.detector import Context, Row, place_of
from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    EDGES_S,
    Hazards,
    Loss,
    Spells,
    edge_mid_s,
    is_degraded,
    limit,
    loss,
    may_be_degraded,
    most_ends,
    stop,
)
from detectors.statistics.survival import Ints, bin_mid_s
from stallwatch.model.ticks import Tick

DIMENSIONS: Final = ("queue", "downstream", "worker", "step")
"""Of groups that explain equally much the earlier one tells."""
MEMBERS_MIN: Final = 3
"""With fewer executions a silence is told apart from so many hung attempts by nothing."""
OVERDUE: Final = 3.0
"""H of an attempt that is older than 95 % of healthy ones become."""
LATENESS_MIN_S: Final = 0.25
"""News of an end takes at least a moment."""


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


class _Entries:
    """Spells of attempts, those of one row beside each other."""

    def __init__(self, spells: Spells, row: Ints, rows: int) -> None:
        self.spells = spells
        self.row = row
        self.start = np.searchsorted(row, np.arange(rows + 1))

    def of(self, numbers: Sequence[int]) -> tuple[Spells, Ints]:
        """The spells of these rows, and where they stand among all."""
        spans = [np.arange(self.start[n], self.start[n + 1]) for n in numbers]
        at: Ints = np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64)
        s = self.spells
        return Spells(s.kind[at], s.begun_s[at], s.until_s[at], s.count[at]), at


class Silences:
    """The rows of one tick, laid out for arithmetic; `silences()` judges them."""

    def __init__(self, tick: Tick, rows: Sequence[Row], context: Context) -> None:
        self._until = tick.until
        self._rows = rows
        self._known: Liveness = context.calibration.liveness
        self._budget = budget.share(context.config, "dead_queue")
        self._hazards = Hazards([life.hazard for life in self._known.steps.values()])
        kinds = {key: number for number, key in enumerate(self._known.steps)}
        self._kind = np.array([kinds.get(place_of(row), -1) for row in rows], dtype=np.int64)
        self._lag_s = np.array([_lag_s(tick, row, context) for row in rows], dtype=np.float64)
        self._silent_senders = context.silent_senders

    def silences(self, hidden: bool) -> list[Silence]:
        """What has stopped, then what has lost throughput; from the attempts that senders still heard tell of, or from
        the others (`hidden`)."""
        asked = {
            number
            for number, row in enumerate(self._rows)
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
        closed_s = (self._until - closed_at) / timedelta(seconds=1)
        numbers = self._judged(group, asked)
        # Most groups have just ended something.
        if not numbers or most_ends(pace.peak_per_s, closed_s) < highest:
            return None
        spells, _ = self._open.of(numbers)
        if spells.count.sum() < MEMBERS_MIN:
            return None
        stopped = stop(spells, self._hazards, closed_s, pace.peak_per_s)
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
            open=int(self._open.of(everything)[0].count.sum()),
            members=self._members(everything, 0.0),
        )

    def _lost(self, group: Group, asked: Collection[int]) -> Silence | None:
        """Whether much less ends than should: W is above the limit."""
        pace = self._known.paces[group]
        numbers = self._judged(group, asked)
        overdue = float(sum(self._overdue[number] for number in numbers))
        if overdue < MEMBERS_MIN:
            return None
        highest = limit(pace.per_week, len(self._known.paces), self._budget)
        ended, at = self._ended.of(numbers)
        closes: Floats = np.bincount(
            self._edge[at], ended.count * self._is_close[at], len(EDGES_S)
        ).astype(np.float64)
        if not may_be_degraded(closes, overdue, pace.peak_per_s, highest):
            return None
        opened, _ = self._open.of(numbers)
        lost = loss(opened, ended, closes, self._hazards, pace.peak_per_s, highest)
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

    def _judged(self, group: Group, asked: Collection[int]) -> list[int]:
        """The group's rows by which a silence is judged: it is known at what ages such attempts end."""
        return [n for n in self._groups[group] if n in asked and self._kind[n] >= 0]

    def _members(self, numbers: Sequence[int], older_than: float) -> list[tuple[Row, str]]:
        """The open executions of these rows whose attempts have at least that H, the oldest first."""
        spells, at = self._open.of(numbers)
        old = spells.expected(self._hazards, np.inf) >= older_than * spells.count
        found = []
        for place in np.argsort(-spells.begun_s, kind="stable"):
            if not old[place]:
                continue
            row = self._rows[int(self._open.row[at[place]])]
            if row["is_named"]:
                inside = int(at[place] - self._open.start[self._open.row[at[place]]])
                found += [(row, execution_id) for execution_id in row["executions"][inside]]
        return found

    def _closed_at(self, group: Group) -> datetime:
        """When something ended last in the group."""
        ends = [self._rows[number]["closed_at"] for number in self._groups[group]]
        last_at: datetime = max(self._known.paces[group].last_at, *ends)
        return min(last_at, self._until)

    @cached_property
    def _groups(self) -> Mapping[Group, Sequence[int]]:
        """The numbers of the rows of each group whose pace is known."""
        groups: defaultdict[Group, list[int]] = defaultdict(list)
        for number, row in enumerate(self._rows):
            life = self._known.steps.get(place_of(row))
            usual = {} if life is None else {"queue": life.queue, "downstream": life.downstream}
            for dimension in DIMENSIONS:
                workflow = row["workflow"] if dimension == "step" else ""
                value = row[dimension] or usual.get(dimension, "")
                group = (dimension, row["namespace"], row["engine"], workflow, value)
                if group in self._known.paces:
                    groups[group].append(number)
        return groups

    @cached_property
    def _open(self) -> _Entries:
        ages, row = _flat(self._rows, "open_ages")
        counts, _ = _flat(self._rows, "open_counts")
        lag_s = self._lag_s[row]
        spells = Spells(self._kind[row], bin_mid_s(ages), lag_s, counts.astype(np.float64))
        return _Entries(spells, row, len(self._rows))

    @cached_property
    def _ended(self) -> _Entries:
        ages, row = _flat(self._rows, "end_ages")
        counts, _ = _flat(self._rows, "end_counts")
        until_s = edge_mid_s(self._edge)
        spells = Spells(
            self._kind[row], until_s + bin_mid_s(ages), until_s, counts.astype(np.float64)
        )
        return _Entries(spells, row, len(self._rows))

    @cached_property
    def _edge(self) -> Ints:
        return _flat(self._rows, "end_edges")[0]

    @cached_property
    def _is_close(self) -> Ints:
        return _flat(self._rows, "end_closes")[0]

    @cached_property
    def _overdue(self) -> Floats:
        """How many open attempts of each row are overdue, where executions are named; elsewhere 0."""
        spells = self._open.spells
        old = spells.expected(self._hazards, np.inf) >= OVERDUE * spells.count
        named = np.array([row["is_named"] for row in self._rows], dtype=bool)
        overdue: Floats = np.bincount(self._open.row, spells.count * old, len(self._rows)) * named
        return overdue


def _lag_s(tick: Tick, row: Row, context: Context) -> float:
    """For how long an end of one of these may have gone untold."""
    lateness_s = context.calibration.lateness_s(place_of(row))
    behind = tick.until - context.as_of(tick, row)
    return max(lateness_s, LATENESS_MIN_S) + behind / timedelta(seconds=1)


def _flat(rows: Sequence[Row], column: str) -> tuple[Ints, Ints]:
    """The values of an array column, one row's after the other, and the number of the row of each."""
    parts = [np.asarray(row[column], dtype=np.int64) for row in rows]
    values = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    return values, np.repeat(np.arange(len(rows)), [len(part) for part in parts])


def _generality(silence: Silence) -> tuple[int, int]:
    return -silence.open, DIMENSIONS.index(silence.group[0])


def _enough(members: Sequence[tuple[Row, str]]) -> bool:
    return len({execution_id for _, execution_id in members}) >= MEMBERS_MIN
