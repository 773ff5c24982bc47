"""What is learned of the past: from a real store, and the arithmetic on its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from detectors.calibration import Calibration, learn
from detectors.calibration.heartbeats import learn_heartbeats
from detectors.calibration.learned import EVERY_VERSION
from detectors.calibration.learning import past, statement
from detectors.calibration.rows import Allowance
from detectors.calibration.sampling import Sample
from detectors.calibration.steps import STEPS_LIMITS, learned_from
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store

PLACE = ("default", "custom", "order", "charge")
WHOLE = Sample(1.0)


def window(now: datetime) -> dict[str, Any]:
    return {**WHOLE.bounds(past(now)), "sample": 1000}


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
    assert set(after_reserve.rest_percentiles_s) == {9.5}
    assert known.gaps[(*PLACE[:3], "")].spread.median_s == 0.5
    few = store.select(statement("gaps"), {**window(now), "executions": 10})
    assert {row["n"] for row in few if row["step"] == ""} == {10}
    # Behind the first attempt the pause, behind the second the end.
    assert known.gaps[PLACE].spread.n == 200
    assert known.executions[PLACE[:3]][EVERY_VERSION].spread.median_s == 11.0


def test_constant_durations_have_a_limit_just_above_them(store: Store, now: datetime) -> None:
    limit_s = learnt(store, now, 100).steps[PLACE][EVERY_VERSION].limit_s
    assert limit_s is not None
    assert 3.0 <= limit_s < 10.0


def test_late_news_are_allowed_for(store: Store, now: datetime) -> None:
    known = learnt(store, now, 100, late_s=30.0)
    assert known.steps[PLACE][EVERY_VERSION].slack_s == pytest.approx(30.0)
    assert known.lateness_s(PLACE) == pytest.approx(30.0)
    assert known.lateness_s((*PLACE[:3], "unknown")) == pytest.approx(30.0)


def test_news_that_always_come_late_are_waited_for(store: Store, now: datetime) -> None:
    """A queue in between that is half an hour behind: beginnings and ends come as far apart as they happened."""
    known = learnt(store, now, 100, late_s=1800.0)
    assert known.lateness_s(PLACE) == pytest.approx(1800.0)
    assert known.senders["shop"].lateness_s == pytest.approx(1800.0, abs=1.0)


def test_a_past_that_is_told_afterwards_is_no_late_news(store: Store, now: datetime) -> None:
    """Someone fills in three hours before the first live event, at once, request by request."""
    events = [event for number in range(100) for event in order(now - timedelta(hours=3), number)]
    told_at = [now + timedelta(milliseconds=100 * number) for number in range(len(events))]
    store.insert_events(events, told_at, "shop")
    later = told_at[-1] + timedelta(seconds=1)
    store.fold(later)
    known = learn(store, later, 1.0)
    assert known.steps[PLACE][EVERY_VERSION].spread.n == 100
    assert known.lateness_s(PLACE) == 0.0
    assert known.executions[PLACE[:3]][EVERY_VERSION].lateness_s == 0.0
    assert known.senders["shop"].lateness_s == 0.0


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


def hung(start: datetime, number: int, seconds: float) -> list[StepEvent]:
    """A charge that somebody cancelled after so many seconds."""
    name = f"hung-{number}"
    course = ((0, "workflow.started"), (1, "step.started"), (1 + seconds, "step.cancelled"))
    return [
        told(start + timedelta(seconds=at), event, name, **step_of(event)) for at, event in course
    ]


def step_of(event: str) -> dict[str, str]:
    return {"step": "charge"} if event.startswith("step.") else {}


def test_hangs_are_seen_and_taken_for_hangs(store: Store, now: datetime) -> None:
    start = now - timedelta(hours=20)
    healthy = [
        event
        for number in range(400)
        for event in (
            told(start + timedelta(seconds=number), "workflow.started", f"o-{number}"),
            told(start + timedelta(seconds=number), "step.started", f"o-{number}", step="charge"),
            told(
                start + timedelta(seconds=number + 1 + 2 * (number % 100) / 100),
                "step.completed", f"o-{number}", step="charge",
            ),
        )
    ]  # fmt: skip
    hangs = [event for number in range(4) for event in hung(start, number, 3600.0 * (number + 1))]
    open_now = [
        told(start, event, "open", **step_of(event))
        for event in ("workflow.started", "step.started")
    ]
    events = [*healthy, *hangs, *open_now]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    (row,) = store.select(statement("steps"), {**window(now), **STEPS_LIMITS})
    assert (row["n"], row["censored"]) == (400, 5)
    assert sorted(row["censored_s"]) == [3600.0, 7200.0, 10800.0, 14400.0, 72000.0]
    beside = learned_from(row, 1e-5).threshold.seconds
    alone = learned_from({**row, "censored_s": [], "censored": 0}, 1e-5).threshold.seconds
    assert beside is not None
    assert alone is not None
    assert alone <= beside < 1.5 * alone


def test_runs_that_are_alike_inside_an_execution_raise_the_threshold() -> None:
    random = np.random.RandomState(5)
    sizes = np.exp(0.8 * random.standard_normal((10, 1)))
    durations = sizes * np.exp(0.2 * random.standard_normal((10, 30)))
    start = datetime(2026, 1, 5, tzinfo=UTC)
    row = {
        "n": 300, "durations_s": durations.ravel(), "longest_live_s": 0.0, "lateness_s": 0.0,
        "first_at": start, "last_at": start + timedelta(days=7),
    }  # fmt: skip
    alike = [(execution, one) for execution, runs in enumerate(durations) for one in runs]
    plain, raised = (learned_from(r, 3.6e-5) for r in (row, {**row, "by_execution": alike}))
    assert plain.correlation == 1.0
    assert raised.correlation > 1.2
    assert plain.threshold.seconds is not None
    assert raised.threshold.seconds == pytest.approx(plain.threshold.seconds * raised.correlation)


def test_loops_are_told_by_execution(store: Store, now: datetime) -> None:
    events = []
    for number in range(5):
        start = now - timedelta(hours=number + 1)
        events.append(told(start, "workflow.started", f"o-{number}"))
        for run in range(3):
            begin = start + timedelta(seconds=10 * run)
            said = {"step": "charge", "step_run_id": f"{run}"}
            events.append(told(begin, "step.started", f"o-{number}", **said))
            end = begin + timedelta(seconds=number + 1)
            events.append(told(end, "step.completed", f"o-{number}", **said))
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    (row,) = store.select(statement("steps"), {**window(now), **STEPS_LIMITS})
    assert (row["n"], row["executions"]) == (15, 5)
    durations = sorted(duration for _, duration in row["by_execution"])
    assert durations == sorted([1.0, 2.0, 3.0, 4.0, 5.0] * 3)
    (few,) = store.select(statement("steps"), {**window(now), **STEPS_LIMITS, "alike": 4})
    assert few["by_execution"] == []


def test_the_pauses_between_heartbeats_are_learned(store: Store, now: datetime) -> None:
    events = []
    for number in range(20):
        start = now - timedelta(hours=number + 1)
        course = [(0, "workflow.started"), (0, "step.started")]
        course += [(100 + 10 * beat, "step.heartbeat") for beat in range(5)]
        course += [(145, "step.completed"), (500, "step.started"), (600, "step.completed")]
        events += [
            told(start + timedelta(seconds=at), event, f"o-{number}", **step_of(event))
            for at, event in course
        ]
    store.insert_events(events, [event.time for event in events], "shop")
    store.insert_events(events[:50], [event.time for event in events[:50]], "shop")
    store.fold(now)
    learnt_of = learn_heartbeats(store, now - timedelta(days=7), now, 1000, Allowance(0.36, 1000.0))
    pauses = learnt_of[PLACE].spread
    # Four between five beats and the one before the end; neither what came before nor what came after.
    assert (pauses.n, pauses.median_s, pauses.longest_s) == (100, 10.0, 10.0)
    few = learn_heartbeats(store, now - timedelta(hours=2), now, 1000, Allowance(0.36, 1000.0))
    assert few == {}


def test_an_empty_store_teaches_nothing(store: Store, now: datetime) -> None:
    known = learn(store, now, 1.0)
    assert (known.steps, known.gaps, known.executions, known.senders) == ({}, {}, {}, {})
    assert known.heartbeats == {}
    assert known.step(PLACE, "") is None
    assert known.lateness_s(PLACE) == 0.0
