"""What silences are held against: at what ages attempts end, and how much ends in each queue."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.statistics.silence import CLOSES_MIN, Hazard, hazard
from detectors.statistics.threshold import per_week
from stallwatch.store import Store

USUAL_SHARE: Final = 0.9
"""An attempt that names no queue is in the one that so many of its step's attempts name."""

RECURRENT: Final = 3
PAUSE_FACTOR: Final = 1.2
"""A group that was called dead and went on so often in a week pauses by habit (deployments, a nightly lock): from then
on it may be silent 1.2 times as long as the last of its RECURRENT longest pauses. Once or twice may have been real."""

StepKey = tuple[str, str, str, str]
Group = tuple[str, str, str, str, str]
"""dimension (queue, downstream, worker or step), namespace, engine, workflow (of a step, else empty), value"""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StepLife:
    """At what ages a step's attempts end, and the `queue` and `downstream` that they usually name; empty: none."""

    hazard: Hazard
    queue: str
    downstream: str


@dataclass(frozen=True)
class Pace:
    """How much ends in a group, and when something last did before it was learned."""

    closes: int
    per_week: float
    peak_per_s: float
    last_at: datetime
    pause_s: float = 0.0
    """A silence is one only if it is longer than this: healthy ones were."""


@dataclass(frozen=True)
class Liveness:
    """Steps and groups of which at least CLOSES_MIN ends are known."""

    steps: Mapping[StepKey, StepLife] = field(default_factory=dict)
    paces: Mapping[Group, Pace] = field(default_factory=dict)


def learn_liveness(store: Store, since: datetime, until: datetime) -> Liveness:
    """From all attempts that ended in that time, imported history included."""
    window = {"from": since, "until": until, "least": CLOSES_MIN}
    pauses = store.select(_sql("pauses"), {"from": since, "until": until, "recurrent": RECURRENT})
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
    order = np.argsort(row["bins"])
    bins, closed, censored = (
        np.asarray(row[name], dtype=np.int64)[order] for name in ("bins", "closed", "censored")
    )
    return StepLife(
        hazard(bins, closed, censored), _usual(row["queues"]), _usual(row["downstreams"])
    )


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
                pause_s=habits.get(group, 0.0),
            ),
        )
