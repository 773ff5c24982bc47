"""An attempt is not late because its poller is: what was asked for is judged as of the last look."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import overdue_execution, stalled_execution
from detectors.brain import Brain
from detectors.calibration.learned import EVERY_VERSION
from detectors.looks import last_looks
from stallwatch.config import load_detectors
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Status
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.detectors.support import NAMES, ago, calibration, context, learned, tick

TEMPORAL = "poll:temporal"


class Polled:
    """A store that a poller fills; times are seconds after `start`."""

    def __init__(self, store: Store, start: datetime) -> None:
        self.store = store
        self.start = start
        self.brain = Brain(store, State(None), load_detectors({}, "test"), start)

    def after(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def find(self, at_s: float, event: str, received_s: float, sender: str = TEMPORAL) -> None:
        """What a look brings: something that happened at one time, received at another."""
        data: dict[str, Any] = {"event": event, "workflow": "order", "execution_id": "o-1"}
        data["engine"] = "temporal"
        if event.startswith("step."):
            data |= {"step": "charge", "step_run_id": "5"}
        if event == "step.started":
            data |= {"timeout_s": 120.0}
        received_at = self.after(received_s)
        told = event_from_dict({**data, "time": self.after(at_s).isoformat()}, received_at)
        self.store.insert_events([told], received_at, sender, "history")
        self.store.fold(received_at)

    def look(self, began_s: float, took_s: float = 1.0) -> None:
        ended_at = self.after(began_s + took_s)
        self.store.note_look(TEMPORAL, "default", self.after(began_s), ended_at)

    def firing(self, at_s: float) -> list[str]:
        self.brain.tick(self.after(at_s))
        return [one.detector for one in self.brain.findings() if one.status is Status.FIRING]


@pytest.fixture
def polled(store: Store, now: datetime) -> Polled:
    """A charge that may take two minutes, seen at work; the last look began at 60 s."""
    polled = Polled(store, now)
    polled.find(0, "workflow.started", 10.5)
    polled.find(5, "step.started", 10.5)
    for second in range(10, 70, 10):
        polled.look(second)
    return polled


def test_while_the_poller_is_away_nothing_grows_late(polled: Polled) -> None:
    for at_s in (100, 200, 660):
        assert polled.firing(at_s) == []
    # The first look after ten minutes brings what ended meanwhile, and is not over before that is committed.
    polled.find(100, "step.completed", 662)
    assert polled.firing(663) == []
    polled.look(661, took_s=4.0)
    assert polled.firing(664) == []
    assert polled.firing(670) == []


def test_what_is_still_open_at_the_next_look_is_late(polled: Polled) -> None:
    assert polled.firing(660) == []
    polled.look(661)
    assert polled.firing(670) == ["stalled_step"]


def test_while_the_poller_is_alive_a_stall_is_told(polled: Polled) -> None:
    for second in range(70, 150, 10):
        polled.look(second)
    assert polled.firing(120) == []
    assert polled.firing(151) == ["stalled_step"]
    # And stays, if the poller goes away then.
    assert polled.firing(900) == ["stalled_step"]


def test_what_was_pushed_is_judged_as_of_now(polled: Polled) -> None:
    """The same attempt, of which a sender that is told spoke last."""
    polled.find(50, "step.heartbeat", 61, sender="workers")
    assert polled.firing(400) == ["stalled_step"]


def test_before_the_first_look_is_over_nothing_is_judged(store: Store, now: datetime) -> None:
    polled = Polled(store, now)
    polled.find(-900, "step.started", 1)
    assert polled.firing(5) == []
    polled.look(0, took_s=6.0)
    assert polled.firing(7) == ["stalled_step"]


def test_only_looks_that_are_over_count(store: Store, now: datetime) -> None:
    polled = Polled(store, now)
    polled.look(10, took_s=5.0)
    polled.look(20, took_s=5.0)
    polled.find(0, "workflow.started", 22)
    store.note_rejected(TEMPORAL, "default", polled.after(23), 3)
    store.note_rejected("shop", "default", polled.after(23), 0)
    assert last_looks(store, polled.after(24)) == {TEMPORAL: polled.after(10)}
    assert last_looks(store, polled.after(25)) == {TEMPORAL: polled.after(20)}


def test_a_look_that_finds_nothing_is_heard_of(store: Store, now: datetime) -> None:
    polled = Polled(store, now)
    polled.find(0, "workflow.started", 3)
    polled.look(10, took_s=5.0)
    store.note_rejected("shop", "default", polled.after(30), 0)
    rows = store.select("SELECT sender, last_received_at, lag_s FROM ingest_health ORDER BY sender")
    assert [tuple(row.values()) for row in rows] == [
        (TEMPORAL, polled.after(15), 3.0),
        ("shop", polled.after(30), 0.0),
    ]


STILL: dict[str, Any] = {
    **NAMES,
    "step": "charge",
    "execution_id": "o-1",
    "workflow_version": "",
    "sender": TEMPORAL,
    "last_progress_at": ago(300),
    "retry_due_at": None,
    "started_at": ago(300),
    "last_step": "charge",
    "open_steps": 0,
    "timeout_s": None,
    "parent_execution_id": "",
    "waited_s": 0.0,
    "taken_s": {},
    "attempt": 0,
}


@pytest.mark.parametrize("detector", [stalled_execution, overdue_execution])
def test_executions_are_judged_as_of_the_last_look_too(detector: Any) -> None:
    for looked_s, is_late in ((299, False), (5, True)):
        seen = detector.judge(tick(), [STILL], context(looks={TEMPORAL: ago(looked_s)}))
        assert bool(seen) is is_late
    assert detector.judge(tick(), [STILL], context()) == []
    assert detector.judge(tick(), [{**STILL, "sender": "shop"}], context())


@pytest.mark.parametrize("detector", [stalled_execution, overdue_execution])
def test_what_spans_told_last_is_judged_as_of_the_last_look_while_its_engine_is_asked(
    detector: Any,
) -> None:
    """Spans do not tell that an execution waits for a signal; after an hour of silence nobody will say it."""
    spans = {**STILL, "sender": "shop", "last_progress_at": ago(7200), "started_at": ago(7200)}
    for looked_s, is_late in ((7199, True), (3700, True), (60, True)):
        asked = context(looks={"poll:custom": ago(looked_s)})
        assert bool(detector.judge(tick(), [spans], asked)) is is_late
    young = {**STILL, "sender": "shop"}
    assert detector.judge(tick(), [young], context(looks={"poll:custom": ago(299)})) == []
    assert detector.judge(tick(), [young], context(looks={"poll:other": ago(299)}))


@pytest.mark.parametrize("detector", [stalled_execution, overdue_execution])
def test_a_pause_that_one_road_declares_is_kept_whichever_told_of_the_last_attempt(
    detector: Any, store: Store, now: datetime
) -> None:
    """While the poller is away, spans tell of further attempts, without the retry policy."""

    def tell(at_s: float, event: str, road: str, **fields: Any) -> None:
        at = now + timedelta(seconds=at_s)
        data = {"event": event, "workflow": "order", "execution_id": "o-1", "time": at.isoformat()}
        data |= {"engine": "temporal", "run_id": "r"}
        store.insert_events([event_from_dict({**data, **fields}, at)], at, "shop", road)

    step = {"step": "charge", "step_run_id": "5"}
    tell(0, "workflow.started", "history")
    for attempt, road, declared in (
        (1, "history", {"backoff_s": 300.0, "backoff_rate": 1.0}),
        (2, "span", {}),
    ):
        at_s = 300.0 * (attempt - 1)
        tell(at_s, "step.started", road, attempt=attempt, **step, **declared)
        tell(at_s + 1, "step.failed", road, attempt=attempt, error_type="Busy", **step)
    place = ("default", "temporal", "order", "charge")
    known = calibration(gaps={place: learned()}, executions={place[:3]: {EVERY_VERSION: learned()}})
    for at_s, told in ((500, False), (1000, True)):
        until = now + timedelta(seconds=at_s)
        store.fold(until)
        asked, about = tick(until, now), context(calibration=known)
        rows = store.select(detector.DETECTOR.sql, detector.DETECTOR.parameters(asked, about))
        assert bool(detector.judge(asked, rows, about)) is told
    [row] = rows
    if detector is stalled_execution:
        assert row["retry_due_at"] == now + timedelta(seconds=601)
    else:
        assert row["waited_s"] == pytest.approx(300 + 300)


def test_the_age_that_is_told_is_that_of_the_look() -> None:
    [found] = stalled_execution.judge(tick(), [STILL], context(looks={TEMPORAL: ago(100)}))
    assert found.evidence["age_s"] == 200
