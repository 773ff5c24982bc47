"""partial_failure: fan-outs, its judge, and what gives way to it."""

from typing import Any

import pytest

from detectors import partial_failure
from detectors.absorption import waiting_for
from detectors.fan_outs import fan_outs, is_inside, parent_of
from detectors.statistics.flow_model import Flow, Observed, learned_flow
from stallwatch.model.findings import Observation
from tests.detectors.support import EPOCH, NAMES, PLACE, ago, calibration, context, tick


def row(
    step: str, branch: str, status: str, begun: float, ended: float | None = None, **said: Any
) -> dict[str, Any]:
    """An attempt that began and ended so many seconds ago."""
    texts = ("queue", "worker", "downstream", "region", "workflow_version", "run_id", "step_run_id",
             "error_type", "error_message", "waiting_on")  # fmt: skip
    numbers = ("scheduled_at", "last_heartbeat_at", "retrying_at", "timeout_s", "heartbeat_timeout_s",
               "schedule_to_close_timeout_s", "backoff_s", "backoff_rate", "backoff_max_s", "max_attempts",
               "child_started_at")  # fmt: skip
    return {
        **NAMES,
        **dict.fromkeys(texts, ""),
        **dict.fromkeys(numbers, None),
        "execution_id": "o-1",
        "step": step,
        "branch": branch,
        "attempt": 1,
        "status": status,
        "is_last_attempt": True,
        "closed_by": "event" if ended is not None else "",
        "road": "event",
        "sender": "shop",
        "begun_at": ago(begun),
        "ended_at": None if ended is None else ago(ended),
        "waited_s": 0.0,
        "suspended_s": 0.0,
        **said,
    }


RESERVED = row("reserve", "", "completed", 200, 190)
PACKED = row("pack", "1", "completed", 100, 95)
FAILED = row("charge", "0", "failed", 100, 90)
HANGS = row("charge", "0", "running", 100)


def judged(*rows: dict[str, Any], **policy: Any) -> list[Observation]:
    known = policy.pop("flow", Flow())
    asked = context(policy, calibration=calibration(flows={PLACE[:3]: known}))
    return partial_failure.judge(tick(), rows, asked)


def test_labels() -> None:
    assert (parent_of("1.0"), parent_of("1"), parent_of("a.b.c")) == ("1", "", "a.b")
    assert is_inside("1.0", "1")
    assert not is_inside("10", "1")


def test_a_branch_that_failed_holds_the_others_up() -> None:
    (found,) = judged(RESERVED, PACKED, FAILED)
    assert (found.step, found.executions, found.since) == ("charge", ("o-1",), ago(90))
    assert found.evidence["branches_done"] == ["1"]
    assert found.waiting_steps == ()
    assert "nothing has begun behind them" in found.explanation


def test_branches_are_named_in_their_order() -> None:
    items = [row("pack", str(number), "completed", 100, 95) for number in (10, 9, 11)]
    (found,) = judged(RESERVED, *items, FAILED)
    assert found.evidence["branches_done"] == ["9", "10", "11"]


def test_a_branch_that_hangs_holds_the_others_up() -> None:
    (found,) = judged(RESERVED, PACKED, HANGS)
    assert (found.step, found.evidence["rule"], found.since) == ("charge", "gpd", ago(100))
    sure = "A healthy attempt takes longer than 11s less than once in 100,000."
    assert (
        f"has been open for 1m 40s, since 2026-01-05 11:58:20 UTC: longer than it may. {sure}"
        in (found.explanation)
    )
    (found,) = judged(
        RESERVED,
        PACKED,
        row("charge", "0", "running", 100, last_heartbeat_at=ago(40), heartbeat_timeout_s=30.0),
    )
    assert "without a heartbeat for 40s, where 31s is allowed. Of 2 branches" in found.explanation
    assert judged(RESERVED, PACKED, row("charge", "0", "running", 8)) == []
    assert judged(RESERVED, PACKED, row("charge", "0", "waiting", 100, waiting_on="human")) == []
    assert judged(PACKED, HANGS, policy=[{"step": "charge", "waiting_on": "human"}]) == []


@pytest.mark.parametrize("trouble", [FAILED, HANGS])
def test_nothing_is_told_while_no_other_branch_is_done(trouble: dict[str, Any]) -> None:
    assert judged(RESERVED, trouble) == []
    assert judged(RESERVED, trouble, row("pack", "1", "running", 5)) == []
    assert judged(RESERVED, trouble, row("pack", "1", "failed", 5, 1)) == []


def test_a_branch_is_done_when_it_ends_as_it_ends_usually() -> None:
    course = ("+pick", "-pick", "+pack", "-pack")
    known = learned_flow([Observed("", 1, course, True, 300, EPOCH, ())])
    assert judged(row("pick", "1", "completed", 100, 95), FAILED, flow=known) == []
    assert judged(PACKED, FAILED, flow=known)


def test_branches_that_met_are_over() -> None:
    join = row("ship", "", "completed", 80, 70)
    around = row("fan", "", "completed", 150, 70)
    for met in (join, around, row("ship", "", "running", 5)):
        assert judged(RESERVED, PACKED, FAILED, met) == []
    # Of the next fan-out only its own branches count.
    assert judged(PACKED, FAILED, join, row("mail", "1", "completed", 60, 50)) == []
    assert judged(
        PACKED,
        FAILED,
        join,
        row("mail", "1", "completed", 60, 50),
        row("bill", "0", "failed", 60, 40),
    )


def test_a_join_that_waits_gives_way() -> None:
    around = row("fan", "", "running", 150)
    late = row("join", "", "running", 90, child_started_at=None)
    (found,) = judged(RESERVED, PACKED, HANGS, around)
    assert found.waiting_steps == ("fan",)
    assert waiting_for([found]) == {(("default", "custom", "o-1"), "fan")}
    assert "fan waits for all of them" in found.explanation
    # Begun behind the finished branch, and within its time: it goes on without the other.
    known = {**late, "step": "charge", "branch": "", "begun_at": ago(5)}
    assert judged(RESERVED, PACKED, HANGS, known) == []
    assert judged(RESERVED, PACKED, HANGS, {**known, "begun_at": ago(50)})


def test_a_retry_that_is_to_come_is_waited_for() -> None:
    again = {**FAILED, "max_attempts": 3, "backoff_s": 85.0}
    assert judged(PACKED, again) == []
    assert judged(PACKED, {**again, "attempt": 3})
    assert judged(PACKED, {**again, "backoff_s": 60.0})
    assert (
        judged(PACKED, row("charge", "0", "backing_off", 100, retrying_at=ago(5), backoff_s=1.0))
        == []
    )
    # Nothing is declared: one that nobody announced has ten seconds.
    assert judged(PACKED, row("charge", "0", "failed", 20, 9)) == []


def test_what_was_tried_again_and_went_well_is_no_failure() -> None:
    assert judged(PACKED, FAILED, row("charge", "0", "completed", 80, 70)) == []


def test_branches_inside_of_branches() -> None:
    rows = [
        row("a", "0.0", "completed", 100, 90),
        row("b", "0.1", "failed", 100, 80),
        row("c", "1", "running", 5),
    ]
    (found,) = judged(*rows)
    assert found.step == "b"
    assert [one.parent for one in fan_outs(rows, lambda _: True)] == ["", "0"]


def test_executions_are_judged_apart() -> None:
    other = {**PACKED, "execution_id": "o-2"}
    assert judged(other, FAILED) == []
    (found,) = judged(PACKED, FAILED, other, {**FAILED, "execution_id": "o-2"})
    assert found.count == 2


def test_what_rests_on_a_silent_sender_is_hidden() -> None:
    asked = context(silent_senders=frozenset({"shop"}))
    (found,) = partial_failure.judge(tick(), [PACKED, FAILED], asked)
    assert found.hidden_by == "shop"
