"""Engines of which nothing was recorded: spans as their sources write them."""

from typing import Any

from tests.collector.conventions.sandbox import Sandbox, trace_id
from tests.collector.conventions.test_generic import START_NS, S, span


def airflow(trace: str, number: int, name: str, **more: Any) -> dict[str, Any]:
    status = more.pop("status", "ok")
    attributes = {
        "airflow.dag_id": "etl",
        "airflow.dag_run.run_id": "scheduled__2026-11-22",
        **{f"airflow.{key}": value for key, value in more.items()},
    }
    return span(trace, number, name=name, scope="airflow", attributes=attributes, status=status)


def test_airflow_tries_and_map_indexes(sandbox: Sandbox) -> None:
    trace = trace_id()
    task: dict[str, Any] = {"task_id": "load", "task_instance.map_index": 1}
    sandbox.deliver(
        [
            airflow(trace, 2, "worker.load[1]", **task, **{"task_instance.try_number": 1}, status="error"),
            airflow(trace, 4, "worker.load[1]", **task, **{"task_instance.try_number": 2}),
            airflow(trace, 5, "call model", **task, **{"task_instance.try_number": 2}),
            airflow(trace, 1, "task_run.load[1]", **task, **{"task_instance.try_number": 1}),
        ]
    )  # fmt: skip
    (execution,) = sandbox.executions()
    assert (execution["workflow"], execution["status"]) == ("etl", "running")
    assert execution["execution_id"] == "etl/scheduled__2026-11-22"
    tries = sandbox.attempts()
    assert [(r["step"], r["branch"], r["attempt"], r["status"]) for r in tries] == [
        ("load", "1", 1, "failed"),
        ("load", "1", 2, "completed"),
    ]
    assert "scheduled_at" in tries[0]
    sandbox.deliver([airflow(trace, 9, "dag_run.etl")])
    assert [r["status"] for r in sandbox.executions()] == ["completed"]


def prefect(trace: str, number: int, kind: str, parent: int = 0, **fields: Any) -> dict[str, Any]:
    return span(
        trace, number, parent, scope="prefect",
        attributes={"prefect.run.type": kind, "prefect.run.id": f"id-{number}"}, **fields,
    )  # fmt: skip


def state(at_s: int, kind: str, name: str) -> dict[str, Any]:
    attributes = {"prefect.state.type": kind, "prefect.state.name": name}
    return {"name": name, "at_ns": START_NS + at_s * S, "attributes": attributes}


def test_prefect_state_changes(sandbox: Sandbox) -> None:
    trace = trace_id()
    states = [
        state(3, "RUNNING", "Running"),
        state(4, "SCHEDULED", "AwaitingRetry"),
        state(6, "RUNNING", "Retrying"),
        state(8, "COMPLETED", "Completed"),
    ]
    task = prefect(trace, 3, "task", 1, name="fetch", end_ns=START_NS + 8 * S, events=states)
    sandbox.deliver([task])
    assert [(r["attempt"], r["status"]) for r in sandbox.attempts()] == [
        (1, "failed"),
        (2, "completed"),
    ]
    sandbox.deliver([prefect(trace, 1, "flow", name="nightly", status="error", message="boom")])
    (execution,) = sandbox.executions()
    assert (execution["workflow"], execution["status"]) == ("nightly", "failed")
    assert execution["error_message"] == "boom"
    assert {r["workflow"] for r in sandbox.attempts()} == {"nightly"}


def test_cicd_results(sandbox: Sandbox) -> None:
    trace = trace_id()
    run = {"cicd.pipeline.name": "build", "cicd.pipeline.run.id": f"run-{trace}"}
    task = {**run, "cicd.pipeline.task.name": "unit tests", "cicd.pipeline.task.run.id": "t-1"}
    sandbox.deliver(
        [
            span(trace, 2, 1, attributes={**task, "cicd.pipeline.task.run.result": "timeout"}),
            span(trace, 1, attributes={**run, "cicd.pipeline.result": "failure"}),
        ]
    )
    assert [(r["workflow"], r["status"]) for r in sandbox.executions()] == [("build", "failed")]
    assert sandbox.step("unit tests")["status"] == "timed_out"


def test_attributes_of_ours_override_a_convention(sandbox: Sandbox) -> None:
    trace = trace_id()
    attributes = {
        "temporalWorkflowID": f"w-{trace}",
        "temporalRunID": "r",
        "stallwatch.step": "charge the card",
        "stallwatch.queue": "payments",
        "stallwatch.attempt": 3,
        "stallwatch.workflow": "order",
        "stallwatch.timeout_s": 30,
    }
    sandbox.deliver(
        [
            span(
                trace, 2, 1, name="RunActivity:charge", attributes=attributes,
                scope="temporalio.contrib.opentelemetry._interceptor",
            )
        ]
    )  # fmt: skip
    row = sandbox.step("charge the card")
    assert (row["queue"], row["attempt"], row["timeout_s"]) == ("payments", 3, 30.0)
    assert row["workflow"] == "order"


def test_other_sdks_of_temporal(sandbox: Sandbox) -> None:
    trace = trace_id()
    identity = {"temporalWorkflowID": f"w-{trace}", "temporalRunID": "r"}
    run = span(trace, 1, name="RunWorkflow:Order", scope="temporal-sdk-go", attributes=identity)
    run |= {"status": "error", "message": "continue as new"}
    sandbox.deliver([run])
    assert [r["status"] for r in sandbox.executions()] == ["continued"]


def test_a_workflow_of_temporal_may_tell_its_waits(sandbox: Sandbox) -> None:
    trace = trace_id()
    identity = {"temporalWorkflowID": f"w-{trace}", "temporalRunID": "r", "stallwatch.step": "ask"}
    scope = "temporalio.contrib.opentelemetry._interceptor"
    begin = {**identity, "stallwatch.waiting_on": "human"}
    sandbox.deliver([span(trace, 2, 1, name="asked", scope=scope, attributes=begin)])
    row = sandbox.step("ask")
    assert (row["status"], row["waiting_on"]) == ("waiting", "human")
    sandbox.deliver([span(trace, 4, 1, name="answered", scope=scope, attributes=identity)])
    assert sandbox.step("ask")["status"] == "completed"


def test_a_cancelled_workflow_of_temporal_is_not_a_failed_one(sandbox: Sandbox) -> None:
    trace = trace_id()
    thrown = {
        "exception.type": "temporalio.exceptions.CancelledError",
        "exception.message": "Cancelled",
    }
    sandbox.deliver(
        [
            span(
                trace, 2, 1, name="CompleteWorkflow:Order", scope="temporalio.contrib.opentelemetry",
                attributes={"temporalWorkflowID": f"w-{trace}", "temporalRunID": "r"},
                events=[{"name": "exception", "at_ns": START_NS, "attributes": thrown}],
            )
        ]
    )  # fmt: skip
    assert [r["status"] for r in sandbox.executions()] == ["cancelled"]
