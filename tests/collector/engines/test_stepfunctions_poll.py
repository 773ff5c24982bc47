"""Polling a real interpreter of state machines (moto), over real HTTP."""

import itertools
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from collector.engines.reading import Hints, Parts, Piece
from collector.engines.registry import engine
from collector.engines.stepfunctions import region
from collector.engines.stepfunctions.aws import as_json
from collector.engines.stepfunctions.poll import StepFunctionsPoller
from collector.engines.stepfunctions.watching import Mark, SourceMark
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.errors import Permanent, Transient
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.stepfunctions_endpoint import (
    CLOCK,
    THROTTLED,
    Endpoint,
    client_of,
    eventually,
    moto_server,
    refusal,
)
from tests.collector.engines.timelines import read_all, stored

pytestmark = pytest.mark.slow
ROLE: Final = "arn:aws:iam::123456789012:role/stallwatch"
LAMBDA: Final = "arn:aws:lambda:us-east-1:123456789012:function:f"
NUMBERS: Final = itertools.count(1)
PASS: Final = {"Type": "Pass", "End": True}
ENGINE: Final = engine("stepfunctions")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("moto")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        with moto_server(folder) as port:
            yield port


@pytest.fixture
def endpoint(moto: int) -> Iterator[Endpoint]:
    with closing(Endpoint(moto)) as endpoint:
        yield endpoint


@dataclass
class Account:
    """State machines of one test, whose names begin with its name."""

    name: str
    endpoint: Endpoint
    client: Any
    machines: dict[str, str] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)
    watches: list["Watch"] = field(default_factory=list)

    def machine(self, name: str, definition: dict[str, Any], **more: Any) -> str:
        answer = self.client.create_state_machine(
            name=f"{self.name}-{name}", definition=json.dumps(definition), roleArn=ROLE, **more
        )
        self.machines[name] = answer["stateMachineArn"]
        return str(answer["stateMachineArn"])

    def start(self, machine: str, name: str = "e", data: object = None) -> str:
        answer = self.client.start_execution(
            stateMachineArn=self.machines[machine], name=name, input=json.dumps(data or {})
        )
        arn = str(answer["executionArn"])
        self.executions[arn] = machine
        return arn

    def run(self, machine: str, name: str = "e", data: object = None) -> str:
        """Start one and wait for its end."""
        arn = self.start(machine, name, data)
        eventually(lambda: self.status(arn) != "RUNNING", f"{machine} does not end")
        return arn

    def status(self, arn: str) -> str:
        return str(self.client.describe_execution(executionArn=arn)["status"])

    def config(self, **fields: Any) -> StepFunctionsConfig:
        settings = {
            "endpoint_url": self.endpoint.url,
            "state_machines": (f"{self.name}-*",),
            "max_calls_per_s": 100,
        }
        return StepFunctionsConfig(**{**settings, **fields})

    def watch(self, mark: str | None = None, **fields: Any) -> "Watch":
        watch = Watch(StepFunctionsPoller(ENGINE, self.config(**fields)), mark)
        self.watches.append(watch)
        return watch


@dataclass
class Watch:
    """A poller, and what it gave."""

    poller: StepFunctionsPoller
    mark: str | None = None
    parts: list[Parts] = field(default_factory=list)

    def look(self, at: datetime | None = None) -> list[Piece]:
        pieces = []
        for piece in self.poller.poll(self.mark, at or CLOCK.now()):
            self.mark = piece.mark or self.mark
            self.parts.append(piece.parts)
            pieces.append(piece)
        return [piece for piece in pieces if piece.parts.fragments or piece.parts.definitions]

    def facts(self) -> Counter[tuple[str, str]]:
        """How often each event of a history was handed over."""
        return Counter(
            (fragment.execution, identity)
            for parts in self.parts
            for fragment in parts.fragments
            for identity in fragment.facts
            if identity.isdigit()
        )

    def to(self, store: Store) -> None:
        stored(store, read_all(ENGINE, self.parts), CLOCK.now() + timedelta(seconds=1))

    def events_of(self, arn: str) -> int:
        return sum(1 for execution, _ in self.facts() if execution == arn)


@pytest.fixture
def account(endpoint: Endpoint, moto: int, request: pytest.FixtureRequest) -> Iterator[Account]:
    client = client_of(f"http://127.0.0.1:{moto}")
    name = f"t{next(NUMBERS)}-{request.function.__name__[5:35].strip('_').replace('_', '-')}"
    account = Account(name, endpoint, client)
    yield account
    for watch in account.watches:
        watch.poller.close()
    for arn in account.machines.values():
        client.delete_state_machine(stateMachineArn=arn)
    client.close()


def statuses(store: Store) -> dict[str, str]:
    rows = store.select("SELECT execution_id, status FROM executions")
    return {row["execution_id"]: row["status"] for row in rows}


def attempts(store: Store, arn: str) -> list[tuple[str, int, str]]:
    rows = store.select(
        "SELECT step, attempt, status FROM attempts WHERE execution_id = {arn:String} "
        "ORDER BY ifNull(scheduled_at, ifNull(started_at, waiting_at)), step, branch, attempt",
        {"arn": arn},
    )
    return [(row["step"], row["attempt"], row["status"]) for row in rows]


def chain(**states: dict[str, Any]) -> dict[str, Any]:
    """States one after the other, unless they say themselves where to go."""
    names = list(states)
    for name, then in zip(names, [*names[1:], ""], strict=True):
        if not {"Next", "End", "Choices"} & states[name].keys() and states[name]["Type"] != "Fail":
            states[name] = {**states[name], **({"Next": then} if then else {"End": True})}
    return {"StartAt": names[0], "States": states}


def send(queue_url: str, **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": queue_url, "MessageBody": "x"},
        **fields,
    }


def wait(seconds: int) -> dict[str, Any]:
    return {"Type": "Wait", "Seconds": seconds}


@pytest.fixture
def queue_url(moto: int) -> Iterator[str]:
    with closing(client_of(f"http://127.0.0.1:{moto}", "sqs")) as sqs:
        yield str(sqs.create_queue(QueueName="work")["QueueUrl"])


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


def test_an_endpoint_that_is_away_is_asked_again_and_nothing_is_lost(
    account: Account, store: Store
) -> None:
    account.machine("sleeps", chain(A={"Type": "Pass"}, W=wait(2), B={"Type": "Pass"}))
    watch = account.watch()
    before = account.start("sleeps", "before")
    watch.look()
    account.endpoint.go_away()
    during = account.run("sleeps", "during")
    with pytest.raises(Transient, match="does not answer list_executions"):
        watch.look()
    eventually(lambda: account.status(before) != "RUNNING", "still open")
    account.endpoint.come()
    pieces = watch.look()
    assert {fragment.execution for piece in pieces for fragment in piece.parts.fragments} == {
        before,
        during,
    }
    assert not any(piece.historical for piece in pieces)
    assert set(watch.facts().values()) == {1}
    watch.to(store)
    assert set(statuses(store).values()) == {"completed"}


def test_throttling_ends_the_look_and_the_next_one_goes_on(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    watch = account.watch()
    watch.look()
    arns = [account.run("one", f"e-{i}") for i in range(3)]
    # Three times is as often as one call is tried.
    account.endpoint.refuse["GetExecutionHistory"] = deque([THROTTLED] * 3)
    with pytest.raises(Transient, match="AWS throttles GetExecutionHistory") as caught:
        watch.look()
    assert caught.value.retry_after_s == 15
    account.endpoint.refuse["GetExecutionHistory"] = deque([THROTTLED])
    watch.look()
    assert {execution for execution, _ in watch.facts()} == set(arns)
    assert set(watch.facts().values()) == {1}


def test_a_wish_for_how_long_to_wait_is_told(account: Account) -> None:
    status, headers, body = THROTTLED
    answer = (status, {**headers, "Retry-After": "40"}, body)
    account.endpoint.refuse["ListStateMachines"] = deque([answer] * 3)
    with pytest.raises(Transient) as caught:
        account.watch().look()
    assert caught.value.retry_after_s == 40


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


def kinds(watch: Watch, arn: str) -> list[str]:
    """The types of the events of an execution."""
    return [
        fact["type"]
        for parts in watch.parts
        for fragment in parts.fragments
        if fragment.execution == arn
        for identity, fact in fragment.facts.items()
        if identity.isdigit()
    ]


@pytest.mark.parametrize("payloads", [True, False])
def test_payloads_need_not_leave_aws(account: Account, payloads: bool) -> None:
    account.machine("one", chain(A=PASS))
    account.run("one")
    asked: list[dict[str, Any]] = []
    account.endpoint.script["GetExecutionHistory"] = asked.append
    account.watch(payloads=payloads, lookback="1h").look()
    assert [one["includeExecutionData"] for one in asked] == [payloads]


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


def test_one_state_machine_that_is_forbidden_does_not_keep_the_others_waiting(
    account: Account,
) -> None:
    secret = account.machine("secret", chain(A=PASS))
    account.machine("open", chain(A=PASS))
    denied = refusal("AccessDeniedException", "not authorized to perform: states:ListExecutions")
    watch = account.watch()
    watch.look()
    arn = account.run("open")
    account.endpoint.script["ListExecutions"] = lambda parameters: (
        {} if parameters["stateMachineArn"] == secret else None
    )
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "ListExecutions" in headers.get("X-Amz-Target", "") and secret.encode() in body:
            return denied
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch.look()
    assert watch.events_of(arn) > 0


def test_a_history_that_aws_cannot_give_does_not_keep_the_others_waiting(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    broken, *others = [account.run("one", f"e-{i}") for i in range(3)]
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "GetExecutionHistory" in headers.get("X-Amz-Target", "") and broken.encode() in body:
            return 500, {}, b"{}"
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch = account.watch(lookback="1h")
    watch.look()
    assert {execution for execution, _ in watch.facts()} == set(others)
    account.endpoint.answer = real  # type: ignore[method-assign]
    watch.look()
    assert {execution for execution, _ in watch.facts()} == {broken, *others}


@pytest.mark.parametrize(
    ("action", "answer", "error", "reason"),
    [
        ("ListStateMachines", refusal("AccessDeniedException"), Permanent, "do not allow states:ListStateMachines"),
        ("ListExecutions", refusal("AccessDeniedException"), Permanent, "do not allow states:ListExecutions"),
        ("ListStateMachines", refusal("UnrecognizedClientException"), Permanent, "does not accept the credentials"),
        ("ListStateMachines", refusal("ExpiredTokenException"), Permanent, "does not accept the credentials"),
        ("ListStateMachines", (503, {}, b"{}"), Transient, "AWS cannot answer ListStateMachines now: 503"),
        ("ListExecutions", (500, {}, b"{}"), Transient, "AWS cannot answer ListExecutions now: 500"),
        ("GetExecutionHistory", (500, {}, b"{}"), Transient, "AWS cannot answer GetExecutionHistory now: 500"),
        ("ListStateMachines", (200, {}, b"<html>"), Transient, "is not AWS"),
        ("ListStateMachines", refusal("SomethingNew"), Permanent, "AWS refuses ListStateMachines: SomethingNew"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_said_in_plain_words(
    account: Account, action: str, answer: Any, error: type[Exception], reason: str
) -> None:
    account.machine("one", chain(W=wait(3600)))
    for i in range(3):
        account.start("one", f"e-{i}")
    account.endpoint.refuse_always[action] = answer
    with pytest.raises(error, match=reason):
        account.watch().look()


def test_an_execution_that_is_gone_is_forgotten(account: Account) -> None:
    machine = account.machine("sleeps", chain(W=wait(3600)))
    account.start("sleeps")
    account.endpoint.refuse_always["GetExecutionHistory"] = refusal("ExecutionDoesNotExist")
    watch = account.watch()
    watch.look()
    assert watch.mark is not None
    assert "unfinished" not in json.loads(watch.mark)["sources"][machine]


def test_a_role_is_assumed_and_its_credentials_are_used(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    account.machine("one", chain(A=PASS))
    watch = account.watch(role_arn=ROLE, external_id="ours")
    watch.look()
    watch.look()
    assert account.endpoint.calls["AssumeRole"] == 1
    assert "ExternalId=ours" in account.endpoint.bodies[0]
    assumed = account.endpoint.access_keys - {"AKIATEST"}
    assert len(assumed) == 1


def test_credentials_of_a_role_are_renewed_before_they_expire(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    expires = (CLOCK.now() + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIASHORT</AccessKeyId>"
        f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expires}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ).encode()
    account.endpoint.refuse["AssumeRole"] = deque([(200, {"Content-Type": "text/xml"}, body)])
    account.machine("one", chain(A=PASS))
    account.watch(role_arn=ROLE).look()
    assert account.endpoint.calls["AssumeRole"] == 2
    assert len(account.endpoint.access_keys - {"AKIATEST", "ASIASHORT"}) == 1


def test_a_role_that_may_not_be_assumed_is_a_matter_of_credentials(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    account.endpoint.refuse_always["AssumeRole"] = (403, {"Content-Type": "text/xml"}, body)
    with pytest.raises(Permanent, match="does not accept the credentials for AssumeRole"):
        account.watch(role_arn=ROLE).look()


def test_a_region_that_is_away_does_not_keep_the_others_waiting(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    arn = account.run("one")
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "/eu-west-1/" in headers["Authorization"]:
            return 503, {}, b"{}"
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch = account.watch(regions=("eu-west-1", "us-east-1"))
    with pytest.raises(Transient, match="503"):
        watch.look()
    assert watch.events_of(arn) > 0
