"""What holds of the folds whatever the events: order, lateness, repetition, coarse clocks, short ways and long ones."""

import itertools
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stallwatch.store import EventRow, Store, folding
from stallwatch.store.statements import sql_text
from tests.store.folds import ATTEMPTS, EXECUTIONS, open_ones, told

_numbers = itertools.count(1)
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
