"""never_started: queue waits, declared limits, and where a start would not be told."""

from datetime import datetime, timedelta
from typing import Any

from detectors import never_started
from detectors.calibration import learn
from detectors.never_started import WAIT_MIN_S
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Observation
from stallwatch.store import Store
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, learned, tick

KNOWN = calibration(queue_waits={PLACE: learned(10.0)})


def scheduled(**said: Any) -> dict[str, Any]:
    """A charge that was scheduled a minute ago."""
    return {
        **NAMES,
        "workflow_version": "",
        "execution_id": "o-1",
        "step": "charge",
        "sender": "shop",
        "queue": "payments",
        "worker": "",
        "downstream": "",
        "region": "",
        "scheduled_at": ago(60),
        "suspended_s": 0.0,
        "schedule_to_start_timeout_s": None,
        "is_own_code": False,
        "last_step": "",
        "attempt": 1,
        "road": "event",
        **said,
    }


def judge(*rows: dict[str, Any], **more: Any) -> list[Observation]:
    return never_started.judge(tick(), rows, context(**{"calibration": KNOWN, **more}))


def test_longer_than_it_ever_waited() -> None:
    (found,) = judge(scheduled(), scheduled(execution_id="o-2", scheduled_at=ago(50)))
    assert (found.executions, found.evidence["threshold_s"]) == (("o-1", "o-2"), 11.0)
    assert found.evidence["queue"] == "payments"
    assert "was scheduled 1m ago" in found.explanation


def test_a_usual_wait() -> None:
    assert judge(scheduled(scheduled_at=ago(11))) == []
    assert judge(scheduled(suspended_s=50.0)) == []


def test_a_step_that_never_waited_is_not_judged() -> None:
    assert judge(scheduled(), calibration=calibration()) == []


def test_some_seconds_are_always_allowed() -> None:
    quick = calibration(queue_waits={PLACE: learned(0.1)})
    assert judge(scheduled(scheduled_at=ago(WAIT_MIN_S)), calibration=quick) == []
    (found,) = judge(scheduled(scheduled_at=ago(WAIT_MIN_S + 0.1)), calibration=quick)
    assert (
        "longer than 1.1s less than once in 100,000; up to 5s is always allowed."
        in found.explanation
    )
    (found,) = judge(scheduled())
    assert "always allowed" not in found.explanation


def test_what_was_never_started_waits_on_its_queue() -> None:
    (found,) = judge(scheduled())
    assert found.explanation.endswith(" It waits on queue payments.")


def test_what_it_declares_holds_without_a_past() -> None:
    declared = scheduled(schedule_to_start_timeout_s=30.0)
    (found,) = judge(declared, calibration=calibration())
    assert found.evidence["rule"] == "declared"
    assert "to be started within 30s" in found.explanation
    assert judge(scheduled(schedule_to_start_timeout_s=60.0), calibration=calibration()) == []


def test_a_dead_queue_tells_it() -> None:
    told = frozenset({("default", "custom", "o-1")})
    assert judge(scheduled(), explained=told) == []


def test_a_start_that_only_asking_shows() -> None:
    place = ("default", "temporal", "order", "charge")
    known = calibration(queue_waits={place: learned(10.0)})
    row = scheduled(engine="temporal", sender="history upload", road="history")
    assert judge({**row, "road": "event"}, calibration=known)
    assert judge(row, calibration=known) == []
    assert judge(row, calibration=known, looks={"poll:temporal": ago(2)})
    assert judge(row, calibration=known, looks={"poll:temporal": ago(55)}) == []
    assert judge(row, calibration=known, looks={"poll:temporal": ago(7200)}) == []


def test_a_silent_sender_makes_it_unknown() -> None:
    (found,) = judge(scheduled(), silent_senders=frozenset({"shop"}))
    assert found.hidden_by == "shop"


def test_waits_are_learned_and_what_is_not_started_is_selected(store: Store, now: datetime) -> None:
    def told(at_s: float, event: str, name: str, **said: Any) -> Any:
        at = now + timedelta(seconds=at_s)
        data = {"event": event, "time": at, "workflow": "order", "execution_id": name, **said}
        return event_from_dict(data, at)

    charge = {"step": "charge", "queue": "payments"}
    timer = {"step": "pause", "waiting_on": "timer"}
    events = []
    for number in range(60):
        begin_s, name = -3600 + 30 * number, f"o-{number}"
        due = (now + timedelta(seconds=begin_s + 10)).isoformat()
        events += [
            told(begin_s, "workflow.started", name),
            told(begin_s, "step.scheduled", name, **charge),
            told(begin_s + 3, "step.started", name, **charge),
            told(begin_s + 5, "step.completed", name, **charge),
            told(begin_s + 6, "step.waiting", name, **timer, due=due),
            told(begin_s + 14, "step.completed", name, **timer),
            told(begin_s + 15, "workflow.completed", name),
        ]
    events += [
        told(-60, "workflow.started", "left"),
        told(-60, "step.scheduled", "left", **charge),
        told(-60, "workflow.started", "held"),
        told(-60, "step.scheduled", "held", **charge),
        told(-59, "workflow.suspended", "held"),
        told(-60, "workflow.started", "taken"),
        told(-60, "step.scheduled", "taken", **charge),
        told(-59, "step.started", "taken", **charge),
    ]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    known = learn(store, now, 1.0)
    assert known.queue_waits[PLACE].spread.median_s == 3.0
    assert known.timers[(*PLACE[:3], "pause")].spread.median_s == 4.0
    asked = context(calibration=known)
    rows = store.select(never_started.DETECTOR.sql, never_started.parameters(tick(now), asked))
    assert [row["execution_id"] for row in rows] == ["left"]
    (found,) = never_started.judge(tick(now), rows, asked)
    assert found.evidence["n"] == 60
