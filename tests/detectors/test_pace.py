"""A slow detector is skipped and rests; the others are asked as before."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from detectors.brain import Brain
from detectors.pace import REST, Pace
from detectors.registry import DETECTORS
from stallwatch.clock import ManualClock
from stallwatch.config import load_detectors
from stallwatch.errors import StoreOverBudget
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from stallwatch.store.state import State

EVERY_S = {one.id: one.every_s for one in DETECTORS}


def test_each_is_due_at_its_own_tick_length(now: datetime) -> None:
    pace = Pace(ManualClock(now), NoOpMeter("test"))
    assert set(pace.due(now)) == set(EVERY_S)
    pace.asked(pace.due(now), now)
    assert pace.due(now) == []
    fast = min(EVERY_S.values())
    due = pace.due(now + timedelta(seconds=fast))
    assert set(due) == {name for name, every_s in EVERY_S.items() if every_s <= fast}


def test_who_takes_long_rests_longer(now: datetime) -> None:
    clock = ManualClock(now)
    pace = Pace(clock, NoOpMeter("test"))
    with pace.timing("stalled_step"):
        clock.advance(4)
    pace.asked(["stalled_step", "event_gap"], now)
    assert "event_gap" in pace.due(now + timedelta(seconds=EVERY_S["event_gap"]))
    assert "stalled_step" not in pace.due(now + timedelta(seconds=4 * REST - 1))
    assert "stalled_step" in pace.due(now + timedelta(seconds=4 * REST))


class Skips(Pace):
    """Remembers what was skipped."""

    def __init__(self, now: datetime) -> None:
        super().__init__(ManualClock(now), NoOpMeter("test"))
        self.told: list[str] = []

    def skipped(self, detector: str) -> None:
        self.told.append(detector)


def hang(store: Store, at: datetime) -> None:
    for event, step in (("workflow.started", ""), ("step.started", "charge")):
        said = {
            "event": event,
            "time": at,
            "workflow": "order",
            "execution_id": "o-1",
            "step": step,
        }
        more = {"timeout_s": 60.0 if step else 90.0}
        store.insert_events([event_from_dict({**said, **more}, at)], at, "test")
    store.fold(at)


def test_over_its_budget_a_detector_keeps_its_findings_and_they_explain_on(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The execution is overdue too, but that is what its hung step explains, asked or not."""
    select = store.select

    def slow(sql: str, parameters: Mapping[str, Any], budget_s: float | None = None) -> Any:
        if "open_attempt" in sql and "silence_s" in sql:
            raise StoreOverBudget("too slow")
        return select(sql, parameters, budget_s)

    skips = Skips(now)
    brain = Brain(store, State(None), load_detectors({}, "test"), now, skips)
    brain.calibrate(now)
    hang(store, now)
    (first,) = brain.tick(now + timedelta(minutes=5), ["stalled_step", "overdue_execution"])
    assert first.detector == "stalled_step"
    monkeypatch.setattr(store, "select", slow)
    assert brain.tick(now + timedelta(minutes=6), ["stalled_step", "overdue_execution"]) == []
    assert skips.told == ["stalled_step"]
    assert [one.detector for one in brain.findings()] == ["stalled_step"]


def test_what_a_detector_over_its_budget_never_told_is_told_by_another(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = store.select

    def slow(sql: str, parameters: Mapping[str, Any], budget_s: float | None = None) -> Any:
        if "open_attempt" in sql and "silence_s" in sql:
            raise StoreOverBudget("too slow")
        return select(sql, parameters, budget_s)

    brain = Brain(store, State(None), load_detectors({}, "test"), now, Skips(now))
    brain.calibrate(now)
    hang(store, now)
    monkeypatch.setattr(store, "select", slow)
    (found,) = brain.tick(now + timedelta(minutes=5), ["stalled_step", "overdue_execution"])
    assert found.detector == "overdue_execution"


def test_a_statement_over_its_budget_is_stopped(store: Store) -> None:
    with pytest.raises(StoreOverBudget):
        store.select(
            "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1", {}, 0.2
        )
