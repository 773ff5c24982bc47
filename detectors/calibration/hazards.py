"""What silences are held against: at what ages attempts end, and how much ends in each queue."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from typing import Any, Final, TypeVar

import numpy as np

from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    CLOSES_MIN,
    OVERDUE,
    Hazard,
    Hazards,
    age_s,
    hazard,
    last_s,
)
from detectors.statistics.threshold import per_week
from stallwatch.store import Store

USUAL_SHARE: Final = 0.9
"""An attempt that names no queue is in the one that so many of its step's attempts name."""

RECURRENT: Final = 3
PAUSE_FACTOR: Final = 1.2
"""A group that was called dead and went on so often in a week pauses by habit (deployments, a nightly lock): from then
on it may be silent 1.2 times as long as the last of its RECURRENT longest pauses. Once or twice may have been real."""

_Value = TypeVar("_Value")
StepKey = tuple[str, str, str, str]
Group = tuple[str, str, str, str, str]
"""dimension (queue, downstream, worker or step), namespace, engine, workflow (of a step, else empty), value"""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StepLife:
    """At what ages a step's attempts end, since they were scheduled (`hazard`) and since they were started (`run`), and
    the `queue` and `downstream` that they usually name; empty: none."""

    hazard: Hazard
    run: Hazard
    queue: str
    downstream: str


@dataclass(frozen=True)
class Pace:
    """How much ends in a group, and when something last did before it was learned. `ceiling`: about how many attempts
    were seen running at once at most."""

    closes: int
    per_week: float
    peak_per_s: float
    last_at: datetime
    ceiling: int = 0
    pause_s: float = 0.0
    """A silence is one only if it is longer than this: healthy ones were."""


@dataclass(frozen=True)
class Liveness:
    """Steps and groups of which at least CLOSES_MIN ends are known."""

    steps: Mapping[StepKey, StepLife] = field(default_factory=dict)
    paces: Mapping[Group, Pace] = field(default_factory=dict)

    @cached_property
    def kinds(self) -> Mapping[StepKey, int]:
        """The numbers of the steps in `hazards`; `len(steps)` after each stand its hazards since the start."""
        return {key: number for number, key in enumerate(self.steps)}

    @cached_property
    def hazards(self) -> Hazards:
        """Of all steps since they were scheduled, then of all since they were started."""
        lives = self.steps.values()
        return Hazards([*(life.hazard for life in lives), *(life.run for life in lives)])

    @cached_property
    def overdue_s(self) -> Mapping[StepKey, float]:
        """The ages since the start at which attempts are overdue."""
        return {key: age_s(life.run, OVERDUE) for key, life in self.steps.items()}

    @cached_property
    def longest_s(self) -> Mapping[StepKey, float]:
        """The ages since the start after which nothing is known: H grows no more."""
        return {key: max(last_s(life.hazard), last_s(life.run)) for key, life in self.steps.items()}

    @cached_property
    def most(self) -> float:
        """H of no attempt is larger."""
        lives = self.steps.values()
        return max(
            (float(h.cumulative[-1]) for life in lives for h in (life.hazard, life.run)),
            default=0.0,
        )

    @cached_property
    def step_ripe_s(self) -> Mapping[str, float]:
        """The age at which the first attempts end, by the name of their step: of several the least."""
        return self._ripe_s(3)

    @cached_property
    def workflow_ripe_s(self) -> Mapping[str, float]:
        """The same by the name of their workflow."""
        return self._ripe_s(2)

    def _ripe_s(self, place: int) -> dict[str, float]:
        least_s: dict[str, float] = {}
        for key, life in self.steps.items():
            first_s = min(age_s(life.hazard, 0.0), age_s(life.run, 0.0))
            least_s[key[place]] = min(first_s, least_s.get(key[place], first_s))
        return least_s

    @cached_property
    def per_week(self) -> Floats:
        """How much ends in each group in a week, in the order of `paces`."""
        return np.array([pace.per_week for pace in self.paces.values()], dtype=np.float64)

    @cached_property
    def peaks_per_s(self) -> Floats:
        """Of the fastest minute of each group, in the order of `paces`."""
        return np.array([pace.peak_per_s for pace in self.paces.values()], dtype=np.float64)

    @cached_property
    def homes(self) -> Mapping[Group, frozenset[Group]]:
        """The steps that are usually in a queue or downstream."""
        return _collected(
            ((dimension, *key[:2], "", value), ("step", *key))
            for key, life in self.steps.items()
            for dimension, value in (("queue", life.queue), ("downstream", life.downstream))
            if value
        )

    @cached_property
    def queues(self) -> Mapping[Group, frozenset[str]]:
        """The queues in which steps, and what calls a downstream, usually wait."""
        return _collected(
            (group, life.queue)
            for key, life in self.steps.items()
            if life.queue
            for group in (("step", *key), ("downstream", *key[:2], "", life.downstream))
        )


def _collected(pairs: Iterable[tuple[Group, _Value]]) -> Mapping[Group, frozenset[_Value]]:
    sets: defaultdict[Group, set[_Value]] = defaultdict(set)
    for key, value in pairs:
        sets[key].add(value)
    return {key: frozenset(values) for key, values in sets.items()}


def learn_liveness(store: Store, window: Mapping[str, Any]) -> Liveness:
    """From all attempts that ended in that time (`from`, `until`, `folded_from`), imported history included."""
    window = {**window, "least": CLOSES_MIN, "recurrent": RECURRENT}
    pauses = store.select(_sql("pauses"), window)
    return Liveness(
        steps={
            (row["namespace"], row["engine"], row["workflow"], row["step"]): _step_life(row)
            for row in store.select(_sql("hazards"), window)
        },
        paces=dict(_paces(store.select(_sql("paces"), window), _habits(pauses))),
    )


def _sql(name: str) -> str:
    return (files("detectors.calibration") / f"{name}.sql").read_text(encoding="utf-8").strip()


def _step_life(row: Row) -> StepLife:
    whole = _hazard(row, "wholes")
    run = whole if row["wholes"] == row["runs"] else _hazard(row, "runs")
    return StepLife(whole, run, _usual(row["queues"]), _usual(row["downstreams"]))


def _hazard(row: Row, told: str) -> Hazard:
    """Of the row's ages for which the column `told` is true."""
    columns = (np.asarray(row[name], dtype=np.int64) for name in ("bins", "closed", "censored"))
    bins, closed, censored = (column[np.asarray(row[told], dtype=bool)] for column in columns)
    order = np.argsort(bins, kind="stable")
    return hazard(bins[order], closed[order], censored[order])


def _usual(counts: Mapping[str, int]) -> str:
    value, times = max(counts.items(), key=lambda item: item[1])
    return value if times >= USUAL_SHARE * sum(counts.values()) else ""


def _group(row: Row) -> Group:
    return (row["dimension"], row["namespace"], row["engine"], row["place"], row["value"])


def _habits(rows: Iterable[Row]) -> dict[Group, float]:
    return {_group(row): PAUSE_FACTOR * row["silences_s"][RECURRENT - 1] for row in rows}


def _paces(rows: Iterable[Row], habits: Mapping[Group, float]) -> Iterable[tuple[Group, Pace]]:
    for row in rows:
        span_s = (row["last_at"] - row["first_at"]).total_seconds()
        group = _group(row)
        yield (
            group,
            Pace(
                closes=row["closes"],
                per_week=per_week(row["closes"], span_s),
                peak_per_s=row["peak_60s"] / 60,
                last_at=row["last_at"],
                ceiling=row["ceiling"],
                pause_s=habits.get(group, 0.0),
            ),
        )
