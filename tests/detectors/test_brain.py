"""The brain on a real store: what it remembers, copies, raises and gives up."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from detectors.brain import Brain
from stallwatch.config import load_detectors
from stallwatch.errors import StoreUnavailable
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Finding, Status
from stallwatch.store import Store
from stallwatch.store.labels import judge_finding
from stallwatch.store.state import State


class Shop:
    """Writes events of orders into a store; times are seconds after `start`."""

    def __init__(self, store: Store, start: datetime) -> None:
        self.store = store
        self.start = start

    def event(self, at_s: float, event: str, execution_id: str, **said: Any) -> StepEvent:
        when = self.after(at_s)
        data = {"event": event, "time": when, "workflow": "order", "execution_id": execution_id}
        return event_from_dict({**data, **said}, when)

    def tell(self, at_s: float, event: str, execution_id: str = "o-1", **said: Any) -> None:
        self.tell_all([self.event(at_s, event, execution_id, **said)])

    def tell_all(self, events: Sequence[StepEvent]) -> None:
        self.store.insert_events(events, [event.time for event in events], "shop")
        self.store.fold(events[-1].time)

    def after(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)


@pytest.fixture
def shop(store: Store, now: datetime) -> Shop:
    return Shop(store, now)


def hang(shop: Shop) -> None:
    """A charge that declares ten seconds and does not come back."""
    shop.tell(0, "workflow.started")
    shop.tell(1, "step.started", step="charge", timeout_s=10)


def stored(store: Store) -> list[tuple[str, int]]:
    rows = store.select("SELECT status, number FROM finding_log FINAL ORDER BY number")
    return [(row["status"], row["number"]) for row in rows]


def fires(found: Sequence[Finding]) -> list[str]:
    return [one.detector for one in found if one.status is Status.FIRING]


def test_a_stall_fires_is_copied_and_resolves(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    hang(shop)
    assert brain.tick(shop.after(5)) == []
    (finding,) = brain.tick(shop.after(20))
    assert (finding.detector, finding.first_seen) == ("stalled_step", shop.after(20))
    assert brain.tick(shop.after(25)) == []
    assert brain.findings()[0].last_seen == shop.after(25)
    shop.tell(28, "step.completed", step="charge")
    (resolved,) = brain.tick(shop.after(30))
    assert (resolved.status, resolved.number) == (Status.RESOLVED, 2)
    assert brain.findings() == []
    assert stored(shop.store) == [("firing", 1), ("resolved", 2)]


def test_what_nobody_listened_to_is_known_at_once(shop: Shop, now: datetime) -> None:
    """Not only when all is learned anew: collectors on other machines come and go."""
    brain = Brain(shop.store, State(None), load_detectors({"gap_confirm": "60s"}, "test"), now)
    shop.tell(0, "workflow.started", sequence=0)
    shop.tell(10, "step.started", step="charge", sequence=2)
    assert fires(brain.tick(shop.after(12))) == []
    shop.store.note_away(shop.after(15), shop.after(200))
    # It has been there to be heard for 25 s, and for 65 s.
    assert fires(brain.tick(shop.after(220), ["event_gap"])) == []
    assert fires(brain.tick(shop.after(260), ["event_gap"])) == ["event_gap"]


def test_the_copy_of_what_goes_on_is_never_old(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    hang(shop)
    for at_s in (20, 25, 55):
        brain.tick(shop.after(at_s))
    rows = shop.store.select("SELECT last_seen, explanation FROM findings")
    assert [row["last_seen"] for row in rows] == [shop.after(55)]
    assert "for 54s" in rows[0]["explanation"]


def test_a_transition_that_was_not_copied_is_copied_later(
    shop: Shop, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path / "state.sqlite")
    brain = Brain(shop.store, state, load_detectors({}, "test"), now)
    hang(shop)

    def away(findings: Sequence[Finding], now: datetime) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "write_findings", away)
        with pytest.raises(StoreUnavailable):
            brain.tick(shop.after(20))
    assert stored(shop.store) == []
    assert [one.status for one in state.findings()] == [Status.FIRING]
    # A brain that starts anew on the same state file, as after a crash.
    state.close()
    again = State(tmp_path / "state.sqlite")
    reborn = Brain(shop.store, again, load_detectors({}, "test"), now)
    assert reborn.tick(shop.after(25)) == []
    assert stored(shop.store) == [("firing", 1)]
    again.close()


def test_only_some_detectors_leave_the_findings_of_others_alone(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    hang(shop)
    brain.tick(shop.after(20))
    shop.tell(28, "step.completed", step="charge")
    assert brain.tick(shop.after(30), only=["event_gap"]) == []
    assert fires(brain.findings()) == ["stalled_step"]
    assert len(brain.tick(shop.after(31), only=["stalled_step"])) == 1


def test_what_a_finding_explained_is_told_when_that_one_ends(shop: Shop, now: datetime) -> None:
    """Though it is not the other detector's turn: who is told would take the one's end for the end of the trouble."""
    policy = {"policy": [{"workflow": "order", "max_duration": "15s"}]}
    brain = Brain(shop.store, State(None), load_detectors(policy, "test"), now)
    hang(shop)
    brain.tick(shop.after(20))
    assert fires(brain.findings()) == ["stalled_step"]
    shop.tell(28, "step.completed", step="charge")
    shop.tell(29, "step.started", step="ship")
    brain.tick(shop.after(30), only=["stalled_step"])
    assert fires(brain.findings()) == ["overdue_execution"]


def test_a_detector_that_is_switched_off_takes_its_findings_back(shop: Shop, now: datetime) -> None:
    state = State(None)
    hang(shop)
    Brain(shop.store, state, load_detectors({}, "test"), now).tick(shop.after(20))
    off = load_detectors({"disabled": ["stalled_step"]}, "test")
    (resolved,) = Brain(shop.store, state, off, now).tick(shop.after(25))
    assert resolved.status is Status.RESOLVED


def give_up(shop: Shop, at_s: float, execution_id: str) -> None:
    shop.tell(at_s, "workflow.started", execution_id)
    shop.tell(at_s + 1, "step.started", execution_id, step="charge", attempt=1, max_attempts=1)
    shop.tell(at_s + 2, "step.failed", execution_id, step="charge", attempt=1, error_type="E")


def test_an_acknowledged_point_finding_is_over_until_it_happens_again(
    shop: Shop, now: datetime
) -> None:
    state = State(None)
    brain = Brain(shop.store, state, load_detectors({}, "test"), now)
    give_up(shop, 0, "o-1")
    (finding,) = brain.tick(shop.after(10))
    later = shop.after(7200)
    state.acknowledge(finding.fingerprint, until=later, by="ann", at=shop.after(20))
    (resolved,) = brain.tick(shop.after(30))
    assert resolved.status is Status.RESOLVED
    give_up(shop, 40, "o-2")
    (again,) = brain.tick(shop.after(50))
    assert (again.status, again.first_seen, again.number) == (Status.FIRING, shop.after(50), 3)


def test_nothing_that_happened_before_the_watch_is_told(shop: Shop, now: datetime) -> None:
    give_up(shop, 0, "o-1")
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), shop.after(10))
    assert brain.tick(shop.after(20)) == []


def test_imported_history_never_fires(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    when = shop.after(1)
    said = {"workflow": "order", "execution_id": "o-1", "time": when}
    started = event_from_dict(
        {**said, "event": "step.started", "step": "charge", "timeout_s": 10}, when
    )
    shop.store.insert_events([started], when, "import", historical=True)
    shop.store.fold(when)
    assert brain.tick(shop.after(3600)) == []


def test_a_false_alarm_raises_the_threshold_at_once(shop: Shop, now: datetime) -> None:
    shop.tell_all(
        [
            shop.event(at_s + number, event, f"past-{number}", step="charge")
            for number in range(40)
            for at_s, event in ((-1000, "step.started"), (-999, "step.completed"))
        ]
    )
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    brain.calibrate(now)
    shop.tell(0, "step.started", step="charge")
    assert fires(brain.tick(shop.after(2000), only=["stalled_step"])) == ["stalled_step"]
    shop.tell(2010, "step.completed", step="charge")
    (over,) = brain.tick(shop.after(2020), only=["stalled_step"])
    assert over.status is Status.RESOLVED
    shop.tell(2021, "step.started", "o-2", step="charge")
    # 1.5 times what the false alarm took, and a little for the news to arrive.
    assert brain.tick(shop.after(2021 + 3014), only=["stalled_step"]) == []
    late = brain.tick(shop.after(2021 + 3017), only=["stalled_step"])
    assert [one.executions for one in late] == [("o-2",)]


def test_what_somebody_called_healthy_is_not_called_late_by_another(
    shop: Shop, now: datetime
) -> None:
    shop.tell_all(
        [
            shop.event(at_s + number, event, f"past-{number}", **step)
            for number in range(40)
            for at_s, event, step in (
                (-1000, "workflow.started", {}),
                (-1000, "step.started", {"step": "charge"}),
                (-999, "step.completed", {"step": "charge"}),
                (-999, "workflow.completed", {}),
            )
        ]
    )
    state = State(None)
    brain = Brain(shop.store, state, load_detectors({}, "test"), now)
    brain.calibrate(now)
    shop.tell(0, "workflow.started")
    shop.tell(0, "step.started", step="charge")
    (found,) = brain.tick(shop.after(20_000))
    assert found.detector == "stalled_step"
    at = shop.after(20_001)
    judge_finding(state, found.fingerprint, "false-alarm", note="", by="me", at=at)
    brain.tick(shop.after(20_002))
    assert fires(brain.findings()) == []
    # Longer than it was given time for.
    brain.tick(shop.after(30_050))
    assert fires(brain.findings()) == ["stalled_step"]


def test_a_verdict_that_is_taken_back_raises_nothing_any_more(shop: Shop, now: datetime) -> None:
    shop.tell_all(
        [
            shop.event(at_s + number, event, f"past-{number}", step="charge")
            for number in range(40)
            for at_s, event in ((-1000, "step.started"), (-999, "step.completed"))
        ]
    )
    state = State(None)
    brain = Brain(shop.store, state, load_detectors({}, "test"), now)
    brain.calibrate(now)
    shop.tell(0, "step.started", step="charge")
    (found,) = brain.tick(shop.after(2000), only=["stalled_step"])

    def says(verdict: str, at_s: float) -> None:
        judge_finding(state, found.fingerprint, verdict, note="", by="me", at=shop.after(at_s))

    says("false-alarm", 2001)
    brain.tick(shop.after(2002), only=["stalled_step"])
    assert fires(brain.findings()) == []
    says("real", 2003)
    assert fires(brain.tick(shop.after(2004), only=["stalled_step"])) == ["stalled_step"]


def test_a_young_watch_learns_soon_and_an_old_one_every_hour(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    assert not brain.has_to_learn(shop.after(0))
    learnt_after_s = []
    brain.calibrate(now)
    for minute in range(300):
        if brain.has_to_learn(shop.after(60 * minute)):
            brain.calibrate(shop.after(60 * minute))
            learnt_after_s.append(minute)
    assert learnt_after_s == [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    shop.tell(-3000, "step.started", step="charge")
    shop.tell(-2990, "step.completed", step="charge")
    known = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    known.calibrate(now)
    assert not known.has_to_learn(shop.after(2980))
    assert known.has_to_learn(shop.after(2990))


def test_a_past_that_is_being_told_is_learned_as_it_comes(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)

    def tell_of(numbers: range) -> None:
        shop.tell_all(
            [
                shop.event(at_s - 100 * number, event, f"o-{number}", step="charge")
                for number in numbers
                for at_s, event in ((0, "step.started"), (1, "step.completed"))
            ]
        )

    tell_of(range(100, 120))
    brain.calibrate(now)
    tell_of(range(120, 150))
    assert not brain.has_to_learn(shop.after(59))
    assert brain.has_to_learn(shop.after(60))
    brain.calibrate(shop.after(60))
    tell_of(range(150, 160))
    assert not brain.has_to_learn(shop.after(600))


def test_a_hang_is_found_in_the_first_minutes_of_a_watch(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    brain.calibrate(now)
    shop.tell_all(
        [
            shop.event(at_s + 3 * number, event, f"o-{number}", step="charge")
            for number in range(60)
            for at_s, event in ((0, "step.started"), (1 + 0.01 * number, "step.completed"))
        ]
    )
    shop.tell(180, "step.started", "hung", step="charge")
    assert brain.has_to_learn(shop.after(240))
    brain.calibrate(shop.after(240))
    (found,) = brain.tick(shop.after(300), only=["stalled_step"])
    assert (found.executions, found.evidence["rule"]) == (("hung",), "cold_start")


def test_what_senders_do_is_learned_at_the_start_and_after_an_hour(
    shop: Shop, now: datetime
) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    brain.calibrate(now)
    for number in range(60):
        event = shop.event(number, "step.started", f"o-{number}", step="charge")
        shop.store.insert_events([event], event.time, "shop")
    assert brain.calibrate(shop.after(120)).senders == {}
    assert set(brain.calibrate(shop.after(3600)).senders) == {"shop"}
    again = Brain(shop.store, State(None), load_detectors({}, "test"), shop.after(3600))
    assert set(again.calibrate(shop.after(3600)).senders) == {"shop"}


def test_one_duration_is_not_enough_to_call_a_hang(shop: Shop, now: datetime) -> None:
    brain = Brain(shop.store, State(None), load_detectors({}, "test"), now)
    shop.tell(0, "step.started", "o-1", step="charge")
    shop.tell(1, "step.completed", "o-1", step="charge")
    shop.tell(30, "step.started", "o-2", step="charge")
    brain.calibrate(shop.after(60))
    assert brain.tick(shop.after(3600), only=["stalled_step"]) == []


def test_a_severity_from_the_policy_reaches_the_finding(shop: Shop, now: datetime) -> None:
    policy = load_detectors({"policy": [{"step": "charge", "severity": "info"}]}, "test")
    hang(shop)
    (finding,) = Brain(shop.store, State(None), policy, now).tick(shop.after(20))
    assert dataclasses.asdict(finding)["severity"] == "info"
