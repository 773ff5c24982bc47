"""Spans and history of the same executions of Temporal: each attempt counts once, and its trace is found."""

from datetime import timedelta
from typing import Any

import pytest

from collector.conventions import conventions
from stallwatch.store import Body, Store
from tests.collector.engines.temporal_cases import DOCUMENTS, TEMPORAL, parts
from tests.collector.engines.timelines import NOW, read_all, stored
from tests.otlp import recorded, request

# The runs of which both roads have everything: a timed-out attempt's span, for one, comes after its time.
WHOLE = (
    "ok",
    "retry",
    "timeout",
    "heartbeat",
    "parallel",
    "timer",
    "child",
    "parent",
    "contnew",
    "saga",
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rooted(store_root: Store) -> Store:
    return Store(store_root.engine, conventions=conventions())


def deliver(store: Store, roads: str, mode: str) -> None:
    """Each road in its turn, folded in between."""
    for number, road in enumerate(roads):
        at = NOW + timedelta(seconds=number)
        if road == "s":
            store.insert_otlp(
                [Body(request(recorded(f"temporal_{mode}")), at, "sender", "default")]
            )
            store.fold(at)
        else:
            some = [path for path in DOCUMENTS if path.stem.endswith(mode)]
            stored(store, read_all(TEMPORAL, parts(some)), at)


def rows(store: Store, query: str, mode: str) -> list[Row]:
    names = [f"{name}-{mode}" for name in WHOLE]
    return store.select(query, {"names": names})


ATTEMPTS = """SELECT execution_id, run_id, step, step_run_id, attempt, status, error_type, road,
    span_id != '' AS has_span
FROM attempts WHERE execution_id IN {names:Array(String)} AND step NOT IN ('timer', 'OkWf', 'signal', 'start delay')
ORDER BY ALL"""
EXECUTIONS = """SELECT execution_id, run_id, workflow, status, error_type, trace_id
FROM executions WHERE execution_id IN {names:Array(String)} ORDER BY ALL"""


@pytest.mark.parametrize("mode", ["legacy", "plugin"])
def test_an_attempt_that_came_by_two_roads_counts_once(rooted: Store, mode: str) -> None:
    found: dict[str, tuple[list[Row], list[Row]]] = {}
    for roads in ("s", "h", "sh", "hs"):
        with rooted.scratch(f"roads_{mode}_{roads}", NOW) as store:
            deliver(store, roads, mode)
            found[roads] = rows(store, ATTEMPTS, mode), rows(store, EXECUTIONS, mode)
    by_spans, by_history, both = found["s"], found["h"], found["sh"]
    assert found["hs"] == both
    identity = ("execution_id", "run_id", "step", "step_run_id", "attempt")

    def identities(attempts: list[Row]) -> set[tuple[Any, ...]]:
        return {tuple(row[name] for name in identity) for row in attempts}

    assert len(both[0]) == len(identities(both[0]))
    assert identities(both[0]) == identities(by_spans[0]) | identities(by_history[0])
    # Spans know every attempt that ran; histories know some of them, and of the others that they were.
    assert identities(by_history[0]) <= identities(both[0]) == identities(by_spans[0])
    outcomes = {tuple(row.values())[:6] for row in by_history[0]}
    assert outcomes <= {tuple(row.values())[:6] for row in both[0]}
    assert {row["road"] for row in both[0]} == {"history"}
    assert all(row["has_span"] for row in both[0])
    # The same executions, each with its trace.
    assert [row["run_id"] for row in both[1]] == [row["run_id"] for row in by_history[1]]
    assert [row["status"] for row in both[1]] == [row["status"] for row in by_history[1]]
    assert all(row["trace_id"] for row in both[1])
    traces = {row["run_id"]: row["trace_id"] for row in by_spans[1]}
    assert {row["run_id"]: row["trace_id"] for row in both[1]} == traces


@pytest.mark.parametrize("mode", ["legacy", "plugin"])
def test_no_road_makes_another_look_like_a_duplicate(rooted: Store, mode: str) -> None:
    query = """SELECT execution_id, step, attempt, starts FROM attempt_fold FINAL
WHERE arrayExists(road -> countEqual(starts.3, road) > 1, starts.3)"""
    with rooted.scratch(f"twice_{mode}", NOW) as store:
        deliver(store, "shs", mode)
        assert store.select(query) == []
