"""DBOS's recorded tables: what they say, whatever the order, the splitting and the repetition they come in."""

import base64
import pickle
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dbos._error import DBOSMaxStepRetriesExceeded, DBOSStepTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines.dbos import Dbos
from collector.engines.dbos.errors import error_of
from collector.engines.reading import Fragment, Hints, Parts
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent, check_event
from stallwatch.store import Store
from tests.collector.engines.timelines import (
    FIXTURES,
    NOW,
    gathered,
    load,
    read_all,
    stored,
    timeline,
)

ENGINE = Dbos()
TABLES = FIXTURES / "dbos" / "tables.json"
CREATED = 1_795_340_511_123
HINTS = Hints(NOW)


def status(**columns: Any) -> dict[str, Any]:
    return {
        "workflow_uuid": "w-1",
        "status": "PENDING",
        "name": "order",
        "created_at": CREATED,
        "updated_at": CREATED,
        "recovery_attempts": 1,
        **columns,
    }


def operation(id_: int, name: str, **columns: Any) -> dict[str, Any]:
    return {
        "workflow_uuid": "w-1",
        "function_id": id_,
        "function_name": name,
        "started_at_epoch_ms": CREATED + 10 * id_,
        "completed_at_epoch_ms": CREATED + 10 * id_ + 5,
        **columns,
    }


def told(*documents: dict[str, Any], received_at: datetime = NOW) -> list[StepEvent]:
    parts = [ENGINE.parts(document, Hints(received_at)) for document in documents]
    (reading,) = read_all(ENGINE, parts)
    for event in reading.events:
        check_event(event, received_at)
    return sorted(reading.events, key=lambda event: (event.time, event.event_id))


def only(events: Sequence[StepEvent], kind: str) -> StepEvent:
    (event,) = [event for event in events if event.event == kind]
    return event


def words(events: Sequence[StepEvent]) -> list[str]:
    return [f"{event.event} {event.step}".strip() for event in events]


def pickled(value: object) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


def test_the_recorded_tables(store: Store) -> None:
    readings = read_all(ENGINE, [ENGINE.parts(load(TABLES), HINTS)])
    assert all(reading.is_closed for reading in readings)
    stored(store, readings)
    assert timeline(store) == (FIXTURES / "dbos" / "tables.txt").read_text()


def rows() -> list[tuple[str, dict[str, Any]]]:
    """The recorded rows, and some of a workflow that changes while it is looked at."""
    tables = load(TABLES)
    cancelled = {
        "status": "CANCELLED",
        "completed_at": CREATED + 9000,
        "updated_at": CREATED + 9000,
    }
    resumed = {
        "status": "ENQUEUED",
        "queue_name": "_dbos_internal_queue",
        "updated_at": CREATED + 20_000,
    }
    again = {"started_at_epoch_ms": CREATED + 21_000, "queue_name": "_dbos_internal_queue"}
    done = {
        **again,
        "status": "SUCCESS",
        "completed_at": CREATED + 30_000,
        "updated_at": CREATED + 30_000,
    }
    changing = [
        ("workflow_status", status()),
        ("workflow_status", status(**cancelled)),
        ("workflow_status", status(**resumed, recovery_attempts=0)),
        ("workflow_status", status(**again, updated_at=CREATED + 21_000)),
        ("workflow_status", status(**done)),
        ("operation_outputs", operation(3, "DBOS.sleep", output=str(CREATED / 1000 + 600))),
        ("operation_outputs", operation(2, "DBOS.getEvent")),
    ]
    return changing + [(name, row) for name, its in tables.items() for row in its]


ROWS = rows()
FRAGMENTS = [
    fragment for name, row in ROWS for fragment in ENGINE.parts({name: [row]}, HINTS).fragments
]


def events_of(fragments: Sequence[Fragment]) -> dict[tuple[str, str], StepEvent]:
    readings = read_all(ENGINE, [Parts([fragment]) for fragment in fragments])
    return {(event.execution_id, event.event_id): event for one in readings for event in one.events}


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, len(FRAGMENTS) - 1)), st.randoms(use_true_random=False))
def test_more_facts_never_take_anything_back(some: set[int], shuffled: random.Random) -> None:
    fewer = events_of([FRAGMENTS[index] for index in sorted(some)])
    everything = list(FRAGMENTS) + [FRAGMENTS[index] for index in some]
    shuffled.shuffle(everything)
    more = events_of(everything)
    assert fewer.items() <= more.items()
    assert more == events_of(FRAGMENTS)


def test_rows_say_alone_what_they_say_together() -> None:
    together = events_of(ENGINE.parts(load(TABLES), HINTS).fragments)
    alone = [f for name, row in ROWS[7:] for f in ENGINE.parts(row, HINTS).fragments]
    assert events_of(alone) == together


def test_facts_hold_no_payload() -> None:
    tables = load(TABLES)
    outputs = [row["output"] for row in tables["operation_outputs"] if row["output"]]
    kept = str(gathered([ENGINE.parts(tables, HINTS)]))
    assert not any(output in kept for output in outputs if not output[0].isdigit())


def test_a_sleep_is_open_until_its_time_is_over() -> None:
    ends = NOW + timedelta(minutes=5)
    ends_ms = int(ends.timestamp() * 1000)
    sleep = operation(1, "DBOS.sleep", output=str(ends_ms / 1000), completed_at_epoch_ms=ends_ms)
    document = {"workflow_status": [status()], "operation_outputs": [sleep]}
    (_, waiting) = told(document)
    assert (waiting.event, waiting.waiting_on, waiting.due) == ("step.waiting", "timer", ends)
    later = told(document, received_at=ends)
    assert words(later)[-1] == "step.completed DBOS.sleep"
    # Cancelled meanwhile, it did not end when it was to.
    cancelled = status(status="CANCELLED", completed_at=ends_ms - 1000, updated_at=ends_ms - 1000)
    over = told({**document, "workflow_status": [cancelled]}, received_at=ends)
    assert words(over) == ["workflow.started", "step.waiting DBOS.sleep", "workflow.cancelled"]


def test_a_recv_is_known_by_its_timeout() -> None:
    timeout = operation(2, "DBOS.sleep", output=str(CREATED / 1000 + 600))
    (_, waiting) = told({"workflow_status": [status()], "operation_outputs": [timeout]})
    assert (waiting.step, waiting.step_run_id, waiting.waiting_on) == ("DBOS.recv", "1", "signal")
    assert waiting.due == datetime.fromtimestamp(CREATED / 1000 + 600, UTC)
    both = [timeout, operation(1, "DBOS.recv", completed_at_epoch_ms=CREATED + 500)]
    ended = told({"workflow_status": [status()], "operation_outputs": both})
    assert {event.step_run_id for event in ended[1:]} == {"1"}
    assert words(ended)[-1] == "step.completed DBOS.recv"


def test_a_wait_for_an_event_is_first_taken_for_a_recv() -> None:
    timeout = operation(2, "DBOS.sleep", output=str(CREATED / 1000 + 600))
    asked = operation(1, "DBOS.getEvent", completed_at_epoch_ms=CREATED + 500)
    seen_late = told({"workflow_status": [status()], "operation_outputs": [timeout, asked]})
    assert {event.step for event in seen_late[1:]} == {"DBOS.getEvent"}
    seen_early = told(
        {"workflow_status": [status()], "operation_outputs": [timeout]},
        {"workflow_status": [], "operation_outputs": [timeout, asked]},
    )
    assert "step.cancelled DBOS.recv" in words(seen_early)


def test_an_old_sleep_that_was_recorded_in_an_instant_is_a_timer() -> None:
    sleep = operation(2, "DBOS.sleep", output=str(CREATED / 1000 + 600))
    document = {
        "workflow_status": [status()],
        "operation_outputs": [operation(1, "reserve"), sleep],
    }
    last = told(document, received_at=datetime.fromtimestamp(CREATED / 1000 + 60, UTC))[-1]
    assert (last.event, last.waiting_on, last.step_run_id) == ("step.waiting", "timer", "2")


def test_the_way_through_a_queue() -> None:
    queued = status(status="ENQUEUED", queue_name="payments", recovery_attempts=0)
    scheduled = only(told({"workflow_status": [queued]}), "step.scheduled")
    assert (scheduled.event, scheduled.queue) == ("step.scheduled", "payments")
    taken = status(queue_name="payments", started_at_epoch_ms=CREATED + 700, executor_id="e-1")
    events = told({"workflow_status": [taken]})
    assert only(events, "step.scheduled") == scheduled
    assert only(events, "step.started").worker == "e-1"
    assert only(events, "step.completed").time == only(events, "step.started").time
    until = status(status="DELAYED", queue_name="payments", delay_until_epoch_ms=CREATED + 60_000)
    delayed = only(told({"workflow_status": [until]}), "step.waiting")
    assert (delayed.waiting_on, delayed.queue) == ("timer", "payments")


def test_what_was_cancelled_and_resumed_is_open_again(store: Store) -> None:
    fragments = [f for _, row in ROWS[:4] for f in ENGINE.parts(row, HINTS).fragments]
    (reading,) = read_all(ENGINE, [Parts([fragment]) for fragment in fragments])
    assert not reading.is_closed
    stored(store, [reading])
    assert store.select("SELECT status FROM executions") == [{"status": "running"}]


@pytest.mark.parametrize(
    ("columns", "event", "error"),
    [
        ({"status": "SUCCESS"}, "workflow.completed", ""),
        ({"status": "ERROR", "error": pickled(ValueError("no"))}, "workflow.failed", "ValueError"),
        ({"status": "CANCELLED"}, "workflow.cancelled", ""),
        ({"status": "CANCELLED", "workflow_deadline_epoch_ms": CREATED + 900}, "workflow.timed_out", ""),
        ({"status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}, "workflow.failed", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
        ({"status": "RETRIES_EXCEEDED"}, "workflow.failed", "RETRIES_EXCEEDED"),
    ],
)  # fmt: skip
def test_how_workflows_end(columns: dict[str, Any], event: str, error: str) -> None:
    last = told({"workflow_status": [status(completed_at=CREATED + 1000, **columns)]})[-1]
    assert (last.event, last.error_type) == (event, error)


def test_whole_seconds_end_at_their_last_moment() -> None:
    coarse = 1_795_340_511_000
    row = status(status="SUCCESS", created_at=coarse, updated_at=coarse, completed_at=coarse)
    assert told({"workflow_status": [row]})[-1].time.microsecond == 999_000


def test_milliseconds_may_be_real_numbers() -> None:
    # SQLite's unixepoch('subsec') * 1000 is one.
    (started,) = told({"workflow_status": [status(created_at=float(CREATED))]})
    assert started.time == datetime.fromtimestamp(CREATED / 1000, UTC)


def test_an_unknown_status_is_counted_and_no_error() -> None:
    (reading,) = read_all(ENGINE, [ENGINE.parts(status(status="FROZEN"), HINTS)])
    assert reading.kinds["unknown", "FROZEN"] == 1
    assert words(reading.events) == ["workflow.started"]


def test_rows_without_times_are_counted_and_no_error() -> None:
    untimed = operation(1, "reserve", started_at_epoch_ms=None, completed_at_epoch_ms=None)
    parts = [ENGINE.parts(status(), HINTS), ENGINE.parts(untimed, HINTS)]
    (reading,) = read_all(ENGINE, parts)
    assert reading.kinds["ignored", "reserve"] == 1


def test_operations_without_their_workflow_are_not_told() -> None:
    (reading,) = read_all(ENGINE, [ENGINE.parts(operation(1, "reserve"), HINTS)])
    assert reading.events == []


class Bomb:
    """A pickle that would run code if it were loaded."""

    def __reduce__(self) -> Any:
        return (print, ("it was loaded",))


@pytest.mark.parametrize(
    ("error", "serialization", "type_", "message"),
    [
        (pickled(RuntimeError("perm")), "py_pickle", "RuntimeError", "perm"),
        (pickled(KeyError("x")), None, "KeyError", "x"),
        (pickled(RuntimeError("a" * 5000)), None, "RuntimeError", "a" * 2000),
        ('{"name":"TypeError","message":"no"}', "portable_json", "TypeError", "no"),
        ('{"json":{"name":"Error","message":"js"},"meta":{}}', "js_superjson", "Error", "js"),
        ("gASV", "py_pickle", "", ""),
        ("not base64", "py_pickle", "", ""),
        (pickled(Bomb()), "py_pickle", "print", "it was loaded"),
    ],
)
def test_errors_are_read_and_never_run(
    error: str, serialization: str | None, type_: str, message: str
) -> None:
    found = error_of(error, serialization)
    assert found is not None
    assert (found.type, found.message) == (type_, message)


def test_used_up_attempts_and_timeouts_of_steps() -> None:
    used_up = DBOSMaxStepRetriesExceeded("pay", 4, [ValueError("a"), ConnectionError("refused")])
    late = DBOSStepTimeoutError("pay", 2.5)
    failing = [
        operation(1, "pay", error=pickled(used_up)),
        operation(2, "pay", error=pickled(late)),
    ]
    events = told({"workflow_status": [status()], "operation_outputs": failing})
    failed, timed_out = events[2], events[4]
    assert (failed.event, failed.attempt, failed.max_attempts) == ("step.failed", 4, 4)
    assert "ConnectionError: refused" in failed.error_message
    assert (timed_out.event, timed_out.timeout_s) == ("step.timed_out", 2.5)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "not of DBOS"),
        ({"rows": []}, "not of DBOS"),
        ({"workflow_status": {"a": 1}}, "workflow_status"),
        ({"workflow_status": [{"status": "PENDING"}]}, r"workflow_status\[0\].workflow_uuid"),
        ({"workflow_status": [status(created_at="now")]}, r"workflow_status\[0\].created_at"),
        ({"workflow_status": [status(created_at=float("nan"))]}, "created_at"),
        ({"operation_outputs": [operation(1, "a", error=5)]}, r"operation_outputs\[0\].error"),
    ],
)
def test_what_is_wrong_is_named(document: Any, field: str) -> None:
    with pytest.raises(InputError, match=field):
        ENGINE.parts(document, HINTS)
