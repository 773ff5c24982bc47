"""swallowed_error: its judge."""

from datetime import datetime, timedelta
from typing import Any

from detectors import swallowed_error
from detectors.statistics.flow_model import Flow, Observed, learned_flow
from stallwatch.model.findings import Observation, Severity
from tests.detectors.support import EPOCH, NAMES, PLACE, ago, calibration, context, tick

BEFORE = EPOCH - timedelta(hours=1)


def flow(n: int = 300, failed: int = 0, failed_at: datetime = BEFORE) -> Flow:
    usual = Observed("", 0, ("+charge", "-charge", "+ship", "-ship"), True, n, BEFORE, ())
    swallowed = Observed(
        "", 0, ("+charge", "!charge", "+ship", "-ship"), True, failed, failed_at, ()
    )
    return learned_flow([usual, swallowed] if failed else [usual])


def row(**said: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("queue", "worker", "downstream", "region", "workflow_version"), "")
    return {
        **NAMES,
        "execution_id": "o-1",
        "step": "charge",
        "failed_at": ago(70),
        "error_type": "CardServiceDown",
        "error_message": "no answer",
        "ended_at": ago(60),
        "received_at": ago(59),
        "since_then": [("ship", False)],
        "attempt": 1,
        "max_attempts": None,
        **texts,
        **said,
    }


def judged(*rows: dict[str, Any], known: Flow | None = None, **policy: Any) -> list[Observation]:
    flows = {PLACE[:3]: known or flow()}
    return swallowed_error.judge(
        tick(), rows, context(policy, calibration=calibration(flows=flows))
    )


def test_going_on_as_if_nothing_had_happened_is_told() -> None:
    (found,) = judged(row(), row(execution_id="o-2"))
    assert (found.step, found.count, found.severity) == ("charge", 2, Severity.WARNING)
    assert found.point_until == ago(59) + timedelta(hours=1)
    assert "in less than 0.545 %" in found.explanation
    assert "enabled = false" in found.next_steps[-1]


def test_one_alone_is_suspected_where_not_very_many_are_known() -> None:
    assert [one.suspected for one in judged(row())] == [True]
    assert [one.suspected for one in judged(row(), row(execution_id="o-2"))] == [False]
    assert [one.suspected for one in judged(row(), known=flow(1000))] == [False]


def test_what_is_handled_is_not_swallowed() -> None:
    assert judged(row(since_then=[("ship", False), ("invoice", False)])) == []
    assert judged(row(since_then=[("ship", True)])) == []
    assert judged(row(since_then=[]))


def test_what_was_so_before_is_usual() -> None:
    assert judged(row(), known=flow(failed=1)) == []
    # What is told today must not be what makes it usual.
    assert judged(row(), known=flow(failed=1, failed_at=ago(3600)))


def test_little_known_judges_nothing() -> None:
    assert judged(row(), known=flow(50))
    assert judged(row(), known=flow(49)) == []
    assert judged(row(), known=Flow()) == []


def test_a_policy_says_that_it_is_caught_on_purpose() -> None:
    assert judged(row(), policy=[{"workflow": "order", "step": "charge", "enabled": False}]) == []


def test_what_exhausted_its_retries_is_told_as_that() -> None:
    exhausted = row(attempt=3, max_attempts=3)
    assert judged(exhausted) == []
    assert judged(row(attempt=2, max_attempts=3))
    assert judged(exhausted, disabled=["retries_exhausted"])
