"""What became of what was called late, and what that teaches, on a real store."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from detectors.brain import Brain
from detectors.expectations import expected
from stallwatch.config import load_detectors
from stallwatch.model.events import StepEvent
from stallwatch.model.findings import Finding, Status
from stallwatch.store import Store
from stallwatch.store.labels import Label, judge_finding, labels
from stallwatch.store.state import State
from tests.detectors.test_brain import Shop

PAST = 120
CONFIG = load_detectors({"disabled": ["telemetry_silence"]}, "test")
"""Nothing else is sent meanwhile, which would be silence."""


@pytest.fixture
def shop(store: Store, now: datetime) -> Shop:
    """A shop in which charges took two seconds so far, give or take a half."""
    shop = Shop(store, now)
    events: list[StepEvent] = []
    for number in range(PAST):
        at = 10.0 * (number - PAST)
        took = 1.5 + (number % 11) / 10
        events += charged(shop, at, at + took, f"past-{number}")
    shop.tell_all(sorted(events, key=lambda one: one.time))
    return shop


def charged(shop: Shop, at: float, until: float | None, name: str) -> list[StepEvent]:
    events = [
        shop.event(at, "workflow.started", name),
        shop.event(at, "step.started", name, step="charge"),
    ]
    if until is not None:
        events += [
            shop.event(until, "step.completed", name, step="charge"),
            shop.event(until, "workflow.completed", name),
        ]
    return events


def stalls(found: Sequence[Finding]) -> list[Finding]:
    return [one for one in found if one.detector == "stalled_step"]


def told(shop: Shop, name: str, at: float) -> tuple[Brain, State, Finding]:
    """A brain that calls the charge of this execution stalled, minutes after `at`."""
    state = State(None)
    brain = Brain(shop.store, state, CONFIG, shop.start)
    shop.tell_all(charged(shop, at, None, name))
    (finding,) = stalls(brain.tick(shop.after(at + 300), only=["stalled_step"]))
    assert finding.status is Status.FIRING
    return brain, state, finding


def only(state: State) -> Label:
    (one,) = labels(state)
    return one


def test_a_late_completion_is_counted_and_raises_the_threshold(shop: Shop) -> None:
    brain, state, finding = told(shop, "slow", 0)
    shop.tell(301, "step.completed", "slow", step="charge")
    (resolved,) = stalls(brain.tick(shop.after(305), only=["stalled_step"]))
    assert resolved.status is Status.RESOLVED
    label = only(state)
    assert (label.completed_late, label.longest_s, label.is_false_alarm) == (1, 301.0, True)
    assert label.first_seen == finding.first_seen
    # 1.5 times as long is healthy now, and what takes still longer is not.
    shop.tell_all(charged(shop, 310, None, "next"))
    assert stalls(brain.tick(shop.after(310 + 440), only=["stalled_step"])) == []
    assert stalls(brain.tick(shop.after(310 + 470), only=["stalled_step"]))


def test_what_fails_after_all_was_no_false_alarm(shop: Shop) -> None:
    brain, state, _ = told(shop, "dead", 0)
    shop.tell(301, "step.failed", "dead", step="charge", error_type="E")
    brain.tick(shop.after(305), only=["stalled_step"])
    assert labels(state) == []


def test_a_retry_that_completes_in_time_was_not_what_was_late(shop: Shop) -> None:
    brain, state, _ = told(shop, "again", 0)
    shop.tell(301, "step.timed_out", "again", step="charge", attempt=1)
    shop.tell(302, "step.started", "again", step="charge", attempt=2)
    shop.tell(304, "step.completed", "again", step="charge", attempt=2)
    brain.tick(shop.after(305), only=["stalled_step"])
    assert labels(state) == []


def test_of_several_each_is_counted_when_it_completes(shop: Shop) -> None:
    state = State(None)
    brain = Brain(shop.store, state, CONFIG, shop.start)
    for name in ("a", "b"):
        shop.tell_all(charged(shop, 0, None, name))
    brain.tick(shop.after(300), only=["stalled_step"])
    shop.tell(301, "step.completed", "a", step="charge")
    brain.tick(shop.after(305), only=["stalled_step"])
    assert only(state).completed_late == 1
    shop.tell(600, "step.completed", "b", step="charge")
    brain.tick(shop.after(605), only=["stalled_step"])
    brain.tick(shop.after(610), only=["stalled_step"])
    assert (only(state).completed_late, only(state).longest_s) == (2, 600.0)


def test_feedback_ends_the_finding_and_outlives_the_calibration(shop: Shop) -> None:
    brain, state, finding = told(shop, "slow", 0)
    said_at = shop.after(301)
    judge_finding(state, finding.fingerprint, "false-alarm", note="", by="ann", at=said_at)
    (resolved,) = stalls(brain.tick(shop.after(305), only=["stalled_step"]))
    assert resolved.status is Status.RESOLVED
    brain.calibrate(shop.after(306))
    assert stalls(brain.tick(shop.after(307), only=["stalled_step"])) == []
    # 1.5 times the age at which somebody called it healthy.
    assert stalls(brain.tick(shop.after(460), only=["stalled_step"]))
    reborn = Brain(shop.store, state, CONFIG, shop.start)
    assert stalls(reborn.tick(shop.after(400), only=["stalled_step"])) != []


def test_real_teaches_nothing(shop: Shop) -> None:
    brain, state, finding = told(shop, "dead", 0)
    judge_finding(state, finding.fingerprint, "real", note="", by="ann", at=shop.after(301))
    assert stalls(brain.tick(shop.after(305), only=["stalled_step"])) == []
    assert [one.status for one in stalls(brain.findings())] == [Status.FIRING]


def test_an_acknowledgement_ends_with_the_occurrence(shop: Shop) -> None:
    brain, state, finding = told(shop, "dead", 0)
    until = shop.after(86400)
    state.acknowledge(finding.fingerprint, until=until, by="ann", at=shop.after(301))
    brain.tick(shop.after(302), only=["stalled_step"])
    assert finding.fingerprint in state.acknowledgements(shop.after(303))
    shop.tell(303, "step.failed", "dead", step="charge", error_type="E")
    brain.tick(shop.after(305), only=["stalled_step"])
    assert state.acknowledgements(shop.after(306)) == {}


def test_an_acknowledged_point_finding_stays_acknowledged(shop: Shop) -> None:
    state = State(None)
    brain = Brain(shop.store, state, CONFIG, shop.start)
    shop.tell(1, "step.started", "o-1", step="charge", attempt=1, max_attempts=1)
    shop.tell(2, "step.failed", "o-1", step="charge", attempt=1, error_type="E")
    (finding,) = brain.tick(shop.after(10), only=["retries_exhausted"])
    said_at = shop.after(20)
    judge_finding(state, finding.fingerprint, "false-alarm", note="", by="ann", at=said_at)
    (resolved,) = brain.tick(shop.after(30), only=["retries_exhausted"])
    assert resolved.status is Status.RESOLVED
    assert brain.tick(shop.after(40), only=["retries_exhausted"]) == []
    assert brain.tick(shop.after(50), only=["retries_exhausted"]) == []


def test_what_the_thresholds_cost_is_known(shop: Shop) -> None:
    state = State(None)
    assert expected(state) == {}
    config = load_detectors({"false_alarms_per_week": 1.0}, "test")
    Brain(shop.store, state, config, shop.start).calibrate(shop.after(0))
    assert expected(state)["stalled_step"] == pytest.approx(0.36, rel=0.01)
    # So few are allowed that the probability is at its floor: a millionth of the attempts of a week.
    least = load_detectors({"false_alarms_per_week": 1e-6}, "test")
    Brain(shop.store, state, least, shop.start).calibrate(shop.after(0))
    # A step that is seen seldom may cost a little of its own.
    assert expected(state)["stalled_step"] == pytest.approx(0.0605, rel=0.01)
