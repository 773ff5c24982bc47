"""Payloads near the limit, and payloads that doubled: the judge, and what the store gives it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors.calibration.payloads import Payloads, Sizes, learn_payloads
from detectors.payload_growth import DETECTOR, judge
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick
from stallwatch.store import Store
from tests.detectors.support import EPOCH, NOW, ago, calibration, context, tick

KIB = 1024
PLACE = ("default", "stepfunctions", "report", "gather")
NAMES = dict(zip(("namespace", "engine", "workflow", "step"), PLACE, strict=True))


def sizes(p99: float, n: int = 300, spread: float = 0.0) -> Sizes:
    return Sizes(n, p99 * (1 - spread), p99, p99 * (1 + spread))


def row(p99: float, n: int = 300, near: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        **NAMES, "n": n, "near": near, "sizes": tuple(sizes(p99))[1:], "first_at": ago(600),
        "last_at": ago(1), "largest": [(-p99, "r-1"), (-p99 / 4, "r-2")], **fields,
    }  # fmt: skip


def past(p99: float = 20 * KIB, n: int = 1000, **fields: Any) -> Payloads:
    known = {
        "n": n, "earliest": sizes(p99, min(n, 300)), "earliest_until": ago(86400), "latest": sizes(p99),
        "latest_from": ago(7200), "latest_until": ago(3600), "near": 0, **fields,
    }  # fmt: skip
    return Payloads(**known)


def judged(
    rows: list[dict[str, Any]],
    known: Payloads | None = None,
    policy: dict[str, Any] | None = None,
    epoch: datetime = EPOCH,
) -> list[Observation]:
    payloads = {} if known is None else {PLACE: known}
    return judge(
        tick(epoch=epoch), rows, context(policy, calibration=calibration(payloads=payloads))
    )


def test_near_the_limit_is_told_with_what_is_largest() -> None:
    (found,) = judged([row(215 * KIB, n=10, near=10)])
    assert (found.workflow, found.step, found.executions) == ("report", "gather", ("r-1",))
    assert found.severity is Severity.WARNING
    assert found.since == ago(600)
    assert found.evidence["limit_bytes"] == 256 * KIB
    assert "205 KiB" in found.explanation
    assert "256 KiB" in found.title


@pytest.mark.parametrize(("near", "found"), [(6, 0), (7, 1)])
def test_near_is_more_than_one_in_a_hundred_of_what_came_lately(near: int, found: int) -> None:
    assert len(judged([row(20 * KIB, n=300, near=near)], past())) == found


def test_what_the_calibration_saw_near_counts_too() -> None:
    (found,) = judged([], past(latest=sizes(250 * KIB), near=30))
    assert found.since == ago(7200)
    assert found.executions == ()


def test_an_engine_without_a_limit_has_none() -> None:
    assert judged([row(10**9, engine="custom", near=0)]) == []


def test_twice_the_beginning_of_the_week_is_told() -> None:
    (found,) = judged([row(42 * KIB, n=150)], past())
    assert "2.1 times the 20 KiB" in found.explanation
    assert found.evidence["before_p99_bytes"] == 20 * KIB
    assert judged([row(39 * KIB)], past()) == []


def test_a_doubled_p99_that_may_be_chance_is_not_told() -> None:
    spread = past(earliest=sizes(20 * KIB, spread=1.2))
    assert judged([row(41 * KIB)], spread) == []


@pytest.mark.parametrize(("before", "lately"), [(299, 300), (1000, 99)])
def test_too_few_payloads_say_nothing_of_growth(before: int, lately: int) -> None:
    assert judged([row(90 * KIB, n=lately)], past(n=before)) == []


def test_the_latest_of_the_calibration_are_compared_where_there_are_enough() -> None:
    grown: dict[str, Any] = {"latest": sizes(50 * KIB)}
    assert len(judged([], past(n=600, **grown))) == 1
    assert judged([], past(n=599, **grown)) == []


def test_what_came_before_the_watch_began_is_not_told() -> None:
    assert judged([], past(latest=sizes(250 * KIB), near=30), epoch=ago(60)) == []


def test_policies_silence_and_weigh() -> None:
    near = [row(250 * KIB, near=300)]
    assert judged(near, policy={"policy": [{"step": "gather", "enabled": False}]}) == []
    (found,) = judged(near, policy={"policy": [{"severity": "critical"}]})
    assert found.severity is Severity.CRITICAL


def events(number: int, ended: datetime, size: int) -> list[StepEvent]:
    common = {"workflow": "report", "engine": "stepfunctions", "execution_id": f"r-{number}"}
    step = {**common, "step": "gather", "payload_bytes": size}
    told: list[dict[str, Any]] = [
        {**common, "event": "workflow.started", "time": ended - timedelta(seconds=2)},
        {**step, "event": "step.started", "time": ended - timedelta(seconds=1)},
        {**step, "event": "step.completed", "time": ended},
    ]
    return [event_from_dict({**one, "time": one["time"].isoformat()}, NOW) for one in told]


def test_the_store_gives_what_the_judge_needs(store: Store) -> None:
    """700 grow from 1 to 2 kB; after the calibration come 20, half of them near the limit."""
    learned_at = ago(600)
    before = [
        e for i in range(700) for e in events(i, ago(60_000 - 70 * i), 1000 if i < 350 else 2000)
    ]
    store.insert_events(before, learned_at, "shop")
    store.fold(learned_at)
    known = learn_payloads(store, NOW - timedelta(days=7), learned_at)
    assert known[PLACE].n == 700
    assert (known[PLACE].earliest.p99, known[PLACE].latest) == (1000, Sizes(300, 2000, 2000, 2000))
    after = [e for i in range(20) for e in events(1000 + i, ago(500 - i), 2000 + i % 2 * 220 * KIB)]
    store.insert_events(after, ago(400), "shop")
    store.fold(ago(400))
    told = context(calibration=calibration(payloads=known))
    now = Tick(EPOCH, NOW, EPOCH)
    rows = store.select(DETECTOR.sql, DETECTOR.parameters(now, told))
    assert [(one["n"], one["near"]) for one in rows] == [(20, 10)]
    (found,) = judge(now, rows, told)
    assert found.evidence["near_share"] == round(10 / 320, 4)
    assert set(found.executions) == {f"r-{1001 + 2 * i}" for i in range(10)}
