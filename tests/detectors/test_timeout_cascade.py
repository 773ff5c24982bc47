"""Timeouts that do not fit into each other: the judge, and what the store gives it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors.calibration.workflows import Past, Workflow, learn_workflows
from detectors.explaining import clock
from detectors.statistics.cascades import StepLimits
from detectors.timeout_cascade import DETECTOR, judge, worst_case
from stallwatch.model.definitions import Definition
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick
from stallwatch.store import Store
from tests.detectors.support import EPOCH, NOW, ago, calibration, context, tick

KEY = ("default", "custom", "order")


def attempt(
    step: str, timeout_s: float | None = None, branch: str = "", waiting_on: str = "", begun_s: float = 50,
    s2c_s: float | None = None, most: int | None = None, backoff_s: float | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    return (
        step,
        branch,
        waiting_on,
        ago(begun_s),
        None,
        timeout_s,
        s2c_s,
        most,
        backoff_s,
        None,
        None,
    )


def row(timeout_s: float, *attempts: tuple[Any, ...], **fields: Any) -> dict[str, Any]:
    return {
        "namespace": "default", "engine": "custom", "workflow": "order", "workflow_version": "",
        "execution_id": "o-1", "started_at": ago(60), "timeout_s": timeout_s, "is_parent": False,
        "its_workflow": "order", "its_execution": "o-1", "attempts": list(attempts), **fields,
    }  # fmt: skip


def past(n: int = 400, each_s: Sequence[float] = (2.0, 3.0)) -> Past:
    """`n` executions of reserve and then charge, one in a hundred of them twice as long."""

    def run(number: int) -> tuple[float, list[tuple[Any, ...]]]:
        reserve_s, charge_s = (one * (2 if number % 100 == 0 else 1) for one in each_s)
        end_s = reserve_s + charge_s
        reserve = ("reserve", "", "0", 1, 1, 0.0, reserve_s)
        return end_s, [reserve, ("charge", "", "1", 1, 1, reserve_s, end_s)]

    return Past([run(number) for number in range(n)])


def judged(
    rows: list[dict[str, Any]],
    known: Workflow | None = None,
    policy: dict[str, Any] | None = None,
    epoch: datetime = EPOCH,
) -> list[Observation]:
    workflows = {} if known is None else {KEY: known}
    return judge(
        tick(epoch=epoch), rows, context(policy, calibration=calibration(workflows=workflows))
    )


def test_a_workflow_shorter_than_its_steps_may_take_is_a_warning() -> None:
    charge = attempt("charge", 30, most=3, backoff_s=1)
    (found,) = judged([row(60, attempt("reserve", 20), charge)])
    assert (found.severity, found.workflow, found.step) == (Severity.WARNING, "order", "")
    assert found.evidence["worst_case_s"] == 20 + 3 * 30 + 2
    assert "reserve 20s, charge 1m 32s" in found.explanation
    assert "is ended after 1m, as declared by o-1, which began at" in found.explanation
    assert found.executions == ("o-1",)
    assert judged([row(112, attempt("reserve", 20), charge)]) == []


def test_the_step_that_carries_it_is_named() -> None:
    (found,) = judged([row(60, attempt("reserve", 5), attempt("charge", 90))])
    assert found.step == "charge"


def test_branches_count_beside_each_other() -> None:
    branches = attempt("left", 40, branch="0"), attempt("right", 50, branch="1.2")
    assert worst_case(Workflow(), [row(1, attempt("a", 10), *branches)]).seconds == 60


def test_the_path_is_that_of_the_past_and_new_steps_follow_it() -> None:
    known = Workflow(past(10), {"reserve": StepLimits(20), "gone": StepLimits(500)})
    worst = worst_case(known, [row(1, attempt("charge", 30), attempt("new", 7))])
    assert worst.steps == {"reserve": 20, "charge": 30, "new": 7}


def test_what_is_declared_now_counts_before_what_was() -> None:
    known = Workflow(past(10), {"charge": StepLimits(300, max_attempts=2)})
    assert worst_case(known, [row(1, attempt("charge", 30))]).seconds == 60


def test_a_workflow_shorter_than_healthy_executions_is_critical() -> None:
    (found,) = judged([row(7.5)], Workflow(past()))
    assert found.severity is Severity.CRITICAL
    # One in a hundred of charge takes 6s, so that 8s and more are not rare.
    assert found.evidence["p999_s"] == pytest.approx(8, rel=0.01)
    assert found.evidence["healthy_cut"] == pytest.approx(0.01, abs=0.004)
    assert "too short for healthy executions" in found.explanation
    assert judged([row(10.5)], Workflow(past())) == []


def test_few_executions_make_no_simulation() -> None:
    assert judged([row(1.0)], Workflow(past(298))) == []
    assert len(judged([row(1.0)], Workflow(past(299)))) == 1


def test_without_a_timeout_of_the_whole_nothing_is_said() -> None:
    assert judged([], Workflow(past(), {"charge": StepLimits(30, max_attempts=9)})) == []


def test_the_latest_execution_declares_what_counts() -> None:
    older = row(10, attempt("charge", 30), started_at=ago(600), execution_id="o-0")
    assert judged([row(40, attempt("charge", 30)), older]) == []
    (found,) = judged([row(10, attempt("charge", 30)), {**older, "timeout_s": 40}])
    assert found.executions == ("o-1",)


def test_what_was_declared_this_week_holds_but_nothing_from_before_the_watch() -> None:
    known = Workflow(past(), timeout_s=4.0, declared_at=ago(3000))
    (found,) = judged([], known)
    assert f"as an execution declared that began at {clock(ago(3000))}." in found.explanation
    assert judged([], known, epoch=ago(60)) == []


def test_a_definition_holds_whether_anything_runs_or_not() -> None:
    known = Workflow(past(), {}, 4.0, ago(10**6), "asl")
    (found,) = judged([], known)
    assert "declared in the state machine's definition" in found.explanation


def child(timeout_s: float, *attempts: tuple[Any, ...], **fields: Any) -> dict[str, Any]:
    return row(
        timeout_s, *attempts,
        **{"workflow": "payment", "execution_id": "p-1", "is_parent": True, "started_at": ago(40), **fields},
    )  # fmt: skip


def test_a_caller_with_less_time_than_what_it_calls_is_critical() -> None:
    (found,) = judged([child(300, attempt("pay", 60))])
    assert (found.severity, found.workflow, found.step) == (Severity.CRITICAL, "order", "pay")
    assert found.executions == ("o-1",)
    assert "payment" in found.title
    assert judged([child(60, attempt("pay", 60))]) == []
    assert len(judged([child(300, attempt("pay", s2c_s=90))])) == 1


def test_the_caller_is_who_waited_for_it() -> None:
    waiting = attempt("pay", 600, waiting_on="child", begun_s=55)
    assert judged([child(300, waiting, attempt("log", 5, begun_s=50))]) == []
    assert judged([child(300, attempt("late", 5, begun_s=30))]) == []


def test_a_caller_without_a_timeout_has_that_of_its_workflow() -> None:
    (found,) = judged([row(100), child(300, attempt("pay"))])
    assert (found.step, found.evidence["caller_timeout_s"]) == ("pay", 100)
    assert judged([row(400), child(300, attempt("pay"))]) == []


def test_policies_silence_and_weigh() -> None:
    both = [row(10, attempt("pay", 60)), child(300, attempt("pay", 60))]
    assert {found.workflow for found in judged(both)} == {"order"}
    assert judged(both, policy={"policy": [{"workflow": "order", "enabled": False}]}) == []
    weighed = judged(both, policy={"policy": [{"severity": "info"}]})
    assert [found.severity for found in weighed] == [Severity.INFO] * 2


def insert(store: Store, *told: dict[str, Any], historical: bool = False) -> None:
    events = [
        event_from_dict({"workflow": "order", **one, "time": one["time"].isoformat()}, NOW)
        for one in told
    ]
    store.insert_events(events, NOW, "shop", historical=historical)
    store.fold(NOW)


def select(store: Store) -> list[dict[str, Any]]:
    return store.select(DETECTOR.sql, DETECTOR.parameters(Tick(EPOCH, NOW, EPOCH), context()))


def test_the_store_gives_declaring_executions_and_who_started_them(store: Store) -> None:
    parent, own = {"execution_id": "o-1"}, {"execution_id": "p-1", "workflow": "payment"}
    insert(
        store,
        {"event": "workflow.started", "time": ago(90), **parent},
        {"event": "step.started", "step": "pay", "time": ago(80), "timeout_s": 60, **parent},
        {"event": "workflow.started", "time": ago(70), "timeout_s": 300, "parent_execution_id": "o-1", **own},
        {"event": "step.started", "step": "charge", "time": ago(60), "timeout_s": 400, "max_attempts": 2, **own},
        {"event": "workflow.started", "time": ago(50), "execution_id": "q", "workflow": "other"},
    )  # fmt: skip
    rows = select(store)
    assert [(one["execution_id"], one["is_parent"], one["its_execution"]) for one in rows] == [
        ("p-1", 0, "p-1"), ("p-1", 1, "o-1"),
    ]  # fmt: skip
    told = judge(Tick(EPOCH, NOW, EPOCH), rows, context())
    assert [(one.workflow, one.step) for one in told] == [("payment", "charge"), ("order", "pay")]


def test_the_store_leaves_imported_history_and_what_closed_long_ago(store: Store) -> None:
    started = {"event": "workflow.started", "timeout_s": 5, "time": ago(90)}
    insert(store, {**started, "execution_id": "old"}, historical=True)
    assert select(store) == []
    insert(
        store,
        {**started, "execution_id": "new"},
        {**started, "event": "workflow.completed", "execution_id": "new", "time": ago(80)},
    )
    assert [one["execution_id"] for one in select(store)] == ["new"]
    later = Tick(EPOCH, NOW + timedelta(hours=2), EPOCH)
    assert store.select(DETECTOR.sql, DETECTOR.parameters(later, context())) == []


def test_the_past_teaches_steps_limits_and_the_timeout_declared_last(store: Store) -> None:
    for number, timeout_s in ((1, 50.0), (2, 70.0), (3, None)):
        begun = ago(1000 - 100 * number)
        one = {"execution_id": f"o-{number}", **({"timeout_s": timeout_s} if timeout_s else {})}
        end = {"execution_id": one["execution_id"]}
        insert(
            store,
            {"event": "workflow.started", "time": begun, **one},
            {"event": "step.started", "step": "a", "attempt": 1, "time": begun + timedelta(seconds=1), **end,
             "timeout_s": 8 + number, "max_attempts": 3, "backoff_s": 2},
            {"event": "step.retrying", "step": "a", "attempt": 1, "time": begun + timedelta(seconds=2), **end},
            {"event": "step.started", "step": "a", "attempt": 2, "time": begun + timedelta(seconds=4), **end},
            {"event": "step.completed", "step": "a", "attempt": 2, "time": begun + timedelta(seconds=5), **end},
            {"event": "workflow.completed", "time": begun + timedelta(seconds=6), **end},
        )  # fmt: skip
    learned = learn_workflows(store, NOW - timedelta(days=1), NOW)
    order = learned["default", "custom", "order"]
    assert order.timeout_s is None
    assert order.limits["a"] == StepLimits(11, None, 3, 2)
    assert order.graph is not None
    assert (order.graph.n, order.graph.longest_s) == (3, 6.0)
    assert order.graph.laws["a"].attempts_max == 2
    assert set(order.graph.draw(50).round(3)) <= {3.0, 6.0}


def test_definitions_declare_what_executions_do_not(store: Store) -> None:
    common: dict[str, Any] = {"engine": "custom", "workflow": "order"}
    store.write_definitions(
        [
            Definition(**common, source="asl", timeout_s=10),
            Definition(**common, source="configuration", step="a", timeout_s=8),
            Definition(**common, source="asl", step="a", timeout_s=9, max_attempts=2, backoff_s=1),
        ],
        NOW,
    )
    order = learn_workflows(store, NOW - timedelta(days=1), NOW)[KEY]
    assert (order.timeout_s, order.source, order.graph) == (10, "asl", None)
    assert order.limits["a"] == StepLimits(8, None, 2, 1)


@pytest.mark.parametrize("only", [KEY, ("default", "custom", "none")])
def test_one_workflow_can_be_asked_for(store: Store, only: tuple[str, str, str]) -> None:
    one = {"execution_id": "o-1"}
    insert(
        store,
        {"event": "workflow.started", "time": ago(90), **one},
        {"event": "step.started", "step": "a", "time": ago(80), **one},
        {"event": "step.completed", "step": "a", "time": ago(70), **one},
        {"event": "workflow.completed", "time": ago(60), **one},
    )
    learned = learn_workflows(store, NOW - timedelta(days=1), NOW, only)
    assert set(learned) == {only} & {KEY}
