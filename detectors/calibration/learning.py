"""From the store's past to thresholds. One statement per kind of thing, once an hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.budget import part_of
from detectors.calibration.bursts import learn_bursts
from detectors.calibration.compensations import learn_compensations
from detectors.calibration.declared import Declared, declared_of
from detectors.calibration.flows import CLOCKS_AHEAD, learn_flows
from detectors.calibration.hazards import learn_liveness
from detectors.calibration.heartbeats import learn_heartbeats
from detectors.calibration.histories import learn_large_histories
from detectors.calibration.learned import (
    Calibration,
    Learned,
    Spread,
    StepKey,
)
from detectors.calibration.outcomes import learn_outcomes
from detectors.calibration.payloads import learn_payloads
from detectors.calibration.retries import learn_retries
from detectors.calibration.rows import PAST, RECENT, Allowance, Row, by_place, far_enough
from detectors.calibration.sampling import Sample, sample_of
from detectors.calibration.scheduling import learn_scheduling
from detectors.calibration.steps import (
    STEPS_LIMITS,
    learn_executions,
    learn_steps,
    learned_from,
)
from detectors.calibration.trends import learn_trends
from detectors.calibration.workflows import learn_workflows
from detectors.statistics.samples import Floats, sorted_durations
from detectors.statistics.threshold import (
    RATCHET_FACTOR,
    stall_threshold,
)
from stallwatch.store import Store

SAMPLE: Final = 20_000
"""Durations per step that a threshold is learned from."""

GAPS_MIN: Final = 50
"""A sender with fewer known gaps is not judged."""
RECURRENT: Final = 3
"""A silence that happened so often in a week is a habit (nights, batch runs), not an outage."""

STEP: Final = ("namespace", "engine", "workflow", "step")


def learn(store: Store, now: datetime, budget_per_week: float) -> Calibration:
    """Calibrate everything as of `now` from the last seven days, thresholds of what comes seldom from 28; imported
    history included.

    `budget_per_week`: false alarms that all detectors together may raise.
    """
    far, week = past(now, PAST), past(now)
    sample = sample_of(store, far, now - RECENT)
    read = _Reading(store, sample, sample.bounds(week), sample.bounds_of_seldom(far), now - RECENT)
    steps = read.both("steps", **STEPS_LIMITS)
    executions, waits = read.both("executions"), read.both("queue_waits")
    gaps = {_step_key(row): row for row in read.either("gaps", executions=SAMPLE)}
    senders = store.select(statement("senders"), {**week, "sample": SAMPLE})
    # The probability that this gives an attempt holds for executions and gaps as well.
    allowance = Allowance.of(part_of(budget_per_week, "stalled_step"), steps, now)
    flows = learn_flows(store, now - RECENT, now)
    return Calibration(
        at=now,
        steps=learn_steps(steps, allowance),
        heartbeats=learn_heartbeats(store, now - RECENT, now, SAMPLE, allowance),
        gaps={key: learned_from(row, allowance.alpha(row)) for key, row in gaps.items()},
        executions=learn_executions(executions, allowance),
        senders=_learn_senders(senders, part_of(budget_per_week, "telemetry_silence"), now),
        last_beats={row["sender"]: row["last_at"] for row in senders},
        usual_lags_s={row["sender"]: row["usual_lag_s"] for row in senders},
        retries=learn_retries(store, now),
        bursts=learn_bursts(store, now),
        trends=learn_trends(store, now, budget_per_week),
        scheduling=learn_scheduling(store, now),
        queue_waits=_of_kind("queue", waits, allowance),
        timers=_of_kind("timer", waits, allowance),
        liveness=learn_liveness(store, sample.bounds(week)),
        flows=flows,
        compensations=learn_compensations(store, now - RECENT, now, flows),
        declared=read_declared(store),
        payloads=learn_payloads(store, now - RECENT, now),
        large_histories=learn_large_histories(store),
        workflows=learn_workflows(store, now - RECENT, now),
        outcomes=learn_outcomes(store, now),
        expected={"stalled_step": allowance.expected(steps)},
        watched_s=max(allowance.watched_s, Allowance.of(0.0, executions, now).watched_s),
    )


def past(now: datetime, length: timedelta = RECENT) -> dict[str, Any]:
    """The window that statements learn from, and since when its rows were folded."""
    since = now - length
    folded_from = max(0, int((since - CLOCKS_AHEAD).timestamp() * 1e6))
    return {"from": since, "until": now, "folded_from": folded_from}


def _of_kind(kind: str, rows: Sequence[Row], allowance: Allowance) -> dict[StepKey, Learned]:
    places = by_place([row for row in rows if row["kind"] == kind], STEP)
    found = [far_enough(of_place) for of_place in places.values()]
    return {_step_key(row): learned_from(row, allowance.alpha(row)) for row in found if row}


def read_declared(store: Store) -> Declared:
    """What definitions declare now."""
    return declared_of(store.select(statement("declared")))


def statement(name: str) -> str:
    """The text of one of this room's statements."""
    path = files("detectors.calibration") / f"{name}.sql"
    return path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class _Reading:
    """Reads statements twice: of the last week, and further back for what is seldom seen."""

    store: Store
    sample: Sample
    week: Mapping[str, Any]
    far: Mapping[str, Any]
    recent: datetime

    def both(self, name: str, **more: int) -> list[Row]:
        """The rows of the last week, and those of before it."""
        earlier = {**self.far, "until": self.recent}
        return [*self._rows(name, self.week, more), *self._seldom(name, earlier, more)]

    def either(self, name: str, **more: int) -> list[Row]:
        """The rows of the last week; after them, of what is seldom seen, those of all the time."""
        return [*self._rows(name, self.week, more), *self._seldom(name, self.far, more)]

    def _seldom(self, name: str, window: Mapping[str, Any], more: Mapping[str, int]) -> list[Row]:
        return self._rows(name, window, more) if self.sample.seldom else []

    def _rows(self, name: str, window: Mapping[str, Any], more: Mapping[str, int]) -> list[Row]:
        rows = self.store.select(statement(name), {**window, "sample": SAMPLE, **more})
        return [{**row, "weight": self.sample.weight(row)} for row in rows]


def _step_key(row: Row) -> StepKey:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])


def _learn_senders(rows: Sequence[Row], budget: float, now: datetime) -> dict[str, Learned]:
    allowance = Allowance.of(budget, rows, now)
    learned = {}
    for row in rows:
        # The first delivery follows no other.
        gaps = np.asarray(row["durations_s"], dtype=np.float64)
        ascending: Floats = sorted_durations(gaps[gaps > 0])
        if len(ascending) < GAPS_MIN:
            continue
        threshold = stall_threshold(ascending, allowance.alpha(row), ratchet_s=_habitual_s(row))
        learned[row["sender"]] = Learned(threshold, Spread.of(ascending), row["lateness_s"])
    return learned


def _habitual_s(row: Row) -> float | None:
    longest = sorted(-gap_s for gap_s in row["longest_negative"])
    return RATCHET_FACTOR * longest[-RECURRENT] if len(longest) >= RECURRENT else None
