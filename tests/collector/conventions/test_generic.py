"""Plain traces as executions, and spans that say themselves what they are."""

import itertools
from typing import Any

import pytest

from tests.collector.conventions.conftest import NOW
from tests.collector.conventions.sandbox import Sandbox, trace_id

START_NS = int(NOW.timestamp()) * 10**9 - 60 * 10**9
S = 10**9


def span(trace: str, number: int, parent: int = 0, **fields: Any) -> dict[str, Any]:
    """Span `number`, below `parent` (0: a root), from second `number` to second `number + 1`."""
    return {
        "trace_id": trace,
        "span_id": f"{number:016x}",
        "parent_span_id": f"{parent:016x}" if parent else "",
        "name": f"span {number}",
        "start_ns": START_NS + number * S,
        "end_ns": START_NS + (number + 1) * S,
        **fields,
    }


def checkout(trace: str) -> list[dict[str, Any]]:
    return [
        span(trace, 1, name="checkout", end_ns=START_NS + 20 * S, attributes={"stallwatch.workflow": "order"}),
        span(trace, 2, 1, name="reserve"),
        span(trace, 3, 1, name="pay", status="error", message="declined"),
        span(trace, 4, 3, name="POST /charge", end_ns=START_NS + 4 * S),
    ]  # fmt: skip


def test_root_is_the_execution_and_all_below_it_are_steps(sandbox: Sandbox) -> None:
    trace = trace_id()
    sandbox.deliver(checkout(trace))
    (execution,) = sandbox.executions()
    assert execution["workflow"] == "order"
    assert execution["execution_id"] == trace
    assert execution["status"] == "completed"
    steps = {r["step"]: r for r in sandbox.attempts()}
    assert {name: r["status"] for name, r in steps.items()} == {
        "reserve": "completed",
        "pay": "failed",
        "POST /charge": "completed",
    }
    assert steps["pay"]["error_message"] == "declined"
    assert steps["pay"]["step_run_id"] == "0000000000000003"
    (row,) = sandbox.store.select(
        "SELECT attributes FROM step_events WHERE trace_id = {t:String} "
        "AND step = 'POST /charge' AND event = 'step.started'",
        {"t": trace},
    )
    assert row["attributes"] == {"parent_span_id": "0000000000000003"}


def test_nothing_is_made_before_the_root_comes_and_order_does_not_matter(sandbox: Sandbox) -> None:
    first = sandbox.deliver(checkout(trace_id())).picture()
    for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 9):
        spans = checkout(trace_id())
        other = Sandbox(sandbox.store, NOW)
        for number in order:
            other.deliver([spans[number]])
            assert bool(other.executions()) == (0 in order[: order.index(number) + 1])
        other.deliver(spans)
        assert without_ids(other.picture()) == without_ids(first)


def without_ids(picture: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{k: v for k, v in row.items() if k != "execution_id"} for row in rows]
        for name, rows in picture.items()
    }


@pytest.mark.parametrize(
    ("service", "made"), [("shop-web", 1), ("job7", 1), ("job77", 0), ("workshop-x", 0), ("", 0)]
)
def test_a_configured_service_is_enough(sandbox: Sandbox, service: str, made: int) -> None:
    sandbox.deliver([span(trace_id(), 1, service=service, name="nightly")])
    assert [r["workflow"] for r in sandbox.executions()] == ["nightly"] * made


@pytest.mark.parametrize("order", ["before", "after", "together"])
def test_a_trace_with_an_engines_span_is_that_engines(sandbox: Sandbox, order: str) -> None:
    trace = trace_id()
    engine = span(
        trace, 9, 3, name="StartWorkflow:Charge", scope="temporalio.contrib.opentelemetry",
        attributes={"temporalWorkflowID": f"charge-{trace}"},
    )  # fmt: skip
    plain = checkout(trace)
    match order:
        case "before":
            sandbox.deliver([engine], plain)
        case "after":
            sandbox.deliver(plain, [engine])
        case _:
            sandbox.deliver([*plain, engine])
    sandbox.deliver([*plain, engine])
    assert [r["workflow"] for r in sandbox.executions()] == ["Charge"]
    assert sandbox.attempts() == []


def test_overrides_on_generic_spans(sandbox: Sandbox) -> None:
    trace = trace_id()
    root, step, *_ = checkout(trace)
    root["attributes"] = {
        "stallwatch.workflow": "order",
        "stallwatch.execution_id": f"o-{trace}",
        "stallwatch.run_id": "r1",
    }
    said = {"step": "hold", "queue": "stock", "timeout_s": 2.5}
    step["attributes"] = {f"stallwatch.{key}": value for key, value in said.items()}
    sandbox.deliver([root, step])
    (execution,) = sandbox.executions()
    assert (execution["execution_id"], execution["run_id"]) == (f"o-{trace}", "r1")
    hold = sandbox.step("hold")
    assert (hold["queue"], hold["timeout_s"], hold["run_id"]) == ("stock", 2.5, "r1")


def marked(trace: str, number: int, step: str, **more: Any) -> dict[str, Any]:
    said = {"step": step, "execution_id": f"o-{trace}", "workflow": "order", **more}
    return span(
        trace, number, 7, attributes={f"stallwatch.{key}": value for key, value in said.items()}
    )


def test_a_span_that_says_its_step_needs_no_root(sandbox: Sandbox) -> None:
    trace = trace_id()
    first = {**marked(trace, 1, "charge", attempt=1, downstream="stripe"), "status": "error"}
    sandbox.deliver([first, marked(trace, 2, "charge", attempt=2), marked(trace, 3, "ship")])
    (execution,) = sandbox.executions()
    assert (execution["workflow"], execution["status"]) == ("order", "running")
    charges = [r for r in sandbox.attempts() if r["step"] == "charge"]
    assert [(r["attempt"], r["status"]) for r in charges] == [(1, "failed"), (2, "completed")]
    assert charges[0]["downstream"] == "stripe"


def test_a_span_that_says_its_step_may_say_its_branch(sandbox: Sandbox) -> None:
    trace = trace_id()
    branches = [marked(trace, number, "charge", branch=f"0.{number}") for number in (1, 2)]
    sandbox.deliver(branches)
    assert [row["branch"] for row in sandbox.attempts()] == ["0.1", "0.2"]


def test_a_root_that_is_a_step_does_not_end_its_execution(sandbox: Sandbox) -> None:
    """Two calls of one execution, each with a trace of its own; the second begins when the first is long over."""
    first, second = trace_id(), trace_id()
    of_first = {"execution_id": f"o-{first}"}
    below = span(first, 2, 1, name="GET /stock")
    root = {"parent_span_id": ""}
    sandbox.deliver([{**marked(first, 1, "reserve"), **root}, below])
    later = marked(second, 3, "charge", **of_first) | root
    sandbox.deliver([{**later, "start_ns": START_NS + 60 * S, "end_ns": START_NS + 61 * S}])
    assert [row["status"] for row in sandbox.executions()] == ["running"]
    found = {row["step"]: row["status"] for row in sandbox.attempts()}
    assert found == {"reserve": "completed", "charge": "completed"}


def test_below_a_root_a_wait_waits_and_attempts_are_of_one_call(sandbox: Sandbox) -> None:
    trace = trace_id()
    root, reserve, pay, *_ = checkout(trace)
    wait = span(trace, 5, 1, name="approve", attributes={"stallwatch.waiting_on": "human"})
    odd = span(trace, 6, 1, name="odd", attributes={"stallwatch.waiting_on": "nothing known"})
    again = {
        **reserve,
        "span_id": f"{7:016x}",
        "name": "pay",
        "start_ns": START_NS + 8 * S,
        "end_ns": START_NS + 9 * S,
    }
    tries = [
        {**one, "attributes": {"stallwatch.attempt": str(number)}}
        for number, one in ((1, pay), (2, again))
    ]
    sandbox.deliver([root, wait, odd, *tries])
    asked = """SELECT step, attempt, waiting_on, waited_s, is_last_attempt FROM attempts
        WHERE execution_id = {t:String} AND step IN ('approve', 'odd', 'pay') ORDER BY step, attempt"""
    assert [tuple(row.values()) for row in sandbox.store.select(asked, {"t": trace})] == [
        ("approve", 1, "human", 1.0, True),
        ("odd", 1, "", 0.0, True),
        ("pay", 1, "", 0.0, False),
        ("pay", 2, "", 0.0, True),
    ]


def test_a_marked_step_under_a_marked_root_counts_once(sandbox: Sandbox) -> None:
    trace = trace_id()
    root = {**checkout(trace)[0]}
    root["attributes"] = {
        "stallwatch.workflow": "order",
        "stallwatch.execution_id": f"o-{trace}",
    }
    sandbox.deliver([root, {**marked(trace, 2, "charge"), "parent_span_id": root["span_id"]}])
    assert [r["step"] for r in sandbox.attempts()] == ["charge"]
    assert [r["status"] for r in sandbox.executions()] == ["completed"]


def test_a_namespace_said_on_the_span_counts(sandbox: Sandbox) -> None:
    other = Sandbox(sandbox.store, NOW)
    sandbox.deliver([marked(trace_id(), 2, "charge", namespace=other.namespace)])
    assert sandbox.executions() == []
    assert len(other.executions()) == 1


def test_a_span_with_too_many_attributes_still_says_what_it_is(sandbox: Sandbox) -> None:
    trace = trace_id()
    root, step = checkout(trace)[:2]
    others = {f"key {number:03}": "v" for number in range(200)}
    root["attributes"] = {**others, "stallwatch.workflow": "order"}
    call = marked(trace, 5, "charge", execution_id=f"call-{trace}")
    call["attributes"] = {**others, **call["attributes"]}
    sandbox.deliver([root, step, call])
    found = {row["step"]: row["execution_id"] for row in sandbox.attempts()}
    assert found == {"reserve": trace, "charge": f"call-{trace}"}


def pending(trace: str, number: int, parent: int = 0, **fields: Any) -> dict[str, Any]:
    """What Logfire sends when span `number` starts."""
    real = span(trace, number, parent, **fields)
    attributes = {
        **real.get("attributes", {}),
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": f"{parent:016x}",
    }
    return {
        **real,
        "name": f"{real['name']} (pending)",
        "span_id": f"{number + 0xF00:016x}",
        "parent_span_id": real["span_id"],
        "end_ns": real["start_ns"],
        "attributes": attributes,
    }


def test_pending_spans_show_what_has_not_ended(sandbox: Sandbox) -> None:
    trace = trace_id()
    root: dict[str, Any] = {"name": "checkout", "attributes": {"stallwatch.workflow": "order"}}
    sandbox.deliver([pending(trace, 1, **root), pending(trace, 2, 1, name="pay")])
    assert [r["status"] for r in sandbox.executions()] == ["running"]
    assert sandbox.step("pay")["status"] == "running"
    sandbox.deliver([span(trace, 2, 1, name="pay")])
    assert sandbox.step("pay")["status"] == "completed"
    sandbox.deliver([span(trace, 1, **root), pending(trace, 2, 1, name="pay")])
    assert [r["status"] for r in sandbox.executions()] == ["completed"]
    assert sandbox.step("pay")["status"] == "completed"


def test_a_marked_pending_span_is_an_open_step(sandbox: Sandbox) -> None:
    trace = trace_id()
    real = marked(trace, 3, "charge")
    said = {**real["attributes"], "logfire.span_type": "pending_span"}
    ahead = {**real, "span_id": "00000000000000ff", "parent_span_id": real["span_id"], "attributes": said}  # fmt: skip
    sandbox.deliver([ahead])
    assert sandbox.step("charge")["status"] == "running"
    sandbox.deliver([real])
    assert sandbox.step("charge")["status"] == "completed"
