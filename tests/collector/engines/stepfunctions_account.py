"""State machines of one test in a real interpreter (moto), and the poller that watches them."""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from collector.engines.reading import Parts, Piece
from collector.engines.registry import engine
from collector.engines.stepfunctions.poll import StepFunctionsPoller
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.store import Store
from tests.collector.engines.stepfunctions_endpoint import (
    CLOCK,
    Endpoint,
    eventually,
)
from tests.collector.engines.timelines import read_all, stored

ROLE: Final = "arn:aws:iam::123456789012:role/stallwatch"
LAMBDA: Final = "arn:aws:lambda:us-east-1:123456789012:function:f"
NUMBERS: Final = itertools.count(1)
PASS: Final = {"Type": "Pass", "End": True}
ENGINE: Final = engine("stepfunctions")


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
