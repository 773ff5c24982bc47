"""overdue_wait: due times, policies, and what nobody limits."""

from typing import Any

import pytest

from detectors import overdue_wait
from detectors.overdue_wait import TIMER_LATENESS_MIN_S, timer_lateness_s
from stallwatch.model.findings import Observation
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, learned, tick

LIMITED = {"policy": [{"workflow": "order", "max_wait": "1m"}]}


def waiting(**said: Any) -> dict[str, Any]:
    """A charge that has been waiting for a person for five minutes."""
    return {
        **NAMES,
        "workflow_version": "",
        "execution_id": "o-1",
        "step": "charge",
        "sender": "shop",
        "status": "waiting",
        "queue": "",
        "worker": "",
        "downstream": "",
        "region": "",
        "waiting_on": "human",
        "due": None,
        "suspended_s": 0.0,
        "waiting_since": ago(300),
        **said,
    }


def judge(
    row: dict[str, Any], policy: dict[str, Any] | None = None, **more: Any
) -> list[Observation]:
    return overdue_wait.judge(tick(), [row], context(policy, **more))


@pytest.mark.parametrize("what", ["human", "signal", "callback", "child", "timer", ""])
def test_what_nobody_limits_may_wait_for_ever(what: str) -> None:
    assert judge(waiting(waiting_on=what)) == []
    (found,) = judge(waiting(waiting_on=what), LIMITED)
    assert (found.evidence["rule"], found.evidence["threshold_s"]) == ("policy", 60.0)


def test_a_policy_counts_the_time_waited() -> None:
    assert judge(waiting(waiting_since=ago(60)), LIMITED) == []
    assert judge(waiting(waiting_since=ago(61)), LIMITED)
    assert judge(waiting(suspended_s=250.0), LIMITED) == []


def test_a_timer_may_be_some_seconds_late() -> None:
    assert judge(waiting(waiting_on="timer", due=ago(9))) == []
    (found,) = judge(waiting(waiting_on="timer", due=ago(11)))
    assert (found.evidence["rule"], found.evidence["age_s"]) == ("due", 11.0)
    assert "was due at" in found.explanation
    assert "Up to 10s late is always allowed." in found.explanation


def test_people_and_signals_are_not_held_to_a_due_time() -> None:
    assert judge(waiting(waiting_on="signal", due=ago(100))) == []
    assert judge(waiting(waiting_on="human", due=ago(100))) == []
    (found,) = judge(waiting(waiting_on="callback", due=ago(100)))
    assert found.title.startswith("The wait in ")
    assert "The callback that " in found.explanation
    assert "has not come for 1m 40s" in found.explanation


def test_timers_teach_how_late_they_fire() -> None:
    late = calibration(timers={PLACE: learned(60.0)})
    assert judge(waiting(waiting_on="timer", due=ago(50)), calibration=late) == []
    assert judge(waiting(waiting_on="timer", due=ago(62)), calibration=late)


def test_a_timer_that_never_fired_is_held_to_the_others_of_its_engine() -> None:
    other = (*PLACE[:3], "pause")
    known = calibration(
        timers={other: learned(60.0), ("default", "temporal", "w", "s"): learned(1.0)}
    )
    assert timer_lateness_s(PLACE, known) == 61.0
    assert timer_lateness_s(PLACE, calibration()) == TIMER_LATENESS_MIN_S


def test_a_step_that_only_a_policy_calls_a_wait() -> None:
    running = waiting(status="running", waiting_on="")
    assert judge(running, LIMITED) == []
    said = {"policy": [*LIMITED["policy"], {"step": "charge", "waiting_on": "human"}]}
    (found,) = judge(running, said)
    assert found.step == "charge"


def test_what_a_poller_has_not_seen_is_not_overdue() -> None:
    asked = {"poll:custom": ago(240)}
    (found,) = judge(waiting(sender="poll:custom"), LIMITED | {}, looks={"poll:custom": ago(1)})
    assert found.evidence["age_s"] == 299.0
    assert judge(waiting(sender="poll:custom"), LIMITED, looks=asked) == []


def test_a_silent_sender_makes_it_unknown() -> None:
    (found,) = judge(waiting(), LIMITED, silent_senders=frozenset({"shop"}))
    assert found.hidden_by == "shop"


def test_the_statement_asks_only_for_what_a_policy_limits() -> None:
    unlimited = overdue_wait.parameters(tick(), context())
    limited = overdue_wait.parameters(tick(), context(LIMITED))
    assert (unlimited["unlabelled"], limited["unlabelled"]) == (False, True)
    assert unlimited["limited_ms"] > 1e12 > limited["limited_ms"] == 60_000
