"""Polling a real interpreter of state machines (moto), over real HTTP."""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from collector.engines.reading import Hints
from collector.engines.stepfunctions.aws import as_json
from stallwatch.errors import Transient
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.stepfunctions_account import (
    ENGINE,
    LAMBDA,
    PASS,
    Account,
    attempts,
    chain,
    send,
    statuses,
    wait,
)
from tests.collector.engines.stepfunctions_endpoint import (
    CLOCK,
    eventually,
    refusal,
)
from tests.collector.engines.timelines import read_all

pytestmark = pytest.mark.slow

ENDS: Final = {
    "SUCCEEDED": "completed", "FAILED": "failed", "TIMED_OUT": "timed_out",
    "ABORTED": "terminated", "RUNNING": "running",
}  # fmt: skip


def test_every_situation_is_in_the_store_as_the_interpreter_says(
    account: Account, store: Store, queue_url: str
) -> None:
    nowhere = queue_url.replace("work", "nowhere")
    callback = send(queue_url, Resource="arn:aws:states:::sqs:sendMessage.waitForTaskToken")
    callback["Parameters"] = {"QueueUrl": queue_url, "MessageBody": {"token.$": "$$.Task.Token"}}
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.n", "IsPresent": True, "Next": "C"}],
        "Default": "C",
    }
    caught = [{"ErrorEquals": ["States.ALL"], "Next": "C"}]
    retried = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    situations = {
        "choice": chain(A={"Type": "Pass"}, B=choice, C=PASS),
        "fails": chain(A={"Type": "Pass"}, F={"Type": "Fail", "Error": "No", "Cause": "no"}),
        "both": chain(P={"Type": "Parallel", "Branches": [chain(L=wait(1)), chain(R=PASS)]}),
        "each": chain(M={"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": chain(I=PASS)}),
        "retries": chain(T=send(nowhere, Retry=retried)),
        "catches": chain(T=send(nowhere, Catch=caught, Next="C"), C=PASS),
        "spread": chain(M={
            "Type": "Map", "ItemsPath": "$.items", "Label": "spread",
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **chain(I=PASS)},
        }),
        "late": {**chain(W=wait(60)), "TimeoutSeconds": 1},
        "silent": chain(T={**callback, "HeartbeatSeconds": 1, "TimeoutSeconds": 30}),
        "sleeps": chain(A={"Type": "Pass"}, W=wait(3600)),
        "asks": chain(T={**callback, "HeartbeatSeconds": 600, "TimeoutSeconds": 3600}),
        "stopped": chain(W=wait(3600)),
    }  # fmt: skip
    watch = account.watch()
    arns = {}
    for name, definition in situations.items():
        account.machine(name, definition)
        arns[name] = account.start(name, data={"items": [1, 2]})
    watch.look()
    account.client.stop_execution(executionArn=arns["stopped"])
    open_ones = {arns["sleeps"], arns["asks"]}
    closing_ones = [arn for arn in arns.values() if arn not in open_ones]
    eventually(lambda: all(account.status(arn) != "RUNNING" for arn in closing_ones), "still open")
    watch.look()
    watch.look()
    watch.to(store)
    found = statuses(store)
    assert {arn: found[arn] for arn in arns.values()} == {
        arn: ENDS[account.status(arn)] for arn in arns.values()
    }
    assert attempts(store, arns["sleeps"])[-1] == ("W", 1, "waiting")
    assert attempts(store, arns["asks"]) == [("T", 1, "waiting")]
    assert attempts(store, arns["retries"]) == [("T", 1, "failed"), ("T", 2, "failed")]
    assert [status for _, _, status in attempts(store, arns["both"])].count("completed") >= 2
    # Nothing was fetched twice, though moto gives the whole history whatever it is asked for.
    assert set(watch.facts().values()) == {1}
    polled = {
        (event.execution_id, event.event_id): event
        for reading in read_all(ENGINE, watch.parts)
        for event in reading.events
    }
    for event in imported(account, arns.values()):
        assert polled[event.execution_id, event.event_id] == event


def imported(account: Account, arns: Iterable[str]) -> Iterator[StepEvent]:
    """The step events of whole histories, as an import of them gives."""
    for arn in arns:
        history = as_json(account.client.get_execution_history(executionArn=arn))
        document = {"executionArn": arn, "events": history["events"]}
        for reading in read_all(ENGINE, [ENGINE.parts(document, Hints(CLOCK.now()))]):
            assert reading.events
            yield from reading.events


def test_definitions_come_once_for_each_revision(account: Account) -> None:
    account.machine("one", chain(A={"Type": "Task", "Resource": LAMBDA, "TimeoutSeconds": 7}))
    account.machine("quick", chain(A=PASS), type="EXPRESS")
    watch = account.watch()
    definitions = [one for piece in watch.look() for one in piece.parts.definitions]
    assert {(one.workflow, one.step, one.timeout_s) for one in definitions} == {
        (f"{account.name}-one", "", None),
        (f"{account.name}-one", "A", 7),
        (f"{account.name}-quick", "", None),
        (f"{account.name}-quick", "A", None),
    }
    assert watch.look() == []
    account.client.update_state_machine(
        stateMachineArn=account.machines["one"], definition=json.dumps(chain(B=PASS))
    )
    later = CLOCK.now() + timedelta(minutes=20)
    assert [one.step for piece in watch.look(later) for one in piece.parts.definitions] == ["", "B"]
    assert watch.look(later + timedelta(minutes=20)) == []


def test_a_version_has_its_definition_when_it_is_first_seen(account: Account) -> None:
    machine = account.machine("one", chain(A=PASS))
    arn = account.run("one")
    item = account.client.list_executions(stateMachineArn=machine)["executions"][0]
    item = {
        **item,
        "startDate": item["startDate"].timestamp(),
        "stateMachineVersionArn": f"{machine}:3",
    }
    item.pop("stopDate", None)
    account.endpoint.script["ListExecutions"] = lambda _: {"executions": [item]}
    described: list[str] = []

    def describe(parameters: dict[str, Any]) -> dict[str, Any] | None:
        described.append(parameters["stateMachineArn"])
        if not described[-1].endswith(":3"):
            return None
        old = json.dumps(chain(Old=PASS))
        return {"stateMachineArn": f"{machine}:3", "name": "one", "definition": old}

    account.endpoint.script["DescribeStateMachine"] = describe
    watch = account.watch(lookback="1h")
    account.endpoint.refuse["GetExecutionHistory"] = deque([refusal("KmsThrottlingException")])
    with pytest.raises(Transient):
        watch.look()
    watch.look()
    steps = {one.workflow_version: one.step for part in watch.parts for one in part.definitions}
    assert steps == {"": "A", "3": "Old"}
    assert described == [machine, f"{machine}:3"]
    assert watch.events_of(arn) > 0


def test_express_state_machines_and_excluded_ones_are_not_listed(account: Account) -> None:
    account.machine("quick", chain(A=PASS), type="EXPRESS")
    account.machine("not-this", chain(A=PASS))
    account.machine("this", chain(A=PASS))
    watch = account.watch(exclude=("*-not-*",))
    watch.look()
    assert watch.mark is not None
    assert list(json.loads(watch.mark)["sources"]) == [account.machines["this"]]


def test_what_is_not_stored_is_fetched_again(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    watch = account.watch()
    watch.look()
    arn = account.run("one")
    looking = watch.poller.poll(watch.mark, CLOCK.now())
    assert isinstance(looking, Iterator)
    lost = next(looking)
    # The store is away: whoever asked for the piece does not come back for the next.
    looking.close()  # type: ignore[attr-defined]
    assert [fragment.execution for fragment in lost.parts.fragments] == [arn]
    assert len(watch.look()) == 1
    assert watch.look() == []


def test_a_restart_goes_on_at_the_mark(account: Account, store: Store) -> None:
    account.machine("sleeps", chain(W=wait(2)))
    account.machine("one", chain(A=PASS))
    first = account.watch(lookback="1h")
    past = account.run("one", "past")
    open_then = account.start("sleeps", "open-then")
    assert {piece.historical for piece in first.look() if piece.parts.fragments} == {True, False}
    eventually(lambda: account.status(open_then) != "RUNNING", "still open")
    account.run("one", "closed-meanwhile")
    account.machine("new", chain(A=PASS))
    account.run("new", "of-a-new-one")
    second = account.watch(first.mark, lookback="1h")
    pieces = [piece for piece in second.look() if piece.parts.fragments]
    names = {
        fragment.execution.rpartition(":")[2]
        for piece in pieces
        for fragment in piece.parts.fragments
    }
    assert {"open-then", "closed-meanwhile", "of-a-new-one"} <= names
    # `past` may come again, as lists are only eventually right; it stays what it was.
    again = {
        fragment.execution
        for piece in pieces
        if piece.historical
        for fragment in piece.parts.fragments
    }
    assert again <= {past}
    second.parts = [*first.parts, *second.parts]
    second.to(store)
    assert set(statuses(store).values()) == {"completed"}


def test_one_that_was_open_for_days_is_found_by_its_name(account: Account) -> None:
    machine = account.machine("sleeps", chain(W=wait(2)))
    first = account.watch()
    arn = account.start("sleeps")
    first.look()
    eventually(lambda: account.status(arn) != "RUNNING", "still open")
    # No list that is read shows it any more.
    account.endpoint.script["ListExecutions"] = lambda _: {"executions": []}
    second = account.watch(first.mark)
    pieces = second.look()
    assert [fragment.execution for piece in pieces for fragment in piece.parts.fragments] == [arn]
    assert not any(piece.historical for piece in pieces)
    assert account.endpoint.calls["DescribeExecution"] == 1
    assert second.mark is not None
    assert "unfinished" not in json.loads(second.mark)["sources"][machine]


def test_pages_of_aws_are_read_from_the_end(account: Account) -> None:
    """AWS gives pages, newest first if asked: an open execution costs a call a look, however long it is."""
    account.endpoint.pages_histories = True
    passes = {f"P{i}": {"Type": "Pass"} for i in range(130)}
    account.machine(
        "long", chain(**passes, W=wait(3), **{f"Q{i}": {"Type": "Pass"} for i in range(40)})
    )
    watch = account.watch()
    watch.look()
    arn = account.start("long")
    eventually(lambda: watch.look() and watch.events_of(arn) >= 262, "the passes do not come")
    eventually(lambda: account.status(arn) != "RUNNING", "still open")
    before = account.endpoint.calls["GetExecutionHistory"]
    watch.look()
    assert watch.events_of(arn) == 1 + 2 * 171 + 1
    assert set(watch.facts().values()) == {1}
    # 82 new events in pages of 50.
    assert account.endpoint.calls["GetExecutionHistory"] - before == 2


def test_the_calls_of_a_look(account: Account) -> None:
    """What docs/engines/stepfunctions.md says about costs."""
    account.endpoint.pages_histories = True
    for name in ("a", "b", "c"):
        account.machine(name, chain(W=wait(3600)))
    watch = account.watch()
    calls = account.endpoint.calls
    watch.look()
    first = Counter(calls)
    assert first == {"ListStateMachines": 1, "DescribeStateMachine": 3, "ListExecutions": 6}
    watch.look()
    assert calls - first == {"ListExecutions": 3}
    for i in range(5):
        account.start("a", f"e-{i}")
    watch.look()
    before = Counter(calls)
    watch.look()
    assert calls - before == {"ListExecutions": 3, "GetExecutionHistory": 5}
    for i in range(5, 12):
        account.start("a", f"e-{i}")
    watch.look()
    before = Counter(calls)
    watch.look()
    assert calls - before == {"ListExecutions": 4, "GetExecutionHistory": 12}


def test_a_look_is_bounded_and_everyone_has_a_turn(account: Account) -> None:
    account.machine("many", chain(W=wait(3600)))
    for i in range(30):
        account.start("many", f"e-{i:02}")
    watch = account.watch(max_calls_per_s=20, every="1s")
    calls = account.endpoint.calls
    first = watch.look()
    assert sum(calls.values()) <= 20
    told = {fragment.execution for piece in first for fragment in piece.parts.fragments}
    # That all are open is known at once, from the list; histories come newest first.
    assert told == set(account.executions)
    looked = [
        piece.parts.fragments[0].execution for piece in first if len(piece.parts.fragments) == 1
    ]
    assert looked == sorted(account.executions, reverse=True)[: len(looked)]
    for _ in range(4):
        before = sum(calls.values())
        watch.look()
        assert sum(calls.values()) - before <= 20
    assert {execution for execution, _ in watch.facts()} == set(account.executions)


@pytest.mark.parametrize("payloads", [True, False])
def test_payloads_need_not_leave_aws(account: Account, payloads: bool) -> None:
    account.machine("one", chain(A=PASS))
    account.run("one")
    asked: list[dict[str, Any]] = []
    account.endpoint.script["GetExecutionHistory"] = asked.append
    account.watch(payloads=payloads, lookback="1h").look()
    assert [one["includeExecutionData"] for one in asked] == [payloads]
