"""One incident, not ten thousand alerts: from events in a real store to what a receiver is sent over HTTP."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from alerts import incidents
from alerts.dispatcher import Dispatcher
from alerts.grouping import Kind, Reason, Transition
from detectors.brain import Brain
from stallwatch.clock import ManualClock
from stallwatch.config import load_detectors
from stallwatch.config.alerts import AlertsConfig
from stallwatch.model.causes import Cause, cause_of
from stallwatch.model.findings import Incident
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.alerts.helpers import StandIn, stand_in
from tests.detectors.outage import FLOWS, Shop


class World:
    """Brain and dispatcher on one state, as in `serve`."""

    def __init__(self, store: Store, now: datetime, url: str) -> None:
        self.store = store
        self.shop = Shop(store, now)
        self.now = now
        self.clock = ManualClock(now)
        self.state = State(None)
        asked = load_detectors({"enabled": ["stalled_step", "retries_exhausted"]}, "test")
        self.brain = Brain(store, self.state, asked, now - timedelta(hours=1))
        config = {"receivers": [{"name": "oncall", "webhook_configs": [{"url": url}]}]}
        self.dispatcher = Dispatcher(
            self.state, AlertsConfig.model_validate(config), self.clock, CollectorRegistry()
        )

    def tick(self, after_s: float) -> list[Transition]:
        at = self.now + timedelta(seconds=after_s)
        self.clock.advance((at - self.clock.now()).total_seconds())
        self.brain.tick(at)
        return self.dispatcher.tick()

    def open(self) -> list[Incident]:
        with self.state.transaction() as db:
            return incidents.load_open(db)


@pytest.fixture
def receiver() -> Iterator[StandIn]:
    with stand_in() as one:
        yield one


@pytest.fixture
def world(store: Store, now: datetime, receiver: StandIn) -> Iterator[World]:
    one = World(store, now, receiver.url)
    yield one
    one.dispatcher.close()
    one.state.close()


def cause(incident: Incident) -> Cause:
    causes = {found.key: found for one in incident.findings if (found := cause_of(one.evidence))}
    (found,) = causes.values()
    return found


def test_a_dead_downstream_is_one_incident_and_one_alert(world: World, receiver: StandIn) -> None:
    world.shop.outage(10_000, "stripe")
    world.shop.business(300)
    world.shop.attempts(60, "order", "reserve", late=True)
    world.shop.attempts(40, "refund", "note", late=True)
    world.shop.land()
    opened = [one.incident for one in world.tick(0)]
    (outage,) = [one for one in opened if one.executions >= 1000]
    assert (cause(outage).dimension, cause(outage).value) == ("downstream", "stripe")
    assert cause(outage).inside == 1.0
    assert outage.executions == 10_000
    assert {(one.workflow, one.step) for one in outage.findings} == {
        (workflow, step) for workflow, (step, _) in FLOWS.items()
    }
    assert outage.severity == "critical"
    # The others stay their own.
    others = {(one.workflow, one.step) for it in opened if it is not outage for one in it.findings}
    assert others == {("order", "reserve"), ("refund", "note")}
    assert len(opened) == 3
    for after_s in (3, 20, 40):
        world.tick(after_s)
    assert [len(request.body["alerts"]) for request in receiver.requests] == [4, 1, 1]
    told = receiver.requests[0].body
    assert told["groupLabels"]["cause"] == "downstream stripe"


def test_two_causes_at_once_are_two_incidents(world: World, receiver: StandIn) -> None:
    world.shop.outage(1000, "stripe", ("order", "invoice"))
    for step, workflow in (("note", "refund"), ("mail", "subscription"), ("render", "invoice")):
        world.shop.attempts(200, workflow, step, late=True, region="asia")
        world.shop.attempts(40, workflow, step, late=False, region="asia")
    world.shop.business(300)
    world.shop.land()
    opened = [one.incident for one in world.tick(0)]
    assert sorted((cause(one).dimension, cause(one).value) for one in opened) == [
        ("downstream", "stripe"),
        ("region", "asia"),
    ]
    assert len(receiver.requests) == 2
    world.store.write_incidents(opened, world.now)
    rows = world.store.select("SELECT dimension, value FROM incidents ORDER BY dimension")
    assert [tuple(row.values()) for row in rows] == [("downstream", "stripe"), ("region", "asia")]


def test_an_incident_keeps_its_id_while_its_findings_come_and_go(
    world: World, receiver: StandIn
) -> None:
    shop = world.shop
    charges = shop.attempts(200, "order", "charge", late=True, downstream="stripe")
    shop.business(200)
    shop.land()
    (first,) = world.tick(0)
    shop.attempts(300, "invoice", "collect", late=True, downstream="stripe")
    shop.land()
    (grown,) = world.tick(20)
    assert grown.incident.id == first.incident.id
    assert (grown.kind, grown.reason) == (Kind.CHANGED, Reason.FINDING_JOINED)
    assert cause(grown.incident).words == "downstream stripe"
    shop.recover(charges, "charge", world.now + timedelta(seconds=30))
    shop.land(world.now + timedelta(seconds=30))
    world.tick(40)
    (left,) = world.open()
    assert left.id == first.incident.id
    assert cause(left).words == "downstream stripe"
    # One alert, and no second within the group interval: that it grew is told later.
    assert len(receiver.requests) == 1
