"""Histories that are more than half full: the judge, and what the store counts."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors.calibration.histories import learn_large_histories
from detectors.history_limit import DETECTOR, judge
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Observation, Severity
from stallwatch.model.ticks import Tick
from stallwatch.store import Store
from tests.detectors.support import EPOCH, NOW, ago, calibration, context, tick

MIB = 1024 * 1024


def row(events: int, execution_id: str = "p-1", **fields: Any) -> dict[str, Any]:
    return {
        "namespace": "default", "engine": "stepfunctions", "workflow": "poller", "execution_id": execution_id,
        "started_at": ago(10_000), "sender": "shop", "received_events": events, "numbered_events": 0,
        "engine_events": 0, "bytes": None, "half_at": ago(2_000), **fields,
    }  # fmt: skip


def judged(rows: list[dict[str, Any]], **more: Any) -> list[Observation]:
    return judge(tick(), rows, context(**more))


def test_more_than_half_of_the_limit_is_told_with_the_date_when_it_is_full() -> None:
    (found,) = judged([row(15_000)])
    assert found.executions == ("p-1",)
    assert found.severity is Severity.WARNING
    assert found.evidence["share"] == 0.6
    # Its latest 7,500 events took 2,000 s: the 10,000 that are left take 2,667 s.
    assert found.evidence["full_at"] == "2026-01-05T12:44:26.666667Z"
    assert "2026-01-05 12:44:26 UTC" in found.explanation
    assert "at least 15,000 events" in found.explanation


@pytest.mark.parametrize(
    ("engine", "events", "found"),
    [
        ("stepfunctions", 12_500, 0),
        ("stepfunctions", 12_501, 1),
        ("temporal", 25_600, 0),
        ("temporal", 25_601, 1),
    ],
)
def test_half_is_not_yet_more_than_half(engine: str, events: int, found: int) -> None:
    assert len(judged([row(events, engine=engine)])) == found


def test_the_engines_own_count_stands_above_what_was_received() -> None:
    (found,) = judged([row(6_000, engine_events=24_000)])
    assert (found.evidence["used"], found.evidence["counted_by"]) == (24_000, "engine")
    assert found.severity is Severity.CRITICAL
    assert "at least" not in found.explanation


def test_what_sequence_numbers_show_was_not_all_received() -> None:
    (found,) = judged([row(3, numbered_events=15_000)])
    assert (found.evidence["used"], found.evidence["counted_by"]) == (15_000, "sequence numbers")
    assert "at least 15,000 events" in found.explanation
    assert "That is what the sequence numbers of its events show" in found.explanation
    (found,) = judged([row(15_000)])
    assert found.evidence["counted_by"] == "events received"
    assert "That is what was received of it" in found.explanation


def test_temporal_also_limits_the_bytes() -> None:
    (found,) = judged([row(300, engine="temporal", bytes=30 * MIB)])
    assert (found.evidence["unit"], found.evidence["share"]) == ("bytes", 0.6)
    assert "30 MB" in found.explanation
    assert judged([row(300, bytes=30 * MIB)]) == []


def test_one_finding_for_a_workflow_the_fullest_first() -> None:
    (found,) = judged([row(13_000, "p-1"), row(20_000, "p-2"), row(9_000, "p-3")])
    assert found.executions == ("p-2", "p-1")
    assert "1 other execution: p-1" in found.explanation


def test_a_silent_sender_leaves_it_unknown_and_a_policy_silences() -> None:
    (found,) = judged([row(15_000)], silent_senders=frozenset({"shop"}))
    assert found.hidden_by == "shop"
    assert judged([row(15_000)], policy={"policy": [{"workflow": "poll*", "enabled": False}]}) == []


def test_a_pace_of_nothing_has_no_date() -> None:
    (found,) = judged([row(15_000, half_at=NOW)])
    assert found.evidence["full_at"] is None


def started(engine: str, execution_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event": "workflow.started",
        "engine": engine,
        "execution_id": execution_id,
        "time": ago(9000),
        **fields,
    }


def insert(store: Store, told: list[dict[str, Any]], road: str = "event") -> None:
    events: list[StepEvent] = [
        event_from_dict({"workflow": "w", **one, "time": one["time"].isoformat()}, NOW)
        for one in told
    ]
    store.insert_events(events, NOW, "shop", road=road)
    store.fold(NOW)


def loop(n: int, since: datetime, **fields: Any) -> list[dict[str, Any]]:
    """The same step again and again, two events a second."""
    return [
        {
            "event": f"step.{what}", "step": "look", "step_run_id": str(i),
            "time": since + timedelta(seconds=i), **fields,
        }
        for i in range(n // 2)
        for what in ("started", "completed")
    ]  # fmt: skip


def select(store: Store, **known: Any) -> list[dict[str, Any]]:
    """With limits of a hundredth: 250 events for Step Functions, 512 for Temporal."""
    told = context(calibration=calibration(**known))
    parameters = DETECTOR.parameters(Tick(EPOCH, NOW, EPOCH), told)
    parameters["limits"] = [limit / 100 for limit in parameters["limits"]]
    return store.select(DETECTOR.sql, parameters)


def test_events_received_are_counted_while_the_run_goes_on(store: Store) -> None:
    for engine, n in (("stepfunctions", 126), ("stepfunctions", 120), ("custom", 126)):
        one = {"engine": engine, "execution_id": f"{engine}-{n}"}
        insert(store, [started(**one), *loop(n, ago(8000), **one)])
    (found,) = select(store)
    assert (found["execution_id"], found["received_events"]) == ("stepfunctions-126", 127)
    assert found["half_at"] == ago(8000) + timedelta(seconds=31)
    insert(
        store,
        [
            {
                **started("stepfunctions", "stepfunctions-126"),
                "event": "workflow.completed",
                "time": ago(1),
            }
        ],
    )
    assert select(store) == []


def test_sequences_count_what_is_not_told(store: Store) -> None:
    one = {"engine": "stepfunctions", "execution_id": "x"}
    (event, last) = loop(2, ago(8000), **one)
    insert(store, [started(sequence=0, **one), {**event, "sequence": 1}, {**last, "sequence": 299}])
    (found,) = select(store)
    assert (found["received_events"], found["numbered_events"]) == (3, 300)


@pytest.mark.parametrize(
    ("engine", "run_id", "event_id"),
    [("stepfunctions", "", "{}/data"), ("temporal", "r-1", "temporal:r-1:{}:scheduled")],
)
def test_a_history_tells_the_engines_own_numbers(
    store: Store, engine: str, run_id: str, event_id: str
) -> None:
    """22 of a history's events (44 for Temporal) are told, the last of them by the number 300."""
    one = {"engine": engine, "execution_id": "x", "run_id": run_id}
    told = loop(44 if engine == "temporal" else 22, ago(8000), **one)
    for number, event in enumerate(told):
        event["event_id"] = event_id.format(300 - len(told) + 1 + number)
    insert(store, [{**started(**one), "event_id": "started"}, *told], road="history")
    (found,) = select(store)
    assert found["engine_events"] == 300


def test_a_run_that_continued_another_begins_anew(store: Store) -> None:
    old = {"engine": "stepfunctions", "execution_id": "x", "run_id": "a"}
    new = {**old, "run_id": "b"}
    insert(store, [started(**old), *loop(126, ago(8000), **old)])
    insert(
        store,
        [
            {**started(**old), "event": "workflow.continued", "time": ago(1000)},
            started(**new, time=ago(999)),
        ],
    )
    insert(store, loop(10, ago(900), **new))
    assert [found["received_events"] for found in select(store)] == [11]


def test_what_had_large_payloads_is_looked_at(store: Store) -> None:
    one = {"engine": "temporal", "execution_id": "x", "run_id": "r"}
    insert(store, [started(**one), *loop(20, ago(8000), payload_bytes=MIB, **one)])
    assert select(store) == []
    known = learn_large_histories(store)
    (found,) = select(store, large_histories=known)
    assert found["bytes"] == 20 * MIB
