"""Who hears what when incidents merge and split: nobody is paged twice for one trouble, and every end is told."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alerts.dispatcher import Dispatcher
from alerts.ledger import Address
from alerts.message import Message
from stallwatch.clock import ManualClock
from stallwatch.config.alerts import AlertsConfig
from stallwatch.model.causes import EVIDENCE, Cause
from stallwatch.model.findings import Finding, Status
from stallwatch.store.state import State
from tests.alerts.helpers import NOW, finding

STRIPE = Cause(dimension="downstream", value="stripe", inside=0.9, outside=0.01, score=5.0)
QUEUE = Cause(dimension="queue", value="payments", inside=0.9, score=5.0)
HOOK = [{"url": "https://example.com"}]


class Recorder:
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def heard(self) -> list[tuple[str, str, str]]:
        """Status, reason and key of each message since this was last asked."""
        told = [(str(one.status), one.why, one.dedup_key) for one in self.messages]
        self.messages.clear()
        return told


class World:
    """Everyone hears of everything; the team of invoices of its own."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.state = State(None)
        self.everyone, self.team = Recorder(), Recorder()
        data: dict[str, Any] = {
            "receivers": [
                {"name": "everyone", "webhook_configs": HOOK},
                {"name": "team", "webhook_configs": HOOK},
            ],
            "route": [
                {"receiver": "everyone", "continue": True},
                {"receiver": "team", "matchers": ["workflow=invoice"]},
            ],
        }
        self.dispatcher = Dispatcher(
            self.state,
            AlertsConfig.model_validate(data),
            self.clock,
            CollectorRegistry(),
            targets={
                Address("everyone", "webhook/0"): self.everyone,
                Address("team", "webhook/0"): self.team,
            },
        )

    def tick(self, *findings: Finding) -> None:
        self.state.save_findings(findings)
        self.clock.advance(60)
        self.dispatcher.tick()


@pytest.fixture
def world() -> Iterator[World]:
    one = World()
    yield one
    one.dispatcher.close()
    one.state.close()


def trouble(
    workflow: str, cause: Cause | None, count: int, status: Status = Status.FIRING
) -> Finding:
    one = finding(
        f"of-{workflow}", workflow=workflow, count=count, executions=(), status=status, number=1
    )
    return one if cause is None else replace(one, evidence={EVIDENCE: cause.as_evidence()})


def test_a_merge_pages_nobody_again_and_every_end_is_told(world: World) -> None:
    world.tick(trouble("order", None, 40))
    ((_, _, order),) = world.everyone.heard()
    assert world.team.heard() == []
    world.tick(trouble("invoice", None, 5))
    ((_, _, invoice),) = world.everyone.heard()
    assert world.team.heard() == [("firing", "", invoice)]
    # They turn out to be one. Who knew both learns where the smaller went.
    world.tick(trouble("order", STRIPE, 40), trouble("invoice", STRIPE, 5))
    (merged,) = world.everyone.messages
    assert merged.lines == (
        f"Merged into another incident, which goes on: http://127.0.0.1:8900/?incident={order}",
    )
    assert world.everyone.heard() == [("resolved", "", invoice)]
    # Who knew the smaller one only goes on with it, under its key.
    assert world.team.heard() == []
    for _ in range(6):
        world.tick()
    assert world.everyone.heard() == []
    assert world.team.heard() == [("firing", "More findings joined.", invoice)]
    over = [trouble(name, STRIPE, 5, Status.RESOLVED) for name in ("order", "invoice")]
    world.tick(*over)
    assert world.everyone.heard() == [("resolved", "", order)]
    assert world.team.heard() == [("resolved", "", invoice)]
    world.tick()
    assert world.everyone.heard() == world.team.heard() == []


def test_a_split_pages_for_the_new_one_only(world: World) -> None:
    both = [trouble("order", STRIPE, 7), trouble("refund", STRIPE, 2)]
    world.tick(*both)
    ((_, _, first),) = world.everyone.heard()
    world.tick(trouble("refund", QUEUE, 2))
    (new,) = world.everyone.messages
    ((status, why, second),) = world.everyone.heard()
    assert (status, why) == ("firing", "")
    assert second != first
    assert new.lines[0] == (f"Until now this was part of http://127.0.0.1:8900/?incident={first}")
    for _ in range(10):
        world.tick()
    assert world.everyone.heard() == []


def test_a_message_tells_the_cause_and_what_all_findings_share(world: World) -> None:
    cause = replace(STRIPE, also=("queue payments",))
    world.tick(trouble("order", cause, 40), trouble("invoice", cause, 5))
    (told,) = world.everyone.messages
    assert told.title == "Downstream stripe: charge of invoice is stalled (and 1 more finding)"
    assert told.lines[0] == (
        "What they share is downstream stripe (queue payments cannot be told apart from it): 90 % of its attempts, "
        "open or of the last minutes, are affected, elsewhere 1 %."
    )
    assert told.fields == {
        "detector": "stalled_step",
        "namespace": "shop",
        "engine": "temporal",
        "step": "charge",
        "cause": "downstream stripe",
    }
    # The team's route matches one of its findings.
    assert len(world.team.messages) == 1
