"""What is learned of the past: from a real store, and the arithmetic on its own."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors.calibration import Calibration, learn
from detectors.calibration.learned import EVERY_VERSION
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store

PLACE = ("default", "custom", "order", "charge")


def told(at: datetime, event: str, execution_id: str, **said: Any) -> StepEvent:
    data = {"event": event, "time": at, "workflow": "order", "execution_id": execution_id}
    return event_from_dict({**data, **said}, at)


def order(start: datetime, number: int, version: str = "") -> list[StepEvent]:
    """Reserve for 1 s, stand still for 4 s, charge in two attempts of 2 s with a pause of 1 s."""
    name = f"o-{number}"
    begin = start + timedelta(seconds=60 * number)
    course: list[tuple[float, str, dict[str, Any]]] = [
        (0, "workflow.started", {}),
        (0.5, "step.started", {"step": "reserve"}),
        (1.5, "step.completed", {"step": "reserve"}),
        (5.5, "step.started", {"step": "charge", "attempt": 1}),
        (7.5, "step.failed", {"step": "charge", "attempt": 1}),
        (8.5, "step.started", {"step": "charge", "attempt": 2}),
        (10.5, "step.completed", {"step": "charge", "attempt": 2}),
        (11, "workflow.completed", {}),
    ]
    return [
        told(begin + timedelta(seconds=at), event, name, workflow_version=version, **said)
        for at, event, said in course
    ]


def learnt(store: Store, now: datetime, n: int, late_s: float = 0.0, **more: Any) -> Calibration:
    start = now - timedelta(hours=3)
    events = [event for number in range(n) for event in order(start, number)]
    received = [event.time + timedelta(seconds=late_s) for event in events]
    store.insert_events(events, received, "shop", **more)
    store.fold(now)
    return learn(store, now, 1.0)


def test_completed_attempts_gaps_and_executions_are_learned(store: Store, now: datetime) -> None:
    known = learnt(store, now, 100)
    charge = known.steps[PLACE][EVERY_VERSION]
    assert (charge.spread.n, charge.spread.median_s) == (100, 2.0)
    after_reserve = known.gaps[(*PLACE[:3], "reserve")]
    assert (after_reserve.spread.n, after_reserve.spread.median_s) == (100, 4.0)
    assert after_reserve.rest_s == 9.5
    assert known.gaps[(*PLACE[:3], "")].spread.median_s == 0.5
    # Behind the first attempt the pause, behind the second the end.
    assert known.gaps[PLACE].spread.n == 200
    assert known.executions[PLACE[:3]].spread.median_s == 11.0


def test_constant_durations_have_a_limit_just_above_them(store: Store, now: datetime) -> None:
    limit_s = learnt(store, now, 100).steps[PLACE][EVERY_VERSION].limit_s
    assert limit_s is not None
    assert 3.0 <= limit_s < 10.0


def test_late_news_are_allowed_for(store: Store, now: datetime) -> None:
    known = learnt(store, now, 100, late_s=30.0)
    assert known.steps[PLACE][EVERY_VERSION].slack_s == pytest.approx(30.0)
    assert known.lateness_s(PLACE) == pytest.approx(30.0)
    assert known.lateness_s((*PLACE[:3], "unknown")) == pytest.approx(30.0)


def test_history_is_learned_from_but_its_lateness_is_not(store: Store, now: datetime) -> None:
    known = learnt(store, now, 100, late_s=3600.0, historical=True)
    assert known.steps[PLACE][EVERY_VERSION].spread.n == 100
    assert known.lateness_s(PLACE) == 0.0
    assert known.senders == {}


def test_the_retry_ratio_is_learned(store: Store, now: datetime) -> None:
    assert learnt(store, now, 100).retries[PLACE].ratio == pytest.approx(1.0, abs=0.01)


def test_a_sender_is_learned_from_fifty_gaps_on(store: Store, now: datetime) -> None:
    assert learnt(store, now, 5).senders == {}


def test_the_gaps_of_a_sender_are_between_its_deliveries(store: Store, now: datetime) -> None:
    known = learnt(store, now, 100)
    gaps = known.senders["shop"]
    # What is known of a sender is known to the second.
    assert gaps.spread.longest_s == pytest.approx(49.0, abs=1.0)
    # So long a pause comes every minute: it is a habit.
    assert gaps.threshold.seconds is not None
    assert gaps.threshold.seconds >= 1.5 * 49.0
    assert known.last_beats["shop"] == now - timedelta(hours=3) + timedelta(seconds=99 * 60 + 11)


def test_an_empty_store_teaches_nothing(store: Store, now: datetime) -> None:
    known = learn(store, now, 1.0)
    assert known == Calibration(at=now)
    assert known.step(PLACE, "") is None
    assert known.lateness_s(PLACE) == 0.0
