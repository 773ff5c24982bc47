"""Real DBOS workflows whose spans and rows both came: every attempt counts once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.conventions import conventions
from collector.engines.dbos import Dbos
from collector.engines.reading import Hints
from stallwatch.store import Body, EventRow, Store
from tests.collector.engines.timelines import FIXTURES, load, read_all
from tests.otlp import recorded, request

ENGINE = Dbos()
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SPANS = recorded("dbos")


@pytest.fixture
def both(store_root: Store) -> Iterator[Store]:
    rooted = Store(store_root.engine, conventions=conventions())
    with rooted.scratch("dbos_two_roads", NOW) as store:
        yield store


def spans(store: Store, its: Sequence[dict[str, Any]] = SPANS) -> None:
    store.insert_otlp([Body(request(its), NOW, "shop", "default")])
    store.fold(NOW)


def rows(store: Store) -> None:
    readings = read_all(ENGINE, [ENGINE.parts(load(FIXTURES / "dbos" / "tables.json"), Hints(NOW))])
    events = [
        EventRow(event, NOW, "poll:dbos", "history")
        for reading in readings
        for event in reading.events
    ]
    store.insert_event_rows(events)
    store.fold(NOW)


def attempts(store: Store) -> list[tuple[Any, ...]]:
    found = store.select(
        "SELECT execution_id, step, step_run_id, attempt, status FROM attempts "
        "ORDER BY execution_id, toUInt32OrZero(step_run_id), step, attempt"
    )
    return [tuple(row.values()) for row in found]


EXPECTED = [
    ("w_child-1", "DBOS.sleep", "1", 1, "completed"),
    ("w_child-1", "w_ok", "2", 1, "completed"),
    ("w_child-1", "DBOS.getResult", "3", 1, "completed"),
    ("w_child-1-2", "ok", "1", 1, "completed"),
    ("w_fail-1", "ok", "1", 1, "completed"),
    ("w_fail-1", "bad", "2", 1, "failed"),
    ("w_ok-1", "ok", "1", 1, "completed"),
    ("w_retry-1", "ok", "1", 1, "completed"),
    ("w_retry-1", "flaky", "2", 1, "failed"),
    ("w_retry-1", "flaky", "2", 2, "failed"),
    ("w_retry-1", "flaky", "2", 3, "completed"),
    ("w_stall-1", "ok", "1", 1, "completed"),
    ("w_stall-1", "DBOS.recv", "2", 1, "completed"),
    ("w_stallstep-1", "slow", "1", 1, "completed"),
]


@pytest.mark.parametrize("roads", [(spans, rows), (rows, spans)])
def test_each_attempt_counts_once(both: Store, roads: Sequence[Any]) -> None:
    for road in roads:
        road(both)
    assert attempts(both) == EXPECTED
    executions = both.select("SELECT execution_id, workflow, status, trace_id FROM executions")
    assert len(executions) == 7
    traces = {row["execution_id"]: row["trace_id"] for row in executions}
    assert all(traces.values())
    starts = both.select("SELECT execution_id, starts FROM attempt_fold FINAL")
    roads_of = [[start["road"] for start in row["starts"]] for row in starts]
    assert all(len(found) == len(set(found)) for found in roads_of)


def test_the_spans_of_a_replay_are_of_the_steps_that_they_replay(both: Store) -> None:
    """A recovered workflow goes through its steps again, and finds what they gave."""
    first = [span for span in SPANS if span["attributes"].get("operationUUID") == "w_fail-1"]
    later_ns = 10**9
    again = [
        {
            **span,
            "span_id": span["span_id"][::-1],
            "parent_span_id": span.get("parent_span_id", "")[::-1],
            "start_ns": span["start_ns"] + later_ns,
            "end_ns": span["start_ns"] + later_ns + 1000,
        }
        for span in first
    ]
    rows(both)
    spans(both, [*first, *again])
    its = [attempt for attempt in attempts(both) if attempt[0] == "w_fail-1"]
    assert its == [attempt for attempt in EXPECTED if attempt[0] == "w_fail-1"]


def test_calls_of_one_step_at_the_same_time(both: Store) -> None:
    """Three calls began in a row and ended the other way round."""
    began_ms = 1_795_340_511_000
    calls = [(0, 90), (10, 60), (20, 40)]
    status = {
        "workflow_uuid": "fan-1", "name": "fan", "status": "SUCCESS",
        "created_at": began_ms, "updated_at": began_ms + 100, "completed_at": began_ms + 100,
    }  # fmt: skip
    operations = [
        {
            "workflow_uuid": "fan-1",
            "function_id": number,
            "function_name": "pay",
            "started_at_epoch_ms": began_ms + start,
            "completed_at_epoch_ms": began_ms + end,
        }
        for number, (start, end) in enumerate(calls, 1)
    ]
    document = {"workflow_status": [status], "operation_outputs": operations}
    (reading,) = read_all(ENGINE, [ENGINE.parts(document, Hints(NOW))])
    its_spans = [
        {
            "trace_id": "f" * 32,
            "span_id": f"{number:016x}",
            "parent_span_id": "e" * 16,
            "name": "pay",
            "scope": "dbos-tracer",
            "start_ns": (began_ms + start) * 10**6 + 300_000,
            "end_ns": (began_ms + end) * 10**6 + 2_000_000,
            "attributes": {"operationType": "step", "operationUUID": "fan-1"},
        }
        for number, (start, end) in enumerate(calls, 1)
    ]
    # One of them was lost.
    spans(both, its_spans[:1] + its_spans[2:])
    both.insert_event_rows([EventRow(e, NOW, "poll:dbos", "history") for e in reading.events])
    both.fold(NOW)
    assert attempts(both) == [("fan-1", "pay", str(n), 1, "completed") for n in (1, 2, 3)]
    found = both.select("SELECT step_run_id, span_id FROM attempts ORDER BY step_run_id")
    assert [row["span_id"] for row in found] == [f"{1:016x}", "", f"{3:016x}"]
