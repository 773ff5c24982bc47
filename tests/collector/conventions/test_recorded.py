"""Spans that real engines sent become the executions and attempts that really were."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stallwatch.store import Store
from tests.collector.conventions.conftest import NOW
from tests.collector.conventions.sandbox import Sandbox, exported_before
from tests.otlp import recorded

GOLDEN = Path(__file__).parent / "golden"
NAMES = ["temporal_legacy", "temporal_plugin", "durabletask", "dbos"]


def golden(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("name", NAMES)
def test_all_spans_give_what_was_recorded(sandbox: Sandbox, name: str) -> None:
    assert sandbox.deliver(recorded(name)).picture() == golden(name)


@pytest.mark.parametrize("name", NAMES)
def test_span_after_span_as_exported_ends_the_same(sandbox: Sandbox, name: str) -> None:
    spans = recorded(name)
    quarters = [
        spans[i : i + len(spans) // 4 + 1] for i in range(0, len(spans), len(spans) // 4 + 1)
    ]
    assert sandbox.deliver(*quarters).picture() == golden(name)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_any_order_and_repetition_gives_the_same(
    spans_store: Store, data: st.DataObject, name: str
) -> None:
    spans = recorded(name)
    shuffled = data.draw(st.permutations(spans))
    again = data.draw(st.lists(st.sampled_from(spans), max_size=10))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(spans) - 1), max_size=3)))
    bounds = [0, *cuts, len(spans)]
    batches = [shuffled[a:b] for a, b in itertools.pairwise(bounds) if a < b]
    sandbox = Sandbox(spans_store, NOW)
    assert sandbox.deliver(*batches, again).picture() == golden(name)


@pytest.mark.parametrize("mode", ["legacy", "plugin"])
def test_temporal_shows_what_is_open_as_open(sandbox: Sandbox, mode: str) -> None:
    # Seven seconds in: one activity hangs, one has no worker, one workflow waits for a signal.
    sandbox.deliver(exported_before(recorded(f"temporal_{mode}"), 7.0))
    status = {row["execution_id"]: row["status"] for row in sandbox.executions()}
    for name in ("stallact", "noworker", "stallsignal"):
        assert status[f"{name}-{mode}"] == "running"
    assert status[f"ok-{mode}"] == "completed"
    assert sandbox.step("hb_live")["status"] == "scheduled"
    assert sandbox.step("nobody")["status"] == "scheduled"


def test_temporal_between_start_and_first_task_has_no_run_yet(sandbox: Sandbox) -> None:
    spans = [s for s in recorded("temporal_legacy") if s["name"] == "StartWorkflow:OkWf"]
    (row,) = sandbox.deliver(spans).executions()
    assert (row["workflow"], row["status"], row.get("run_id")) == ("OkWf", "running", None)


def test_temporal_continue_as_new_is_two_runs_the_first_continued(sandbox: Sandbox) -> None:
    sandbox.deliver(recorded("temporal_legacy"))
    runs = [row for row in sandbox.executions() if row["execution_id"] == "contnew-legacy"]
    assert [run["status"] for run in runs] == ["continued", "completed"]
    assert runs[0]["ended_at"] == runs[1]["started_at"]


def test_temporal_broken_code_starts_the_run_again_and_again_but_once(sandbox: Sandbox) -> None:
    spans = [s for s in recorded("temporal_legacy") if s["name"].endswith("Workflow:OkWf")]
    ok = [s for s in spans if s["attributes"]["temporalWorkflowID"] == "ok-legacy"]
    (run,) = [s for s in ok if s["name"] == "RunWorkflow:OkWf"]
    later = {**run, "span_id": "00000000000000aa", "start_ns": run["start_ns"] + 60_000_000_000}
    later["end_ns"] = later["start_ns"]
    sandbox.deliver(ok, [later])
    (row,) = sandbox.executions()
    assert row["status"] == "completed"
    (count,) = sandbox.store.select(
        "SELECT count() AS n FROM step_events WHERE namespace = {n:String} AND event = 'workflow.started'",
        {"n": sandbox.namespace},
    )
    assert count["n"] == 2  # the client's, which knows no run, and the run's


def test_temporal_attempts_that_overlap_after_a_timeout_are_two(sandbox: Sandbox) -> None:
    sandbox.deliver(recorded("temporal_legacy"))
    slow = [r for r in sandbox.attempts() if r["execution_id"] == "timeout-legacy"]
    assert [r["attempt"] for r in slow] == [1, 2]
    starts = sandbox.store.select(
        "SELECT length(starts) AS n FROM attempt_fold FINAL WHERE namespace = {n:String}",
        {"n": sandbox.namespace},
    )
    assert {row["n"] for row in starts} <= {0, 1}


def test_durable_open_orchestration_is_running_until_its_span_comes(sandbox: Sandbox) -> None:
    sandbox.deliver(exported_before(recorded("durabletask"), 3.0))
    status = {row["execution_id"]: row["status"] for row in sandbox.executions()}
    assert status["o_wait-1"] == status["o_stallact-1"] == "running"
    assert status["o_ok-1"] == "completed"


def test_durable_counts_an_activity_once_and_its_retries_as_attempts(sandbox: Sandbox) -> None:
    sandbox.deliver(recorded("durabletask"))
    flaky = [r for r in sandbox.attempts() if r["step"] == "flaky"]
    assert [(r["attempt"], r["status"]) for r in flaky] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]
    timer = [r for r in sandbox.attempts() if r["execution_id"] == "o_timeout-1"]
    assert [(r["step"], r["waiting_on"], r["due"][:19]) for r in timer] == [
        ("timer", "timer", "2026-11-22T09:44:54")
    ]


def test_dbos_speaks_two_dialects(sandbox: Sandbox) -> None:
    new_names = {
        "operationUUID": "dbos.operation.uuid",
        "operationType": "dbos.operation.type",
        "applicationVersion": "dbos.application.version",
        "executorID": "dbos.executor.id",
    }
    spans = [
        {
            **span,
            "attributes": {new_names.get(k, k): v for k, v in span["attributes"].items()},
        }
        for span in recorded("dbos")
    ]
    assert sandbox.deliver(spans).picture() == golden("dbos")


def test_a_run_of_days_that_ends_now_is_news(sandbox: Sandbox) -> None:
    day_ns = 86_400 * 10**9
    end_ns = int(NOW.timestamp()) * 10**9
    (run,) = [
        span
        for span in recorded("temporal_plugin")
        if span["name"] == "RunWorkflow:OkWf" and span["attributes"]["temporalWorkflowID"] == "ok-plugin"
    ]  # fmt: skip
    sandbox.deliver([{**run, "start_ns": end_ns - 3 * day_ns, "end_ns": end_ns}])
    rows = sandbox.store.select(
        "SELECT historical, status FROM executions WHERE namespace = {n:String}",
        {"n": sandbox.namespace},
    )
    assert rows == [{"historical": False, "status": "completed"}]
    old = Sandbox(sandbox.store, NOW)
    old.deliver([{**run, "start_ns": end_ns - 3 * day_ns, "end_ns": end_ns - 2 * day_ns}])
    (row,) = old.store.select(
        "SELECT historical FROM executions WHERE namespace = {n:String}", {"n": old.namespace}
    )
    assert row["historical"] is True
