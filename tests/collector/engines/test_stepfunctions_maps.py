"""Polling redriven executions and distributed maps of a real interpreter (moto)."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from collector.engines.stepfunctions import region
from collector.engines.stepfunctions.watching import Mark, SourceMark
from stallwatch.store import Store
from tests.collector.engines.stepfunctions_account import (
    ENGINE,
    PASS,
    Account,
    chain,
    kinds,
    statuses,
    wait,
)
from tests.collector.engines.stepfunctions_endpoint import (
    CLOCK,
    eventually,
)
from tests.collector.engines.timelines import read_all, stored

pytestmark = pytest.mark.slow


def test_a_redriven_execution_goes_on_where_it_was(account: Account, store: Store) -> None:
    machine = account.machine("one", chain(A={"Type": "Pass"}, F={"Type": "Fail", "Error": "No"}))
    watch = account.watch()
    watch.look()
    arn = account.run("one")
    watch.look()
    events = account.client.get_execution_history(executionArn=arn)["events"]
    last = events[-1]["id"]
    at = (CLOCK.now() + timedelta(seconds=1)).timestamp()
    # Recorded from AWS: https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html.
    redriven = {
        "id": last + 1, "previousEventId": last, "timestamp": at, "type": "ExecutionRedriven",
        "executionRedrivenEventDetails": {"redriveCount": 1},
    }  # fmt: skip
    item = {
        "executionArn": arn, "stateMachineArn": machine, "name": "e", "status": "RUNNING",
        "startDate": events[0]["timestamp"].timestamp(), "redriveCount": 1, "redriveDate": at,
    }  # fmt: skip
    account.endpoint.script["ListExecutions"] = lambda _: {"executions": [item]}
    account.endpoint.script["GetExecutionHistory"] = lambda _: {"events": [redriven]}
    watch.look(CLOCK.now() + timedelta(minutes=2))
    assert watch.events_of(arn) == last + 1
    opened = read_all(ENGINE, watch.parts)
    # What comes now is a page that does not say that there was a redrive.
    ended = {
        "id": last + 2,
        "previousEventId": last + 1,
        "timestamp": at + 1,
        "type": "ExecutionAborted",
    }
    account.endpoint.script["GetExecutionHistory"] = lambda _: {"events": [ended, redriven]}
    item["status"], item["stopDate"] = "ABORTED", at + 1
    watch.look(CLOCK.now() + timedelta(minutes=2))
    assert set(watch.facts().values()) == {1}
    stored(store, opened, CLOCK.now() + timedelta(seconds=2))
    assert statuses(store) == {arn: "running"}
    watch.to(store)
    assert statuses(store) == {arn: "terminated"}


def test_the_executions_of_a_distributed_map_are_executions(account: Account, store: Store) -> None:
    """moto runs them and does not list them: here they are listed as AWS does."""
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        **chain(I=PASS),
    }
    account.machine(
        "spread",
        chain(
            M={"Type": "Map", "Label": "items", "ItemsPath": "$.items", "ItemProcessor": processor}
        ),
    )
    account.machine("child", chain(I=PASS))
    model = account.run("child")
    history = account.client.get_execution_history(executionArn=model)["events"]
    for event in history:
        event["timestamp"] = event["timestamp"].timestamp()
    child = f"arn:aws:states:us-east-1:123456789012:execution:{account.name}-spread/items:c1"
    express = child.replace("execution:", "express:").replace(":c1", ":c2:c3")

    def listed(parameters: dict[str, Any]) -> dict[str, Any] | None:
        if "mapRunArn" not in parameters:
            return None
        if parameters.get("statusFilter") == "RUNNING":
            return {"executions": []}
        about = {"status": "SUCCEEDED", "name": "c1", "mapRunArn": parameters["mapRunArn"],
                 "stateMachineArn": f"{account.machines['spread']}/items",
                 "startDate": history[0]["timestamp"], "stopDate": history[-1]["timestamp"]}  # fmt: skip
        return {"executions": [{**about, "executionArn": one} for one in (child, express)]}

    account.endpoint.script["ListExecutions"] = listed
    account.endpoint.script["GetExecutionHistory"] = lambda parameters: (
        {"events": history} if parameters["executionArn"] == child else None
    )
    watch = account.watch(exclude=("*-child",))
    watch.look()
    parent = account.run("spread", data={"items": [1, 2, 3]})
    for _ in range(4):
        watch.look()
    watch.to(store)
    assert statuses(store) == {parent: "completed", child: "completed"}
    parents = store.select("SELECT execution_id, parent_execution_id FROM executions")
    assert {"execution_id": child, "parent_execution_id": parent} in parents
    assert account.endpoint.calls["DescribeMapRun"] == 1
    assert watch.mark is not None
    assert ":mapRun:" not in watch.mark


def test_a_flood_of_children_leaves_room_for_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region, "WATCHED_MAX", 20)
    machine = account.machine("sleeps", chain(W=wait(3600)))
    at = CLOCK.now().timestamp()
    children = [
        {"executionArn": f"arn:aws:states:us-east-1:123456789012:execution:m/l:{i}", "name": str(i),
         "stateMachineArn": f"{machine}/l", "status": "RUNNING", "startDate": at}
        for i in range(100)
    ]  # fmt: skip
    account.endpoint.script["ListExecutions"] = lambda parameters: (
        {"executions": children} if "mapRunArn" in parameters else None
    )
    run = "arn:aws:states:us-east-1:123456789012:mapRun:m/l:1"
    account.endpoint.script["DescribeMapRun"] = lambda _: {
        "mapRunArn": run, "executionArn": children[0]["executionArn"], "status": "RUNNING", "startDate": at,
        "maxConcurrency": 1, "toleratedFailurePercentage": 0, "toleratedFailureCount": 0,
        "itemCounts": {}, "executionCounts": {},
    }  # fmt: skip
    account.endpoint.script["GetExecutionHistory"] = lambda _: {
        "events": [{"id": 1, "previousEventId": 0, "timestamp": at, "type": "ExecutionStarted"}]
    }
    now = CLOCK.now()
    source = SourceMark(is_map_run=True, began=now)
    mark = msgspec.json.encode(Mark(now, {run: source})).decode()
    watch = account.watch(mark)
    watch.look()
    for i in range(12):
        account.start("sleeps", f"e-{i}")
    watch.look()
    assert watch.mark is not None
    remembered = json.loads(watch.mark)["sources"]
    assert len(remembered[run]["unfinished"]) == 10
    assert len(remembered[machine]["unfinished"]) == 10


def test_map_runs_that_were_done_are_not_read_again_after_a_restart(account: Account) -> None:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        **chain(I=PASS),
    }
    each = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor}
    account.machine("spread", chain(M=each, W=wait(3600)))
    account.endpoint.script["ListExecutions"] = lambda parameters: (
        {"executions": []} if "mapRunArn" in parameters else None
    )
    first = account.watch()
    arn = account.start("spread", data={"items": [1]})
    eventually(lambda: first.look() and "WaitStateEntered" in kinds(first, arn), "no wait")
    first.look()
    first.look(CLOCK.now() + timedelta(minutes=10))
    assert account.endpoint.calls["DescribeMapRun"] == 1
    second = account.watch(first.mark)
    second.look()
    assert second.events_of(arn) == first.events_of(arn)
    second.look()
    assert account.endpoint.calls["DescribeMapRun"] == 1


def test_map_runs_whose_executions_moto_cannot_list_do_not_keep_the_others_waiting(
    account: Account,
) -> None:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        **chain(I=PASS),
    }
    account.machine(
        "spread", chain(M={"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": processor})
    )
    watch = account.watch()
    watch.look()
    account.run("spread", data={"items": [1]})
    watch.look()
    watch.look()
    arn = account.run("spread", "again", {"items": [1]})
    watch.look()
    assert watch.events_of(arn) > 0
