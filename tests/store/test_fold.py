"""The folds: what attempts and executions come out of events, whatever the order, lateness or repetition."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import EventRow, Store, folding
from stallwatch.store.statements import sql_text

_numbers = itertools.count(1)
ATTEMPTS = """SELECT run_id, step, step_run_id, branch, attempt, status, started_at, ended_at,
waited_s, error_type, closed_by, is_last_attempt, timeout_s FROM attempts
WHERE execution_id = {id:String} ORDER BY ALL"""
EXECUTIONS = """SELECT run_id, workflow, status, started_at, ended_at, waited_s, last_progress_at,
open_steps, attempts, error_type FROM executions WHERE execution_id = {id:String} ORDER BY ALL"""


OPEN_ATTEMPTS = "status IN ('scheduled', 'running', 'waiting', 'backing_off')"
OPEN_EXECUTIONS = "status IN ('running', 'suspended')"


def open_ones(store: Store, execution_id: str) -> list[list[dict[str, Any]]]:
    """The open attempts and executions: as the folds have them, then as the tables of what is open have them."""
    found = []
    for table, condition in (("attempt", OPEN_ATTEMPTS), ("execution", OPEN_EXECUTIONS)):
        for name, which in ((f"{table}_fold", condition), (f"open_{table}", "true")):
            # What an open attempt says of its execution the folds have in another place.
            columns = (
                "* EXCEPT (execution_status, execution_suspended_s)"
                if name == "open_attempt"
                else "*"
            )
            sql = f"SELECT {columns} FROM {name} FINAL WHERE {which} AND execution_id = {{id:String}} ORDER BY ALL"
            found.append(store.select(sql, {"id": execution_id}))
    return found


@pytest.fixture(scope="module")
def shared_store(store_root: Store) -> Iterator[Store]:
    """One store for tests that keep to an execution of their own."""
    with store_root.scratch("fold_shared", datetime(2026, 1, 5, 12, tzinfo=UTC)) as scratch:
        yield scratch


def told(now: datetime, at_s: float, event: str, **fields: Any) -> StepEvent:
    data = {"workflow": "order", "execution_id": "o-1", **fields}
    when = now + timedelta(seconds=at_s)
    return event_from_dict({**data, "event": event, "time": when.isoformat()}, when)


def folded(store: Store, now: datetime, *events: StepEvent) -> list[tuple[Any, ...]]:
    """(step run id, attempt, status) of all attempts, after one delivery."""
    store.insert_events(events, now, "test")
    store.fold(now)
    rows = store.select(
        "SELECT step_run_id, attempt, status FROM attempts ORDER BY step, step_run_id, attempt"
    )
    return [tuple(row.values()) for row in rows]


CASES: dict[str, tuple[list[tuple[float, str, dict[str, Any]]], list[tuple[str, int, str]]]] = {
    "scheduled opens": ([(0, "scheduled", {})], [("", 1, "scheduled")]),
    "started runs": ([(0, "scheduled", {}), (1, "started", {})], [("", 1, "running")]),
    "a heartbeat alone is a sign of life": ([(0, "heartbeat", {})], [("", 1, "running")]),
    "waiting needs no start": ([(0, "waiting", {"waiting_on": "human"})], [("", 1, "waiting")]),
    "started after waiting runs again": (
        [(0, "started", {}), (1, "waiting", {}), (5, "started", {})],
        [("", 1, "running")],
    ),
    "retrying backs off": ([(0, "started", {}), (1, "retrying", {})], [("", 1, "backing_off")]),
    "the next start is the next attempt": (
        [(0, "started", {}), (1, "failed", {}), (1, "retrying", {}), (2, "started", {})],
        [("", 1, "failed"), ("", 2, "running")],
    ),
    "timed out, then again": (
        [(0, "started", {}), (1, "timed_out", {}), (2, "started", {}), (3, "completed", {})],
        [("", 1, "timed_out"), ("", 2, "completed")],
    ),
    "after completed it is a new step run": (
        [(0, "started", {}), (1, "completed", {}), (2, "started", {}), (3, "completed", {})],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "a loop within one microsecond": (
        [(0, "started", {}), (1, "completed", {}), (1, "started", {}), (2, "completed", {})],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "no time at all": ([(1, "started", {}), (1, "completed", {})], [("", 1, "completed")]),
    "a loop within one microsecond, with signs of life": (
        [
            *((0, "started", {}), (1, "heartbeat", {})),
            *((2, "completed", {}), (2, "started", {}), (3, "completed", {})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "what was scheduled begins and ends at once, twice": (
        [
            *((0, "scheduled", {}), (2, "started", {}), (2, "completed", {})),
            *((3, "scheduled", {}), (5, "started", {}), (5, "completed", {})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "what was scheduled begins and fails at once": (
        [
            *((0, "scheduled", {}), (2, "started", {}), (2, "failed", {})),
            *((3, "started", {}), (4, "completed", {})),
        ],
        [("", 1, "failed"), ("", 2, "completed")],
    ),
    "what was scheduled begins, fails, and is done, at once": (
        [
            *((0, "scheduled", {}), (1, "started", {}), (1, "failed", {})),
            *((1, "started", {"event_id": "again"}), (1, "completed", {})),
        ],
        [("", 1, "failed"), ("", 2, "completed")],
    ),
    "a wait that goes on and ends at once, twice": (
        [
            *((0, "waiting", {}), (2, "started", {}), (2, "completed", {})),
            *((3, "waiting", {}), (5, "started", {}), (5, "completed", {})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "a wait behind a start that goes on and ends at once": (
        [
            *((0, "started", {}), (1, "waiting", {}), (2, "started", {}), (2, "completed", {})),
            (3, "waiting", {}),
        ],
        [("", 1, "completed"), ("#2", 1, "waiting")],
    ),
    "a wait that is over when the next call begins": (
        [(0, "waiting", {}), (2, "completed", {}), (2, "started", {}), (3, "completed", {})],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "a retry within one microsecond": (
        [(0, "started", {}), (1, "failed", {}), (1, "retrying", {}), (1, "started", {})],
        [("", 1, "failed"), ("", 2, "running")],
    ),
    "a retry that is over within the same microsecond": (
        [(0, "started", {}), (1, "failed", {}), (1, "started", {}), (1, "completed", {})],
        [("", 1, "failed"), ("", 2, "completed")],
    ),
    "the same, with the retry told": (
        [
            (0, "started", {}),
            (1, "failed", {}),
            (1, "retrying", {}),
            (1, "started", {}),
            (1, "completed", {}),
        ],
        [("", 1, "failed"), ("", 2, "completed")],
    ),
    "calls that follow each other within one tick of the clock": (
        [
            *((0, "started", {}), (1, "completed", {"event_id": "z"})),
            *((1, "started", {"event_id": "y"}), (1, "completed", {"event_id": "c"})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "calls that begin and end within one tick": (
        [
            *((1, "started", {"event_id": "a"}), (1, "completed", {"event_id": "b"})),
            *((1, "started", {"event_id": "c"}), (1, "completed", {"event_id": "d"})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed")],
    ),
    "a call that was run twice at once": (
        [
            *((1, "started", {"event_id": "a", "step_run_id": "x"}),),
            *((1, "started", {"event_id": "b", "step_run_id": "x"}),),
            *((1, "completed", {"step_run_id": "x"}),),
        ],
        [("x", 1, "completed")],
    ),
    "a start that was told twice": (
        [
            *((1, "started", {"event_id": "a"}), (1, "started", {"event_id": "b"})),
            (1, "completed", {}),
        ],
        [("", 1, "completed")],
    ),
    "an item that is done at once beside one that runs": (
        [
            *((0, "started", {"step_run_id": "a"}), (1, "started", {"step_run_id": "b"})),
            *((1, "completed", {"step_run_id": "b"}), (3, "completed", {"step_run_id": "a"})),
        ],
        [("a", 1, "completed"), ("b", 1, "completed")],
    ),
    "an item that is tried twice at once beside one that runs": (
        [
            (0, "started", {"step_run_id": "a"}),
            (1, "started", {"step_run_id": "b", "event_id": "1"}),
            (1, "failed", {"step_run_id": "b"}),
            (1, "started", {"step_run_id": "b", "event_id": "2"}),
            (1, "completed", {"step_run_id": "b"}),
        ],
        [("a", 1, "running"), ("b", 1, "failed"), ("b", 2, "completed")],
    ),
    "an item that fails at once beside one that ends then": (
        [
            *((0, "started", {"step_run_id": "a"}), (1, "started", {"step_run_id": "b"})),
            *((1, "failed", {"step_run_id": "b"}), (1, "completed", {"step_run_id": "a"})),
        ],
        [("a", 1, "completed"), ("b", 1, "failed")],
    ),
    "a call that is tried again at once, in vain": (
        [
            (0, "started", {"step_run_id": "a"}),
            (1, "failed", {"step_run_id": "a", "event_id": "1"}),
            (1, "started", {"step_run_id": "a"}),
            (1, "failed", {"step_run_id": "a", "event_id": "2"}),
        ],
        [("a", 1, "failed"), ("a", 2, "failed")],
    ),
    "the next call begins as the only one so far ends": (
        [(0, "started", {}), (1, "completed", {}), (1, "started", {})],
        [("", 1, "completed"), ("#2", 1, "running")],
    ),
    "the next attempt begins as the first one fails": (
        [
            *((0, "started", {"step_run_id": "a"}), (1, "failed", {"step_run_id": "a"})),
            (1, "started", {"step_run_id": "a"}),
        ],
        [("a", 1, "failed"), ("a", 2, "running")],
    ),
    "the next wait begins as the last one ends": (
        [
            *((0, "waiting", {}), (1, "completed", {}), (1, "waiting", {})),
            *((2, "completed", {}), (2, "waiting", {})),
        ],
        [("", 1, "completed"), ("#2", 1, "completed"), ("#3", 1, "waiting")],
    ),
    "numbers that are said": (
        [(0, "started", {"attempt": 1}), (3, "started", {"attempt": 3}), (4, "completed", {})],
        [("", 1, "cancelled"), ("", 3, "completed")],
    ),
    "retrying names the one that failed": (
        [(0, "started", {"attempt": 4}), (1, "retrying", {"attempt": 4}), (2, "started", {})],
        [("", 4, "failed"), ("", 5, "running")],
    ),
    "the same numbered attempt twice is one attempt": (
        [(0, "started", {"attempt": 1}), (1, "started", {"attempt": 1, "worker": "b"})],
        [("", 1, "running")],
    ),
    "step run ids keep calls apart": (
        [
            (0, "started", {"step_run_id": "a"}),
            (1, "started", {"step_run_id": "b"}),
            (2, "completed", {"step_run_id": "a"}),
        ],
        [("a", 1, "completed"), ("b", 1, "running")],
    ),
    "an empty step run id is the current call": (
        [(0, "started", {"step_run_id": "a"}), (1, "completed", {})],
        [("a", 1, "completed")],
    ),
    "completed without a start": ([(3, "completed", {})], [("", 1, "completed")]),
    "a replay is not work": (
        [(0, "started", {}), (1, "started", {"is_replay": True, "attempt": 7})],
        [("", 1, "running")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_attempts(name: str, shared_store: Store, now: datetime) -> None:
    events, expected = CASES[name]
    made = [
        told(now, at, f"step.{kind}", step="s", execution_id=name, **fields)
        for at, kind, fields in events
    ]
    shared_store.insert_events(made, now, "test")
    shared_store.fold(now)
    rows = shared_store.select(
        "SELECT step_run_id, attempt, status FROM attempts WHERE execution_id = {name:String} ORDER BY ALL",
        {"name": name},
    )
    assert [tuple(row.values()) for row in rows] == expected


@pytest.mark.parametrize(
    "kind", ["completed", "failed", "timed_out", "cancelled", "terminated", "continued"]
)
def test_a_closing_workflow_closes_what_is_open_under_it(
    kind: str, store: Store, now: datetime
) -> None:
    rows = folded(
        store,
        now,
        told(now, 0, "workflow.started"),
        told(now, 1, "step.started", step="a"),
        told(now, 1, "step.retrying", step="b"),
        told(now, 9, f"workflow.{kind}", error_type="E"),
    )
    assert [status for *_, status in rows] == ["cancelled", "failed"]
    execution = store.select("SELECT status, open_steps, duration_s FROM executions")[0]
    assert execution == {"status": kind, "open_steps": 0, "duration_s": 9.0}
    ended = store.select("SELECT ended_at FROM attempts WHERE step = 'a'")[0]["ended_at"]
    assert ended == now + timedelta(seconds=9)


def test_late_completion_after_the_close_is_believed(store: Store, now: datetime) -> None:
    folded(
        store,
        now,
        told(now, 0, "workflow.started"),
        told(now, 1, "step.started", step="a"),
        told(now, 9, "workflow.completed"),
    )
    assert folded(store, now, told(now, 5, "step.completed", step="a")) == [("", 1, "completed")]


def test_an_empty_run_id_belongs_to_the_open_run_else_to_the_latest(
    store: Store, now: datetime
) -> None:
    folded(
        store,
        now,
        told(now, 0, "workflow.started", run_id="r1"),
        told(now, 1, "step.started", step="a"),
        told(now, 2, "workflow.continued", run_id="r1"),
        told(now, 2.5, "workflow.started", run_id="r2"),
        told(now, 3, "step.started", step="b"),
        told(now, 4, "workflow.completed", run_id="r2"),
        told(now, 5, "step.heartbeat", step="c"),
    )
    rows = store.select("SELECT step, run_id FROM attempts ORDER BY step")
    assert [tuple(row.values()) for row in rows] == [("a", "r1"), ("b", "r2"), ("c", "r2")]


def test_a_run_that_becomes_known_takes_the_events_without_one(store: Store, now: datetime) -> None:
    folded(store, now, told(now, 0, "workflow.started"), told(now, 1, "step.started", step="a"))
    folded(store, now, told(now, 0.5, "workflow.started", run_id="r1"))
    rows = store.select("SELECT run_id, open_steps FROM executions")
    assert [tuple(row.values()) for row in rows] == [("r1", 1)]


def test_suspended_and_resumed(store: Store, now: datetime) -> None:
    started, suspended = told(now, 0, "workflow.started"), told(now, 10, "workflow.suspended")
    folded(store, now, started, suspended)
    assert store.select("SELECT status FROM executions") == [{"status": "suspended"}]
    folded(store, now, told(now, 25, "workflow.resumed"))
    assert store.select("SELECT status, waited_s FROM executions") == [
        {"status": "running", "waited_s": 15.0}
    ]


def waits(now: datetime, branch: str, from_s: float, until_s: float | None) -> list[StepEvent]:
    """A wait of a branch; with no end it is still on."""
    asked = {"step": "approve", "branch": branch}
    begun = told(now, from_s, "step.waiting", waiting_on="human", **asked)
    return [begun] if until_s is None else [begun, told(now, until_s, "step.completed", **asked)]


@pytest.mark.parametrize(
    ("spans", "waited_s"),
    [
        ([(1, 11), (1, 11), (2, 10)], 10.0),
        ([(1, 4), (3, 6), (8, 9)], 6.0),
        # What passes since the wait began that is still on, counts with that one.
        ([(1, 11), (5, None)], 4.0),
    ],
)
def test_time_that_passes_while_several_wait_passes_once(
    spans: list[tuple[float, float | None]], waited_s: float, store: Store, now: datetime
) -> None:
    ended = [
        event for number, span in enumerate(spans) for event in waits(now, f"b{number}", *span)
    ]
    folded(store, now, told(now, 0, "workflow.started"), *ended)
    assert store.select("SELECT waited_s FROM executions") == [{"waited_s": waited_s}]


def test_a_wait_while_suspended_and_a_pause_while_waiting_count_once(
    store: Store, now: datetime
) -> None:
    folded(
        store,
        now,
        told(now, 0, "workflow.started"),
        *waits(now, "a", 2, 12),
        told(now, 4, "workflow.suspended"),
        told(now, 5, "workflow.suspended"),
        told(now, 14, "workflow.resumed"),
        told(now, 10, "step.failed", step="pay", attempt=1, max_attempts=3, backoff_s=10),
        told(now, 20, "step.started", step="pay", attempt=2),
    )
    rows = store.select("SELECT waited_s, paused_s FROM execution_fold FINAL")
    assert rows == [{"waited_s": 12.0, "paused_s": 6.0}]


@pytest.mark.parametrize(
    ("end", "error_type"),
    [
        ({"event": "workflow.failed"}, "CardDeclined"),
        ({"event": "workflow.failed", "error_type": "OrderLost"}, "OrderLost"),
        ({"event": "workflow.timed_out"}, ""),
        ({"event": "workflow.completed"}, ""),
    ],
)
def test_a_failure_that_does_not_say_why_is_its_last_failed_steps(
    end: dict[str, str], error_type: str, store: Store, now: datetime
) -> None:
    events = [
        told(now, 0, "step.failed", step="reserve", error_type="OutOfStock"),
        told(now, 1, "step.failed", step="charge", error_type="CardDeclined", error_message="no"),
        told(now, 2, "step.completed", step="release"),
        told(now, 3, **end),
    ]
    folded(store, now, *events)
    (found,) = store.select("SELECT error_type, error_message FROM executions")
    message = "no" if error_type == "CardDeclined" else ""
    assert found == {"error_type": error_type, "error_message": message}


def test_a_redrive_opens_the_execution_again(store: Store, now: datetime) -> None:
    folded(store, now, told(now, 0, "workflow.started"), told(now, 5, "workflow.failed"))
    folded(store, now, told(now, 9, "workflow.started"))
    assert store.select("SELECT status, ended_at FROM executions") == [
        {"status": "running", "ended_at": None}
    ]


def test_the_same_event_id_twice_is_one_event(store: Store, now: datetime) -> None:
    event = told(now, 1, "step.started", step="a", event_id="e1")
    folded(store, now, event)
    folded(store, now + timedelta(minutes=1), event)
    rows = store.select("SELECT received_at FROM step_events")
    assert [row["received_at"] for row in rows] == [now]


def test_an_event_that_came_twice_before_a_fold_counts_once(store: Store, now: datetime) -> None:
    event = told(now, 1, "step.started", step="a", event_id="e1")
    later = now + timedelta(minutes=1)
    for when in (later, now):
        store.insert_events([event], when, "test")
    store.fold(now)
    (row,) = store.select("SELECT version, starts, first_received_at FROM attempt_fold FINAL")
    assert (row["version"], len(row["starts"]), row["first_received_at"]) == (1, 1, now)


def test_the_workflow_is_resolved_in_the_execution(store: Store, now: datetime) -> None:
    folded(store, now, told(now, 0, "workflow.started"))
    nameless = structs.replace(told(now, 1, "step.started", step="a"), workflow="")
    folded(store, now, nameless)
    assert store.select("SELECT workflow FROM attempts") == [{"workflow": "order"}]


KINDS = "scheduled started heartbeat waiting retrying completed failed timed_out cancelled skipped"
WORKFLOW_KINDS = "started completed failed suspended resumed continued"
step_events = st.fixed_dictionaries(
    {
        "event": st.sampled_from([f"step.{kind}" for kind in KINDS.split()]),
        "at": st.integers(0, 12),
        "step": st.sampled_from(["a", "b"]),
    },
    optional={
        "attempt": st.integers(1, 3),
        "step_run_id": st.sampled_from(["x", "y"]),
        "run_id": st.sampled_from(["r1", "r2"]),
        "branch": st.sampled_from(["0", "1"]),
        "timeout_s": st.sampled_from([1.5, 30.0]),
        "error_type": st.sampled_from(["E", "F"]),
        "road": st.sampled_from(["span", "history"]),
        "span_id": st.sampled_from(["1" * 16, "2" * 16]),
    },
)
workflow_events = st.fixed_dictionaries(
    {
        "event": st.sampled_from([f"workflow.{kind}" for kind in WORKFLOW_KINDS.split()]),
        "at": st.integers(0, 12),
    },
    optional={
        "run_id": st.sampled_from(["r1", "r2"]),
        "road": st.sampled_from(["span", "history"]),
    },
)


def drawn(raw: list[dict[str, Any]], now: datetime, **fields: Any) -> list[EventRow]:
    """Events that hypothesis drew, the same ids each time."""
    rows = []
    for number, item in enumerate(raw):
        said = {k: v for k, v in item.items() if k not in ("at", "road")}
        event = told(now, item["at"], event_id=str(number), **said, **fields)
        rows.append(EventRow(event, now, "test", item.get("road", "event")))
    return rows


def test_of_two_ends_at_once_the_same_counts_in_every_execution(
    shared_store: Store, now: datetime
) -> None:
    names = [f"at-once-{number}" for number in range(20)]
    for name in names:
        raw = [{"event": f"workflow.{end}", "at": 3} for end in ("continued", "completed")]
        shared_store.insert_event_rows(drawn(raw, now, execution_id=name))
    shared_store.fold(now)
    ends = {shared_store.select(EXECUTIONS, {"id": name})[0]["status"] for name in names}
    assert len(ends) == 1


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    raw=st.lists(step_events | workflow_events, min_size=1, max_size=14),
    engine=st.sampled_from(["custom", "temporal"]),
    seed=st.integers(0, 2**32),
)
def test_order_lateness_and_repetition_do_not_matter(
    raw: list[dict[str, Any]], engine: str, seed: int, shared_store: Store, now: datetime
) -> None:
    """Delivered at once, or shuffled, repeated and in pieces, hours apart and a fold behind each: the same folds."""
    results = []
    for shuffle in (False, True):
        name = f"x-{next(_numbers)}"
        events = drawn(raw, now, execution_id=name, engine=engine)
        deliveries = [events]
        if shuffle:
            events += random.Random(seed).sample(events, k=len(events) // 2)
            random.Random(seed).shuffle(events)
            deliveries = [events[:3], events[3:8], events[8:]]
        for hours, delivery in enumerate(deliveries):
            when = now + timedelta(hours=hours)
            shared_store.insert_event_rows([row._replace(received_at=when) for row in delivery])
            shared_store.fold(now)
        attempts = shared_store.select(ATTEMPTS, {"id": name})
        assert all(row["status"] for row in attempts)
        attempts_before, attempts_open, executions_before, executions_open = open_ones(
            shared_store, name
        )
        assert attempts_open == attempts_before
        assert executions_open == executions_before
        results.append((attempts, shared_store.select(EXECUTIONS, {"id": name})))
    assert results[0] == results[1]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 4),
            st.integers(0, 4),
            st.sampled_from(["completed", "completed", "failed", "running"]),
        ),
        min_size=1,
        max_size=6,
    ),
    tick=st.integers(1, 12),
    how=st.sampled_from(["events", "spans", "calls"]),
    seed=st.integers(0, 2**32),
)
def test_calls_told_by_a_clock_that_ticks_slowly(
    calls: list[tuple[int, int, str]],
    tick: int,
    how: str,
    seed: int,
    shared_store: Store,
    now: datetime,
) -> None:
    """A clock of 15 ms, and steps that take one: each call is there, and none goes on that ended.

    One behind the other, or with ids at the same time. Of the former spans tell whether the last one goes on; of events
    a start that no end follows in its tick may be one that was told twice.
    """
    name, at, rows = f"x-{next(_numbers)}", 0, []
    ids = random.Random(seed).sample(range(1000), 2 * len(calls))
    expected = []
    for number, (pause, length, outcome) in enumerate(calls):
        may_go_on = how == "calls" or (how == "spans" and number == len(calls) - 1)
        end = "completed" if outcome == "running" and not may_go_on else outcome
        expected.append(end)
        said: dict[str, Any] = {"spans": {"span_id": f"{number + 1:016x}"}, "events": {}}.get(
            how, {"step_run_id": f"call{number}"}
        )
        for kind, after in (("started", pause), (end, length)):
            at += after
            if kind == "running":
                break
            event = told(
                now, at // tick, f"step.{kind}", step="s", execution_id=name,
                event_id=str(ids.pop()), **said,
            )  # fmt: skip
            rows.append(EventRow(event, now, "test", "span" if how == "spans" else "event"))
        if how == "calls":
            at = 0
    shared_store.insert_event_rows(rows)
    shared_store.fold(now)
    found = sorted(row["status"] for row in shared_store.select(ATTEMPTS, {"id": name}))
    assert found == sorted(expected)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(raw=st.lists(step_events | workflow_events, min_size=1, max_size=10))
@example(
    raw=[
        {"event": "step.scheduled", "at": 0, "step": "b"},
        {"event": "step.scheduled", "at": 1, "step": "b", "error_type": "E"},
        {"event": "step.scheduled", "at": 1, "step": "b", "error_type": "F"},
    ]
)
@example(
    raw=[
        {"event": "step.started", "at": 0, "step": "b"},
        {"event": "step.started", "at": 1, "step": "b", "error_type": "E"},
        {"event": "step.started", "at": 1, "step": "b", "error_type": "F"},
    ]
)
def test_what_need_not_be_put_in_order_comes_out_as_if_it_had_been(
    raw: list[dict[str, Any]], shared_store: Store, now: datetime
) -> None:
    """The short ways that most executions and steps take through the fold, beside the long ones."""
    results = []
    for long_way in (sql_text, _none_plain, _all_complex):
        name = f"x-{next(_numbers)}"
        events = drawn(raw, now, execution_id=name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folding, "sql_text", long_way)
            shared_store.insert_event_rows(events)
            shared_store.fold(now)
        attempts = shared_store.select(ATTEMPTS, {"id": name})
        results.append((attempts, shared_store.select(EXECUTIONS, {"id": name})))
    assert results[0] == results[1] == results[2]


def _none_plain(folder: str, name: str) -> str:
    return sql_text(folder, name).replace("known.folds = 0 AND came.is_plain", "false")


def _all_complex(folder: str, name: str) -> str:
    if name == "3_complex":
        return """INSERT INTO fold_complex SELECT step_key, min(trust) != max(trust)
            FROM fold_event WHERE step_key != 0 GROUP BY step_key"""
    return sql_text(folder, name)


def test_an_execution_is_folded_whole_however_long_ago_it_began(
    store: Store, now: datetime
) -> None:
    """What is young is looked for in young parts of the tables only; what is not, everywhere."""
    for hours, event in enumerate(("started", "heartbeat", "completed")):
        when = now + timedelta(hours=hours)
        old = told(now, 3600 * hours, f"step.{event}", execution_id="old", step="a")
        young = told(when, 0, "step.started", execution_id=f"young-{hours}", step="a")
        store.insert_events([old, young], when, "test")
        assert store.fold(when) == 2
    [row] = store.select(ATTEMPTS, {"id": "old"})
    assert row["status"] == "completed"
    assert row["started_at"] == now
    for hours in range(3):
        [row] = store.select(ATTEMPTS, {"id": f"young-{hours}"})
        assert row["status"] == "running"


def test_what_began_just_as_long_ago_as_is_young_is_looked_for_everywhere(
    store: Store, now: datetime
) -> None:
    store.insert_events([told(now, 0, "step.started", step="a")], now, "test")
    store.fold(now)
    later = now + timedelta(microseconds=folding.YOUNG_US)
    store.insert_events([told(now, 900, "step.completed", step="a")], later, "test")
    store.fold(later)
    [row] = store.select(ATTEMPTS, {"id": "o-1"})
    assert (row["status"], row["started_at"]) == ("completed", now)
    assert store.select("SELECT step FROM open_attempt FINAL") == []


def test_without_a_beginning_there_is_no_duration(store: Store, now: datetime) -> None:
    events = [
        told(now, 0, "step.completed", step="begun before it was watched"),
        told(now, 0, "step.waiting", step="only waits"),
        told(now, 8, "step.completed", step="only waits"),
    ]
    store.insert_events(events, now, "test")
    store.fold(now)
    store.refresh_statistics()
    durations = store.select("SELECT step, duration_s FROM attempts ORDER BY step")
    assert [row["duration_s"] for row in durations] == [None, 8]
    counted = store.select(
        "SELECT step, completed, p50_s FROM step_latency WHERE window_s = 60 ORDER BY step"
    )
    assert [(row["completed"], row["p50_s"]) for row in counted] == [
        (1, None),
        (1, pytest.approx(8, rel=0.02)),
    ]
