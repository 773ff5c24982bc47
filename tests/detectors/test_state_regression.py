"""state_regression: its judge (its statement is tested beside that of missing_step)."""

from datetime import timedelta
from typing import Any

from detectors import state_regression
from detectors.calibration.learned import EVERY_VERSION
from detectors.statistics.courses import Course
from detectors.statistics.flow_model import Flow, Observed, learned_flow
from stallwatch.model.findings import Observation
from tests.detectors.support import EPOCH, NAMES, PLACE, ago, calibration, context, learned, tick

A_B_C: Course = ("+a", "-a", "+b", "-b", "+c", "-c")
BACK: Course = ("+a", "-a", "+b", "-b", "+a", "-a", "+b", "-b", "+c", "-c")


def flow(*courses: Course, n: int = 300, varied: bool = False) -> Flow:
    before = EPOCH - timedelta(hours=1)
    return learned_flow([Observed("", 0, one, True, n, before, ()) for one in courses], varied)


def reentry(*executions: str, course: Course = BACK, at: float = 60, **said: Any) -> dict[str, Any]:
    times = [ago(at)] * len(course)
    return {
        **NAMES,
        "kind": "reentry",
        "workflow_version": "",
        "depth": 0,
        "course": list(course),
        "seen": [(execution, times, times) for execution in executions],
        "step": "",
        "later": "",
        **said,
    }


def number(execution: str, at: float = 60, received: float = 60) -> dict[str, Any]:
    seen = [(execution, [ago(at)], [ago(received)])]
    return reentry(kind="sequence", course=(), seen=seen, step="a", later="c")


def judged(*rows: dict[str, Any], known: Flow | None = None, **policy: Any) -> list[Observation]:
    flows = {PLACE[:3]: known or flow(A_B_C)}
    asked = context(policy, calibration=calibration(flows=flows))
    return state_regression.judge(tick(), rows, asked)


def test_a_way_back_that_never_was_is_told_once() -> None:
    (found,) = judged(reentry("o-1"))
    assert (found.step, found.executions, found.evidence["later_step"]) == ("a", ("o-1",), "b")
    assert "300 executions" in found.explanation
    assert found.point_until == ago(60) + timedelta(hours=1)


def test_a_known_loop_is_none() -> None:
    assert judged(reentry("o-1"), known=flow(A_B_C, BACK)) == []
    # A way from c to a leads from b to a as well.
    assert judged(reentry("o-1"), known=flow(A_B_C, (*A_B_C, "+a", "-a"))) == []


def test_three_executions_make_a_loop() -> None:
    assert judged(reentry("o-1", "o-2"))[0].count == 2
    assert judged(reentry("o-1", "o-2", "o-3")) == []


def test_little_known_judges_nothing() -> None:
    assert judged(reentry("o-1"), known=flow(A_B_C, n=49)) == []
    assert judged(reentry("o-1"), known=flow(A_B_C, varied=True)) == []
    assert judged(reentry("o-1", workflow_version="v2")) == []
    # A step of which it is not known that it comes later.
    assert judged(reentry("o-1", course=("+a", "-a", "+x", "-x", "+a"))) == []


def test_an_older_number_needs_no_model() -> None:
    (found,) = judged(number("o-1"), known=flow(A_B_C, BACK))
    assert (found.step, found.evidence["rule"]) == ("a", "sequence")
    # Of an execution that shows both ways, the surer one is told.
    (both,) = judged(number("o-1"), reentry("o-1"))
    assert (both.count, both.evidence["rule"]) == (1, "sequence")


def test_what_happened_before_the_watch_began_is_not_told() -> None:
    assert judged(number("o-1", at=7 * 3600)) == []
    assert judged(reentry("o-1", at=3600)) == []
    assert judged(reentry("o-1", at=3599))


def test_what_late_news_may_explain_is_suspected() -> None:
    steps = {PLACE: {EVERY_VERSION: learned(lateness_s=30.0)}}
    flows = {PLACE[:3]: flow(A_B_C)}
    asked = context(calibration=calibration(flows=flows, steps=steps))
    (young,) = state_regression.judge(tick(), [reentry("o-1", at=29)], asked)
    (old,) = state_regression.judge(tick(), [reentry("o-1", at=31)], asked)
    assert (young.suspected, old.suspected) == (True, False)


def test_a_policy_switches_it_off() -> None:
    assert judged(reentry("o-1"), policy=[{"step": "a", "enabled": False}]) == []
