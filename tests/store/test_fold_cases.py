"""Which attempts come out of a step's events: one case after the other."""

from datetime import datetime
from typing import Any

import pytest

from stallwatch.store import Store
from tests.store.folds import told

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
