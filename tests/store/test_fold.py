"""The folds: what attempts and executions come out of events."""

from datetime import datetime, timedelta

import pytest
from msgspec import structs

from stallwatch.model.events import StepEvent
from stallwatch.store import Store, folding
from tests.store.folds import ATTEMPTS, folded, told


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
