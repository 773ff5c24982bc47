import dataclasses
from typing import Any

import numpy as np
import pytest

from detectors.calibration import Declared, Learned, Said, Spread
from detectors.calibration.learned import EVERY_VERSION
from detectors.detector import Context
from detectors.stalled_step import judge
from detectors.statistics.threshold import Threshold
from stallwatch.model.findings import Severity
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, learned, tick


def row(**said: Any) -> dict[str, Any]:
    """A charge that began a minute ago."""
    nothing = dict.fromkeys(
        (
            "scheduled_at",
            "last_heartbeat_at",
            "retrying_at",
            "timeout_s",
            "heartbeat_timeout_s",
            "schedule_to_close_timeout_s",
            "backoff_s",
            "backoff_rate",
            "backoff_max_s",
            "child_started_at",
        )
    )
    texts = dict.fromkeys(("queue", "worker", "downstream", "region", "workflow_version"), "")
    return {
        **NAMES,
        "step": "charge",
        "execution_id": "o-1",
        "attempt": 1,
        "status": "running",
        "sender": "shop",
        "begun_at": ago(60),
        "waited_s": 0.0,
        "suspended_s": 0.0,
        "suspects": 1,
        **texts,
        **nothing,
        **said,
    }


def test_older_than_ever_before_is_late() -> None:
    (found,) = judge(tick(), [row()], context())
    assert (found.workflow, found.step, found.executions, found.count) == (
        "order",
        "charge",
        ("o-1",),
        1,
    )
    assert found.since == ago(60)
    assert found.evidence["threshold_s"] == 11.0
    assert "since 2026-01-05 11:59:00 UTC" in found.explanation
    assert "500 attempts" in found.explanation


@pytest.mark.parametrize(("age_s", "late"), [(10.9, False), (11.1, True)])
def test_the_limit_is_tau_and_a_second(age_s: float, late: bool) -> None:
    assert bool(judge(tick(), [row(begun_at=ago(age_s))], context())) is late


def test_an_attempt_that_spans_show_as_scheduled_is_not_called_running() -> None:
    (told,) = judge(tick(), [row(status="scheduled")], context())
    assert "was scheduled 1m ago" in told.explanation
    assert "spans cannot tell" in told.explanation
    assert "has been running" not in told.explanation


def test_usual_lateness_is_added() -> None:
    slow = calibration(steps={PLACE: {EVERY_VERSION: learned(lateness_s=100.0)}})
    assert judge(tick(), [row()], context(calibration=slow)) == []


def test_a_declared_timeout_comes_first_when_it_is_shorter() -> None:
    (found,) = judge(tick(), [row(timeout_s=5.0)], context())
    assert (found.evidence["rule"], found.evidence["threshold_s"]) == ("declared", 6.0)


def test_without_a_past_only_what_is_declared_counts() -> None:
    nothing_known = context(calibration=calibration(steps={}))
    assert judge(tick(), [row()], nothing_known) == []
    assert judge(tick(), [row(timeout_s=100.0)], nothing_known) == []
    (found,) = judge(tick(), [row(timeout_s=30.0)], nothing_known)
    assert found.evidence["rule"] == "declared"


def defined(source: str = "configuration", **limits: object) -> Context:
    """Nothing but what the definition of the step declares is known."""
    said = {name: Said(value, source) for name, value in limits.items()}
    return context(calibration=calibration(steps={}, declared=Declared({PLACE: {"": said}})))


def test_what_the_attempt_does_not_declare_the_definition_of_its_step_does() -> None:
    known = defined(timeout_s=30.0)
    (found,) = judge(tick(), [row()], known)
    assert found.evidence == {
        "threshold_s": 31.0, "age_s": 60.0, "rule": "declared", "declared_by": "configuration",
    }  # fmt: skip
    assert "Its timeout of 30s, declared in the configuration, is over." in found.explanation
    # The engine does not know of it.
    assert any("Declare a timeout" in step for step in found.next_steps)
    assert judge(tick(), [row(timeout_s=100.0)], known) == []
    assert judge(tick(), [row(begun_at=ago(30.9))], known) == []
    (own,) = judge(tick(), [row(timeout_s=20.0)], known)
    assert "declared_by" not in own.evidence
    assert "It declares a timeout of 20s, which is over." in own.explanation


def test_a_timeout_of_the_state_machine_is_enforced_by_the_engine() -> None:
    (found,) = judge(tick(), [row()], defined("asl", timeout_s=30.0))
    assert "declared in the state machine's definition" in found.explanation
    assert not any("Declare a timeout" in step for step in found.next_steps)


def test_heartbeats_and_the_whole_time_may_be_declared_elsewhere_too() -> None:
    (silent,) = judge(tick(), [row()], defined(heartbeat_timeout_s=10.0))
    assert (silent.evidence["rule"], silent.evidence["threshold_s"]) == ("heartbeat", 11.0)
    assert "A heartbeat every 10s is declared in the configuration." in silent.explanation
    waited = row(scheduled_at=ago(100), begun_at=ago(5), timeout_s=300.0)
    (long,) = judge(tick(), [waited], defined(schedule_to_close_timeout_s=90.0))
    assert "Its timeout of 1m 30s, declared in the configuration, is over." in long.explanation


def test_a_step_that_is_configured_as_a_wait_is_not_judged() -> None:
    assert judge(tick(), [row(timeout_s=5.0)], defined(waiting_on="human")) == []


def test_a_heartbeat_renews_what_the_past_says_but_not_the_timeout() -> None:
    beating = row(begun_at=ago(600), last_heartbeat_at=ago(5))
    assert judge(tick(), [beating], context()) == []
    (found,) = judge(tick(), [{**beating, "timeout_s": 300.0}], context())
    assert found.evidence["rule"] == "declared"


def test_what_something_else_explains_is_not_counted() -> None:
    told = frozenset({("default", "custom", "o-2")})
    rows = [row(suspects=2), row(suspects=2, execution_id="o-2")]
    (found,) = judge(tick(), rows, context(explained=told))
    assert (found.executions, found.count) == (("o-1",), 1)


def test_silence_means_nothing_where_no_heartbeat_is_ever_told() -> None:
    silent = row(begun_at=ago(600), heartbeat_timeout_s=30.0)
    assert judge(tick(), [silent], context())
    assert not judge(tick(), [{**silent, "engine": "stepfunctions"}], context())


def test_silence_is_allowed_as_long_as_the_heartbeat_timeout_says() -> None:
    beating = row(begun_at=ago(600), last_heartbeat_at=ago(25), heartbeat_timeout_s=30.0)
    assert judge(tick(), [beating], context()) == []
    (found,) = judge(tick(), [{**beating, "last_heartbeat_at": ago(32)}], context())
    told = "has told no further heartbeat for 32s in o-1, since 2026-01-05 11:59:28 UTC."
    assert told in found.explanation
    assert "at its log since 2026-01-05 11:59:28 UTC" in found.next_steps[0]
    # A heartbeat of an earlier attempt is none of this one.
    (found,) = judge(tick(), [{**beating, "begun_at": ago(20)}], context())
    assert "has been running for 20s" in found.explanation


def beating_every_five_seconds(tau_s: float = 12.0) -> Context:
    """The charge takes ten minutes and tells a heartbeat every five seconds."""
    return context(
        calibration=calibration(
            steps={PLACE: {EVERY_VERSION: learned(600.0)}},
            heartbeats={PLACE: learned(tau_s, n=5000)},
        )
    )


def test_who_beats_regularly_is_missed_before_its_duration_is_up() -> None:
    beating = row(begun_at=ago(200), last_heartbeat_at=ago(12.9))
    assert judge(tick(), [beating], beating_every_five_seconds()) == []
    (found,) = judge(
        tick(), [{**beating, "last_heartbeat_at": ago(13.1)}], beating_every_five_seconds()
    )
    assert (found.evidence["threshold_s"], found.evidence["n"]) == (13.0, 5000)
    assert "has told no further heartbeat for 13.1s" in found.explanation
    assert "99 % of the 5,000 heartbeat pauses seen" in found.explanation


def test_learned_pauses_count_only_for_an_attempt_that_has_beaten() -> None:
    before = row(begun_at=ago(200), last_heartbeat_at=ago(300))
    for never in (row(begun_at=ago(200)), before):
        assert judge(tick(), [never], beating_every_five_seconds()) == []


def test_nobody_is_missed_before_the_heartbeat_that_was_declared() -> None:
    beating = row(begun_at=ago(200), last_heartbeat_at=ago(30), heartbeat_timeout_s=30.0)
    assert judge(tick(), [beating], beating_every_five_seconds()) == []
    (found,) = judge(
        tick(), [{**beating, "last_heartbeat_at": ago(32)}], beating_every_five_seconds()
    )
    assert found.evidence["threshold_s"] == 31.0
    assert found.explanation.endswith("It declares a heartbeat every 30s.")


def test_what_hangs_for_another_reason_is_not_said_to_hang_for_this_one() -> None:
    silent = row(begun_at=ago(200), heartbeat_timeout_s=30.0)
    long = row(begun_at=ago(100), timeout_s=60.0, execution_id="o-2")
    (found,) = judge(tick(), [silent, long], beating_every_five_seconds())
    assert found.explanation.endswith(
        "It declares a heartbeat every 30s. It hangs in 1 other execution too: o-2."
    )


def told(age_s: float, **said: Any) -> Any:
    """What is said of a charge of that age, whose past is known in detail."""
    past = np.arange(1.0, 1001.0)
    known = Learned(Threshold(2000.0, "gpd", 1000, 1e-5), Spread.of(past))
    knowing = context(calibration=calibration(steps={PLACE: {EVERY_VERSION: known}}))
    (found,) = judge(tick(), [row(begun_at=ago(age_s), **said)], knowing)
    return found


def test_it_is_told_how_many_had_ended_by_then() -> None:
    early = told(996.5, timeout_s=990.0)
    assert early.evidence["ended_share"] == 0.995
    assert "At least 99.5 % of these attempts had ended by this age." in early.explanation
    assert "probability" not in early.evidence
    late = told(3000.0)
    assert (late.evidence["ended_share"], late.evidence["probability"]) == (1.0, 1e-5)
    assert "had ended by this age" not in late.explanation
    assert "none took longer than 16m 40s" in late.explanation
    assert "less than once in 100,000" in late.explanation


def test_a_fleet_too_busy_for_its_budget_is_told_what_to_expect() -> None:
    known = learned()
    floor = dataclasses.replace(known, threshold=dataclasses.replace(known.threshold, alpha=1e-6))
    busy = calibration(steps={PLACE: {EVERY_VERSION: floor}}, expected={"stalled_step": 7.5})
    (found,) = judge(tick(), [row()], context(calibration=busy))
    assert found.evidence["budget_exceeded"] is True
    assert found.evidence["expected_per_week"] == 7.5
    (found,) = judge(tick(), [row()], context())
    assert "expected_per_week" not in found.evidence


def test_what_was_waited_or_suspended_is_not_the_steps_own_time() -> None:
    assert judge(tick(), [row(waited_s=55.0)], context()) == []
    assert judge(tick(), [row(suspended_s=55.0)], context()) == []


def test_a_retry_is_late_only_after_its_declared_pause() -> None:
    waiting = row(
        status="backing_off", retrying_at=ago(50), backoff_s=10.0, backoff_rate=2.0, attempt=3
    )
    assert judge(tick(), [waiting], context()) == []
    (found,) = judge(tick(), [{**waiting, "retrying_at": ago(52)}], context())
    assert found.evidence["rule"] == "backoff"
    assert "and has not been in the 52s since then." in found.explanation
    undeclared = {**waiting, "retrying_at": ago(3600), "backoff_s": None}
    assert judge(tick(), [undeclared], context()) == []


def test_a_huge_backoff_rate_stays_finite() -> None:
    odd = row(
        status="backing_off",
        retrying_at=ago(5000),
        backoff_s=1.0,
        backoff_rate=10.0,
        backoff_max_s=60.0,
        attempt=5000,
    )
    assert judge(tick(), [odd], context())


def test_a_step_that_may_have_called_an_open_child_leaves_it_to_the_child() -> None:
    assert judge(tick(), [row(child_started_at=ago(59))], context()) == []
    assert judge(tick(), [row(child_started_at=ago(61))], context())


def test_executions_of_one_step_are_one_finding() -> None:
    rows = [row(execution_id=f"o-{n}", queue="payments") for n in range(150)]
    (found,) = judge(tick(), [*rows, row(step="ship", execution_id="o-0")], context())
    assert (found.count, found.evidence["queue"]) == (150, "payments")


def test_a_silent_sender_makes_it_unknown_but_hides_no_other() -> None:
    silent = context(silent_senders=frozenset({"shop"}))
    (found,) = judge(tick(), [row()], silent)
    assert found.hidden_by == "shop"
    (found,) = judge(tick(), [row(), row(execution_id="o-2", sender="till")], silent)
    assert (found.hidden_by, found.executions) == ("", ("o-2",))


def test_a_policy_sets_severity_or_silences() -> None:
    critical = {"policy": [{"workflow": "order", "severity": "critical"}]}
    assert judge(tick(), [row()], context(critical))[0].severity is Severity.CRITICAL
    off = {"policy": [{"step": "char*", "enabled": False}]}
    assert judge(tick(), [row()], context(off)) == []


def test_a_new_version_borrows_the_tail_of_the_old() -> None:
    versions = {EVERY_VERSION: learned(), "1": learned()}
    known = context(calibration=calibration(steps={PLACE: versions}))
    assert judge(tick(), [row(workflow_version="1")], known)
    assert judge(tick(), [row(workflow_version="2")], known) == []
    (found,) = judge(tick(), [row(workflow_version="2", begun_at=ago(82))], known)
    assert found.evidence["threshold_s"] == 81.0


def test_an_attempt_without_a_version_may_be_of_any() -> None:
    versions = {EVERY_VERSION: learned(), "1": learned()}
    known = context(calibration=calibration(steps={PLACE: versions}))
    (found,) = judge(tick(), [row()], known)
    assert found.evidence["threshold_s"] == 11.0


@pytest.mark.parametrize(
    ("n", "factor"), [(19, 8.0), (20, 1.6 * 2), (100, 1.3 * 2), (499, 1.1 * 2)]
)
def test_a_new_version_is_held_against_its_own_median(n: int, factor: float) -> None:
    """It takes twice as long as the old one."""
    twice = dataclasses.replace(learned(n=n), spread=Spread(n, 4.0, 12.0, 16.0))
    known = calibration(steps={PLACE: {EVERY_VERSION: learned(), "1": learned(), "2": twice}})
    moved = known.step(PLACE, "2")
    assert moved is not None
    assert moved.threshold.seconds == pytest.approx(10.0 * factor, rel=1e-3)
