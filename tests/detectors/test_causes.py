"""What the findings of a tick have in common: judged from counted attempts, and asked of a real store."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from detectors import causes
from detectors.brain import Brain
from detectors.causes import NAMED_BYTES_MAX, NAMED_MAX, causes_of, sample_of, stated, worth_asking
from detectors.detector import Row
from detectors.population import Trouble
from stallwatch.config import load_detectors
from stallwatch.model.causes import EVIDENCE, Cause, cause_of
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.detectors.outage import FLOWS, Shop
from tests.detectors.support import NOW

NAMES = (
    "namespace",
    "engine",
    "workflow",
    "workflow_version",
    "step",
    "queue",
    "downstream",
    "region",
)


def trouble(
    workflow: str,
    step: str,
    executions: tuple[str, ...],
    detector: str = "stalled_step",
    **evidence: Any,
) -> Trouble:
    finding = Finding(
        detector=detector,
        severity=Severity.WARNING,
        status=Status.FIRING,
        namespace="default",
        engine="custom",
        workflow=workflow,
        step=step,
        executions=executions[:100],
        count=len(executions),
        first_seen=NOW,
        last_seen=NOW,
        fingerprint=f"{detector}:{workflow}:{step}",
        title="",
        explanation="",
        evidence=evidence,
        next_steps=(),
    )
    return Trouble(finding, executions)


def row(attempts: int = 1, execution: str = "", **said: Any) -> Row:
    """Attempts that ended well, unless they are those of an execution, which are open."""
    known: dict[str, Any] = dict.fromkeys(NAMES, "")
    known |= {"namespace": "default", "engine": "custom", "worker": ""}
    known |= {"is_open": bool(execution), "has_failed": False}
    return {**known, "attempts": attempts, "execution": execution, **said}


def keys(found: Mapping[str, Cause]) -> dict[str, str]:
    return {name: cause.words for name, cause in found.items()}


def test_steps_that_call_the_same_are_told_so() -> None:
    rows = [
        *(row(execution=f"o-{i}", workflow="order", step="charge", downstream="stripe") for i in range(9)),
        *(row(execution=f"r-{i}", workflow="refund", step="pay", downstream="stripe") for i in range(9)),
        row(500, workflow="order", step="reserve"),
        row(300, workflow="order", step="charge", downstream="paypal"),
        row(500, workflow="refund", step="note"),
        row(40, workflow="refund", step="pay", downstream="stripe"),
    ]  # fmt: skip
    troubles = [
        trouble("order", "charge", tuple(f"o-{i}" for i in range(9))),
        trouble("refund", "pay", tuple(f"r-{i}" for i in range(9))),
    ]
    found = causes_of(rows, troubles, {})
    assert keys(found) == {
        "stalled_step:order:charge": "downstream stripe",
        "stalled_step:refund:pay": "downstream stripe",
    }
    cause = found["stalled_step:order:charge"]
    assert (cause.share, cause.inside, cause.outside) == (1.0, 0.3103, 0.0)


def test_bursts_count_what_failed_where_they_are() -> None:
    """They name few executions or none; what counts is how many attempts fail."""
    rows = [
        row(50, workflow="order", step="charge", workflow_version="2", has_failed=True),
        row(50, workflow="order", step="reserve", workflow_version="2", has_failed=True),
        row(80, workflow="order", step="charge", workflow_version="2"),
        row(900, workflow="order", step="charge", workflow_version="1"),
        row(900, workflow="order", step="reserve", workflow_version="1"),
        row(30, workflow="invoice", step="render", has_failed=True),
    ]
    troubles = [
        trouble("order", "charge", (), "error_burst"),
        trouble("order", "reserve", (), "error_burst"),
    ]
    found = causes_of(rows, troubles, {})
    assert set(keys(found).values()) == {"version 2 of order"}
    assert len(found) == 2
    assert found["error_burst:order:charge"].inside == pytest.approx(100 / 180, abs=1e-4)


def test_a_workflow_is_not_to_blame_for_two_of_its_steps() -> None:
    rows = [row(400, workflow="order", step=f"s{i}") for i in range(8)]
    rows += [row(900, workflow="invoice", step=f"s{i}") for i in range(8)]
    rows += [row(execution=f"a-{i}", workflow="order", step="s0") for i in range(5)]
    rows += [row(execution=f"b-{i}", workflow="order", step="s1") for i in range(5)]
    troubles = [
        trouble("order", "s0", tuple(f"a-{i}" for i in range(5))),
        trouble("order", "s1", tuple(f"b-{i}" for i in range(5))),
    ]
    assert keys(causes_of(rows, troubles, {})) == {
        "stalled_step:order:s0": "step s0 of order",
        "stalled_step:order:s1": "step s1 of order",
    }


def test_a_cause_that_says_less_than_half_of_it_is_none() -> None:
    rows = [
        *(row(execution=f"o-{i}", workflow="order", step="charge", queue="a") for i in range(20)),
        *(row(execution=f"x-{i}", workflow="misc", step=f"s{i}", queue="b") for i in range(10)),
        *(row(execution=f"x-{i}", workflow="misc", step=f"s{i}", queue="a") for i in range(10, 14)),
        row(900, workflow="misc", step="other", queue="b"),
    ]
    troubles = [
        trouble("order", "charge", tuple(f"o-{i}" for i in range(20))),
        trouble("misc", "", tuple(f"x-{i}" for i in range(14)), "overdue_execution"),
    ]
    found = keys(causes_of(rows, troubles, {}))
    assert found["stalled_step:order:charge"] != found.get("overdue_execution:misc:")


def test_what_a_dead_queue_says_of_itself_is_its_cause_without_statistics() -> None:
    dead = trouble("", "", ("o-1",), "dead_queue", group="queue", queue="payments").finding
    cause = stated(dead)
    assert cause is not None
    assert cause.words == "queue payments"
    assert (cause.namespace, cause.engine, cause.workflow) == ("default", "custom", "")
    throttled = trouble("order", "charge", (), "throttled", downstream="stripe").finding
    assert stated(throttled) == Cause(dimension="downstream", value="stripe", share=1.0)
    assert stated(trouble("order", "charge", ("o-1",), downstream="stripe").finding) is None


def test_of_many_executions_some_are_asked_for_and_small_findings_whole() -> None:
    many = trouble("order", "charge", tuple(f"order-{i:020}" for i in range(50_000)))
    few = trouble("refund", "pay", tuple(f"refund-{i}" for i in range(40)))
    sample = sample_of([many, few])
    assert len(sample.named) <= NAMED_MAX
    assert sum(len(name) + 3 for name in sample.named) <= NAMED_BYTES_MAX * 1.1
    assert set(sample.named) >= set(few.executions)
    asked = len(sample.named) - len(few.executions)
    assert sample.stand_for == {("default", "custom", "order", "charge"): 50_000 / asked}
    assert sample_of([few]).stand_for == {}
    assert sample_of([]).named == []


def test_a_finding_that_does_not_name_all_of_its_executions_stands_for_more() -> None:
    one = trouble("order", "charge", tuple(f"o-{i}" for i in range(100)))
    cut = Trouble(replace(one.finding, count=2000), one.executions)
    place = ("default", "custom", "order", "charge")
    assert sample_of([cut]).stand_for == {place: 20.0}
    rows = [
        *(row(execution=f"o-{i}", workflow="order", step="charge") for i in range(100)),
        # Most of these hang too.
        {**row(1950, workflow="order", step="charge"), "is_open": True},
        row(2000, workflow="order", step="charge"),
        row(2000, workflow="order", step="reserve"),
    ]
    (cause,) = causes_of(rows, [cut], {place: 20.0}).values()
    assert (cause.words, cause.inside) == ("step charge of order", 0.5)


def test_one_small_finding_is_not_worth_asking() -> None:
    one = trouble("order", "charge", ("o-1",))
    assert not worth_asking([one])
    assert worth_asking([one, trouble("order", "ship", ("o-2",))])
    assert worth_asking([trouble("order", "charge", tuple(f"o-{i}" for i in range(10)))])


@pytest.mark.parametrize("said", [None, "stripe", {"dimension": 3}, {}])
def test_what_is_no_cause_in_the_evidence_is_none(said: Any) -> None:
    assert cause_of({EVIDENCE: said}) is None
    assert cause_of({}) is None


class Watch:
    """A brain on a shop; the findings' causes by workflow and step."""

    def __init__(self, store: Store, now: datetime) -> None:
        self.shop = Shop(store, now)
        self.now = now
        asked = load_detectors({"enabled": ["stalled_step", "retries_exhausted"]}, "test")
        self.state = State(None)
        self.brain = Brain(store, self.state, asked, now - timedelta(hours=1))

    def tick(self, after_s: float, only: list[str] | None = None) -> dict[tuple[str, str], str]:
        self.shop.land(self.now + timedelta(seconds=after_s))
        self.brain.tick(self.now + timedelta(seconds=after_s), only)
        found = {
            (one.workflow, one.step): cause_of(one.evidence)
            for one in self.brain.findings()
            if one.status is Status.FIRING
        }
        return {place: cause.words if cause else "" for place, cause in found.items()}


def test_a_dead_worker_is_found_in_the_store_and_its_name_stays(
    store: Store, now: datetime
) -> None:
    watch = Watch(store, now)
    shop = watch.shop
    places = [(workflow, step) for workflow, steps in FLOWS.items() for step in steps]
    stuck = {place: shop.attempts(8, *place, late=True, worker="w-dead") for place in places}
    shop.business(60)
    for place in places:
        shop.attempts(3, *place, late=False, worker="w-dead")
    expected = dict.fromkeys(places, "worker w-dead")
    assert watch.tick(0) == expected
    # Another detector's turn: nobody asked for these findings, and they are what they were.
    assert watch.tick(5, ["retries_exhausted"]) == expected
    # All but one finding are over; what explained it goes on explaining it.
    for place, names in stuck.items():
        if place != places[0]:
            shop.recover(names, place[1], now + timedelta(seconds=10))
    assert watch.tick(20) == {places[0]: "worker w-dead"}


@pytest.mark.parametrize("imported", [0, 20_000])
def test_some_of_the_others_stand_for_all_and_what_is_found_is_copied(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch, imported: int
) -> None:
    monkeypatch.setattr(causes, "BACKGROUND", 100)
    watch = Watch(store, now)
    past = (now - timedelta(days=3)).isoformat()
    ended = {"event": "step.completed", "time": past, "workflow": "old", "step": "import"}
    names = ({**ended, "execution_id": f"old-{number}"} for number in range(imported))
    store.insert_events([event_from_dict(one, now) for one in names], now, "import")
    watch.shop.outage(200, "stripe")
    watch.shop.business(50)
    for workflow, (step, _) in FLOWS.items():
        watch.shop.attempts(50, workflow, step, late=False, downstream="stripe")
    watch.tick(0)
    rows = store.select("SELECT evidence FROM findings")
    found = [msgspec.json.decode(row["evidence"])["cause"] for row in rows]
    assert [cause["value"] for cause in found] == ["stripe"] * 4
    assert found[0]["inside"] == pytest.approx(0.5, abs=0.1)
