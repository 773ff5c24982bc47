"""A detector that is slow is skipped and rests, one that fails is told; the others are asked as before."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from detectors import stalled_step
from detectors.brain import Brain
from detectors.pace import REST, Pace
from detectors.registry import DETECTORS
from stallwatch.clock import ManualClock
from stallwatch.config import load_detectors
from stallwatch.errors import StoreOverBudget, StoreUnavailable
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


def say(store: Store, at: datetime, execution_id: str, event: str, **more: Any) -> None:
    said = {"event": event, "time": at, "workflow": "order", "execution_id": execution_id}
    store.insert_events([event_from_dict({**said, **more}, at)], at, "test")
    store.fold(at)


def hang(store: Store, at: datetime) -> None:
    say(store, at, "o-1", "workflow.started", timeout_s=90.0)
    say(store, at, "o-1", "step.started", step="charge", timeout_s=60.0)


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


def test_one_that_fails_holds_up_no_other(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its findings stay and explain on; it is told that it fails, once for each way, and that it works again."""
    caplog.set_level("INFO", "detectors.pace")
    pace = Pace(ManualClock(now), NoOpMeter("test"))
    brain = Brain(store, State(None), load_detectors({}, "test"), now, pace)
    brain.calibrate(now)
    hang(store, now)
    asked = ["stalled_step", "overdue_execution"]
    (first,) = brain.tick(now + timedelta(minutes=5), asked)
    broken = replace(stalled_step.DETECTOR, judge=lambda *_: [][0])
    failing = [broken if one.id == broken.id else one for one in DETECTORS]
    say(store, now + timedelta(minutes=5), "o-2", "workflow.started", timeout_s=20.0)
    with monkeypatch.context() as patched:
        patched.setattr("detectors.brain.DETECTORS", failing)
        for minute in (6, 7):
            found = brain.tick(now + timedelta(minutes=minute), asked)
            assert [one.detector for one in found] == ["overdue_execution"] * (minute == 6)
        assert pace.failing == {"stalled_step": "IndexError: list index out of range"}
        # Who asks once is not to take silence for health.
        alone = Brain(store, State(None), load_detectors({}, "test"), now)
        with pytest.raises(IndexError):
            alone.tick(now + timedelta(minutes=7), asked)
    assert first.fingerprint in {one.fingerprint for one in brain.findings()}
    brain.tick(now + timedelta(minutes=8), asked)
    assert pace.failing == {}
    assert [one.message for one in caplog.records] == ["detector fails", "detector works again"]


def test_what_a_silent_sender_hides_stays_hidden_when_silence_cannot_be_told(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(ManualClock(now), NoOpMeter("test"))
    brain = Brain(store, State(None), load_detectors({}, "test"), now, pace)
    for second in range(80):
        say(store, now + timedelta(seconds=second), f"e-{second}", "workflow.completed")
    hang(store, now + timedelta(seconds=80))
    brain.calibrate(now + timedelta(seconds=81))
    brain.tick(now + timedelta(minutes=5))
    hidden = {"telemetry_silence": "firing", "stalled_step": "unknown"}
    assert {one.detector: one.status.value for one in brain.findings()} == hidden

    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    failing = [
        replace(one, judge=broken) if one.id == "telemetry_silence" else one for one in DETECTORS
    ]
    monkeypatch.setattr("detectors.brain.DETECTORS", failing)
    brain.tick(now + timedelta(minutes=6))
    assert {one.detector: one.status.value for one in brain.findings()} == hidden


def test_that_the_store_is_away_is_no_fault_of_a_detector(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(ManualClock(now), NoOpMeter("test"))
    brain = Brain(store, State(None), load_detectors({}, "test"), now, pace)
    brain.calibrate(now)

    def away(*_: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store, "select", away)
    with pytest.raises(StoreUnavailable):
        brain.tick(now + timedelta(minutes=5))
    assert pace.failing == {}


def test_a_statement_over_its_budget_is_stopped(store: Store) -> None:
    with pytest.raises(StoreOverBudget):
        store.select(
            "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1", {}, 0.2
        )
