"""A run of a real flow that exported its spans, and the answers of the API about it: everything counts once."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.conventions import conventions
from collector.engines.prefect import Prefect
from collector.engines.reading import Hints
from stallwatch.store import Body, EventRow, Store
from tests.collector.engines.timelines import FIXTURES, load, read_all
from tests.otlp import request

ENGINE = Prefect()
FOLDER = FIXTURES / "prefect"
NOW = datetime(2026, 11, 22, 18, 10, 15, tzinfo=UTC)
SPANS = [json.loads(line) for line in (FOLDER / "spans.jsonl").read_text().splitlines()]
TRACE = SPANS[0]["trace_id"]


@pytest.fixture
def both(store_root: Store) -> Iterator[Store]:
    rooted = Store(store_root.engine, conventions=conventions())
    with rooted.scratch("prefect_two_roads", NOW) as store:
        yield store


def spans(store: Store) -> None:
    store.insert_otlp([Body(request(SPANS), NOW, "shop", "default")])
    store.fold(NOW)


def answers(store: Store) -> None:
    readings = read_all(ENGINE, [ENGINE.parts(load(FOLDER / "answers.json"), Hints(NOW))])
    store.insert_event_rows(
        [
            EventRow(event, NOW, "poll:prefect", "history")
            for reading in readings
            for event in reading.events
            if event.execution_id == TRACE
        ]
    )
    store.fold(NOW)


def counted(store: Store) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    executions = store.select("SELECT workflow, execution_id, status, trace_id FROM executions")
    attempts = store.select(
        "SELECT step, step_run_id, attempt, status, workflow FROM attempts ORDER BY step, step_run_id, attempt"
    )
    return [tuple(row.values()) for row in executions], [tuple(row.values()) for row in attempts]


@pytest.mark.parametrize("roads", [(spans, answers), (answers, spans)])
def test_each_attempt_counts_once(both: Store, roads: Sequence[Any]) -> None:
    for road in roads:
        road(both)
    executions, attempts = counted(both)
    assert executions == [("order", TRACE, "completed", TRACE)]
    tasks = {row["id"] for row in load(FOLDER / "answers.json")["task_runs"]}
    assert {call for _, call, _, _, _ in attempts} <= tasks
    assert [(step, attempt, status) for step, _, attempt, status, _ in attempts] == [
        ("flaky", 1, "failed"),
        ("flaky", 2, "completed"),
        ("inner", 1, "completed"),
        *[("reserve", 1, "completed")] * 5,
    ]
    assert {workflow for *_, workflow in attempts} == {"order"}


def test_spans_alone_have_names_that_come_again(both: Store) -> None:
    spans(both)
    ((workflow, *_),), attempts = counted(both)
    flows = {flow["id"]: flow["name"] for flow in load(FOLDER / "answers.json")["flows"]}
    assert flows[workflow] == "order"
    assert {step for step, *_ in attempts} == {"flaky", "reserve"}
