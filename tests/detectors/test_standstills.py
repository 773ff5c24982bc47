"""stalled_execution and overdue_execution."""

from typing import Any

from detectors import overdue_execution, stalled_execution
from detectors.calibration import Declared, Said
from detectors.calibration.learned import EVERY_VERSION
from detectors.statistics.remaining import SHARES
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, learned, tick


def idle(**said: Any) -> dict[str, Any]:
    """An order that has stood still for a minute after its charge."""
    return {
        **NAMES,
        "step": "charge",
        "execution_id": "o-1",
        "sender": "shop",
        "last_progress_at": ago(60),
        "retry_due_at": None,
        "attempt": 0,
        "suspects": 1,
        **said,
    }


def running(**said: Any) -> dict[str, Any]:
    """An order that has been running for five minutes."""
    return {
        **NAMES,
        "execution_id": "o-1",
        "sender": "shop",
        "started_at": ago(300),
        "last_step": "charge",
        "last_progress_at": ago(1),
        "open_steps": 1,
        "timeout_s": None,
        "waited_s": 0.0,
        "taken_s": {},
        "parent_execution_id": "",
        "workflow_version": "",
        "suspects": 1,
        **said,
    }


def test_standing_still_for_longer_than_ever() -> None:
    (found,) = stalled_execution.judge(tick(), [idle()], context())
    assert (found.step, found.executions, found.evidence["threshold_s"]) == (
        "charge",
        ("o-1",),
        30.0,
    )
    assert "for 1m" in found.explanation


def test_half_a_minute_is_always_allowed() -> None:
    assert stalled_execution.judge(tick(), [idle(last_progress_at=ago(29))], context()) == []
    (found,) = stalled_execution.judge(tick(), [idle()], context())
    assert (
        "longer than 11s less than once in 100,000; up to 30s is always allowed."
        in found.explanation
    )
    slow = context(calibration=calibration(gaps={PLACE: learned(40.0)}))
    (found,) = stalled_execution.judge(tick(), [idle()], slow)
    assert "always allowed" not in found.explanation


def test_what_something_else_explains_is_not_counted() -> None:
    told = frozenset({("default", "custom", "o-2")})
    for detector, row in ((stalled_execution, idle), (overdue_execution, running)):
        rows = [row(suspects=2), row(suspects=2, execution_id="o-2")]
        (found,) = detector.judge(tick(), rows, context(explained=told))
        assert (found.executions, found.count) == (("o-1",), 1)


def test_a_gap_never_seen_is_not_judged() -> None:
    unknown = context(calibration=calibration(gaps={}))
    assert stalled_execution.judge(tick(), [idle()], unknown) == []


def test_a_declared_pause_before_a_retry_is_no_standstill() -> None:
    assert stalled_execution.judge(tick(), [idle(retry_due_at=ago(5))], context()) == []
    assert stalled_execution.judge(tick(), [idle(retry_due_at=ago(50))], context())


def test_an_end_that_should_have_come_at_once_is_no_date() -> None:
    gaps = {PLACE: learned(rest_percentiles_s=(1.5,) * len(SHARES))}
    loop = context(calibration=calibration(gaps=gaps))
    (found,) = overdue_execution.judge(tick(), [running()], loop)
    assert found.evidence["expected_end"] == "2026-01-05T12:00:00.500000Z"
    assert "half of the others ended within a second" in found.explanation


def test_an_execution_takes_longer_than_ever() -> None:
    (found,) = overdue_execution.judge(tick(), [running()], context())
    assert found.evidence["age_s"] == 300.0
    assert "say so with a policy's max_duration" in found.next_steps[1]
    assert found.evidence["expected_end"] == "2026-01-05T12:00:02.000000Z"
    assert "it ends about 2026-01-05 12:00:02 UTC." in found.explanation


def test_nobody_guesses_the_end_of_what_takes_longer_than_any_did() -> None:
    (found,) = overdue_execution.judge(tick(), [running(last_progress_at=ago(4))], context())
    assert found.evidence["expected_end"] is None
    assert "it ends about" not in found.explanation
    assert "ended within a second" not in found.explanation


def test_a_new_version_has_time_to_show_what_it_takes() -> None:
    versions = {EVERY_VERSION: learned(60.0), "1": learned(60.0)}
    known = context(calibration=calibration(executions={PLACE[:3]: versions}))
    assert overdue_execution.judge(tick(), [running(workflow_version="1")], known)
    new = running(workflow_version="2")
    assert overdue_execution.judge(tick(), [new], known) == []
    assert overdue_execution.judge(tick(), [{**new, "started_at": ago(482)}], known)
    assert overdue_execution.parameters(tick(), known)["limits_s"] == [61.0]


def test_waiting_does_not_count() -> None:
    assert overdue_execution.judge(tick(), [running(waited_s=250.0)], context()) == []


def test_a_step_that_a_policy_calls_a_wait_does_not_count() -> None:
    asked = running(taken_s={"ask": 250.0, "apply": 40.0})
    assert overdue_execution.judge(tick(), [asked], context())
    named = context({"policy": [{"step": "ask", "waiting_on": "human"}]})
    assert overdue_execution.judge(tick(), [asked], named) == []
    assert overdue_execution.judge(tick(), [{**asked, "taken_s": {"ask": 200.0}}], named)
    assert overdue_execution.parameters(tick(), named)["names_waits"]
    assert not overdue_execution.parameters(tick(), context())["names_waits"]


def test_the_owners_word_stands_above_the_past() -> None:
    patient = context({"policy": [{"workflow": "order", "max_duration": "1h"}]})
    assert overdue_execution.judge(tick(), [running()], patient) == []
    impatient = context({"policy": [{"workflow": "order", "max_duration": "10s"}]})
    quick = running(started_at=ago(20))
    (found,) = overdue_execution.judge(tick(), [quick], impatient)
    assert found.evidence["rule"] == "policy"
    assert "raise the policy's max_duration" in found.next_steps[1]


def test_a_declared_timeout_counts_waits_too() -> None:
    (found,) = overdue_execution.judge(
        tick(), [running(timeout_s=200.0, waited_s=299.0)], context()
    )
    assert found.evidence["rule"] == "declared"
    assert "raise the timeout" in found.next_steps[1]


def test_the_definition_of_the_workflow_may_declare_its_timeout() -> None:
    place = (*PLACE[:3], "")
    declared = Declared({place: {"": {"timeout_s": Said(200.0, "asl")}}})
    known = context(calibration=calibration(declared=declared))
    (found,) = overdue_execution.judge(tick(), [running(waited_s=299.0)], known)
    assert (found.evidence["rule"], found.evidence["declared_by"]) == ("declared", "asl")
    assert "A timeout of 3m 20s is declared in the state machine's definition." in found.explanation
    own = running(waited_s=299.0, timeout_s=400.0)
    assert overdue_execution.judge(tick(), [own], known) == []


def test_what_a_deeper_finding_tells_is_not_told_again() -> None:
    explained = context(explained=frozenset({("default", "custom", "o-1")}))
    (found,) = overdue_execution.judge(tick(), [running(), running(execution_id="o-2")], explained)
    assert found.executions == ("o-2",)


def test_of_parent_and_child_the_child_is_told() -> None:
    child = running(execution_id="p-1", workflow="payment", parent_execution_id="o-1")
    known = calibration(
        executions={
            ("default", "custom", name): {EVERY_VERSION: learned(60.0)}
            for name in ("order", "payment")
        }
    )
    (found,) = overdue_execution.judge(tick(), [running(), child], context(calibration=known))
    assert found.executions == ("p-1",)
    stalled = frozenset({("default", "custom", "p-1")})
    quiet = context(calibration=known, explained=stalled)
    assert overdue_execution.judge(tick(), [running(), child], quiet) == []


def test_executions_that_name_each_other_as_parents_end() -> None:
    one = running(parent_execution_id="o-2")
    two = running(execution_id="o-2", parent_execution_id="o-1")
    assert overdue_execution.judge(tick(), [one, two], context()) == []


def test_both_are_unknown_while_their_sender_is_silent() -> None:
    silent = context(silent_senders=frozenset({"shop"}))
    assert stalled_execution.judge(tick(), [idle()], silent)[0].hidden_by == "shop"
    assert overdue_execution.judge(tick(), [running()], silent)[0].hidden_by == "shop"
