"""Two roads, one attempt: what comes by history, by events and by spans is one, and the history is believed."""

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from detectors import duplicate_step
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.ticks import Tick
from stallwatch.store import EventRow, Store
from tests.detectors.support import context

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
CALL = "00f067aa0ba902b7"
"""The activity's StartActivity span, which names the call on both roads."""
ATTEMPTS = """SELECT execution_id, attempt, status, started_at, ended_at, error_type, road, span_id, scheduled_at,
step_run_id FROM attempts WHERE execution_id = {id:String} ORDER BY execution_id, run_id, step_run_id, attempt"""
EXECUTION = """SELECT status, started_at, ended_at, error_type, road, trace_id, attempts, open_steps
FROM executions WHERE execution_id = {id:String}"""
_numbers = itertools.count(1)


def seconds(at_s: float) -> datetime:
    return NOON + timedelta(seconds=at_s)


def row(road: str, at_s: float, event: str, **fields: Any) -> EventRow:
    data: dict[str, Any] = {"workflow": "order", "execution_id": "o-1", "engine": "temporal"}
    data["run_id"] = "r1"
    if event.startswith("step."):
        data |= {"step": "charge", "step_run_id": CALL}
    data |= {**fields, "event": event, "time": seconds(at_s).isoformat()}
    told: StepEvent = event_from_dict(data, seconds(at_s))
    return EventRow(told, NOON, f"by {road}", road)


def span_start(at_s: float, number: int, **fields: Any) -> EventRow:
    identity = {"event_id": f"span{number}:started", "span_id": f"{number:016x}"}
    return row("span", at_s, "step.started", trace_id="ab" * 16, **identity, **fields)


def span_end(at_s: float, number: int, outcome: str, **fields: Any) -> EventRow:
    identity = {"event_id": f"span{number}:ended", "span_id": f"{number:016x}"}
    return row("span", at_s, f"step.{outcome}", trace_id="ab" * 16, **identity, **fields)


def folded(store: Store, rows: Sequence[EventRow]) -> None:
    store.insert_event_rows(rows)
    store.fold(NOON)


def in_every_order(
    store: Store, events: Sequence[EventRow], query: str
) -> Iterator[list[dict[str, Any]]]:
    """What the query says of copies of an execution, told road by road with a fold behind each, and all at once."""
    roads = sorted({event.road for event in events})
    orders = [[[road] for road in order] for order in itertools.permutations(roads)]
    for order in [*orders, [roads]]:
        name = f"x-{next(_numbers)}"
        for told in order:
            folded(store, [renamed(name, event) for event in events if event.road in told])
        yield store.select(query, {"id": name})


def renamed(execution_id: str, told: EventRow) -> EventRow:
    return told._replace(event=structs.replace(told.event, execution_id=execution_id))


class Try(NamedTuple):
    """One attempt as it really was, by the server's clock."""

    number: int
    started_s: float
    ended_s: float
    outcome: str


class Call(NamedTuple):
    """An activity's attempts, and what is told of them."""

    tries: list[Try]
    offset_s: float
    """How far the worker's clock is ahead."""
    lost: frozenset[int]
    """The attempts whose span was never exported."""
    watched: bool
    """Whether a poll saw every attempt, or only the closed history tells: of the last."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    tries: list[Try] = []
    at_s = 10.0
    count = draw(st.integers(1, 4))
    for number in range(1, count + 1):
        took_s = draw(st.sampled_from([0.0, 0.05, 0.7, 3.0]))
        failure = draw(st.sampled_from(["failed", "timed_out"]))
        last = draw(st.sampled_from(["completed", "failed", "timed_out"]))
        outcome = last if number == count else failure
        tries.append(Try(number, at_s, at_s + took_s, outcome))
        at_s += took_s + draw(st.sampled_from([1.0, 2.0, 4.0]))
    return Call(
        tries,
        offset_s=draw(st.sampled_from([-0.4, -0.15, 0.0, 0.003, 0.4])),
        lost=frozenset(draw(st.sets(st.integers(1, count), max_size=count))),
        watched=draw(st.booleans()),
    )


def told_by_spans(call: Call, **fields: Any) -> list[EventRow]:
    offset_s = call.offset_s
    rows = [row("span", 9.9 + offset_s, "step.scheduled", event_id="s", span_id=CALL, **fields)]
    for one in call.tries:
        if one.number in call.lost:
            continue
        # What timed out does not know it: it goes on, and its span says that it completed.
        late_s, outcome = (7.0, "completed") if one.outcome == "timed_out" else (0.0, one.outcome)
        error = {"error_type": "SpanError"} if outcome == "failed" else {}
        rows += [
            span_start(one.started_s + offset_s, one.number, **fields),
            span_end(one.ended_s + late_s + offset_s, one.number, outcome, **error, **fields),
        ]
    return rows


def told_by_history(call: Call, **fields: Any) -> list[EventRow]:
    rows = [row("history", 9.9, "step.scheduled", event_id="h", max_attempts=4, **fields)]
    for one in call.tries if call.watched else call.tries[-1:]:
        error = {"error_type": "HistoryError"} if one.outcome != "completed" else {}
        said = {"attempt": one.number, "span_id": CALL, **fields}
        rows += [
            row("history", one.started_s, "step.started", event_id=f"h{one.number}", **said),
            row("history", one.ended_s, f"step.{one.outcome}", event_id=f"e{one.number}", **said, **error),
        ]  # fmt: skip
    return rows


def expected(call: Call) -> list[tuple[Any, ...]]:
    """(attempt, status, started, ended, error) of what can be known: of the last always what the history tells."""
    *earlier, last = call.tries
    known: list[tuple[Any, ...]] = []
    if call.watched:
        known = [_as_it_was(one) for one in earlier]
    else:
        spans = [one for one in earlier if one.number not in call.lost]
        for number, one in enumerate(spans, 1):
            late_s = 7.0 if one.outcome == "timed_out" else 0.0
            error = "SpanError" if one.outcome == "failed" else ""
            started_at, ended_at = (
                seconds(at_s + call.offset_s) for at_s in (one.started_s, one.ended_s + late_s)
            )
            known.append((number, one.outcome, started_at, ended_at, error))
        if earlier and not spans:
            # It is known that the first was scheduled, and that there was another.
            known = [(1, "failed", None, seconds(last.started_s), "")]
    return [*known, _as_it_was(last)]


def _as_it_was(one: Try) -> tuple[Any, ...]:
    error = "" if one.outcome == "completed" else "HistoryError"
    return (one.number, one.outcome, seconds(one.started_s), seconds(one.ended_s), error)


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=st.lists(calls(), min_size=20, max_size=40), seed=st.integers(0, 2**32))
def test_attempts_that_come_by_two_roads_count_once(
    drawn: list[Call], seed: int, shared_store: Store
) -> None:
    """Whatever was lost, whichever road came first, and though the worker's clock is off."""
    chance = random.Random(seed)
    named = {f"x-{next(_numbers)}": call for call in drawn}
    deliveries: list[list[EventRow]] = [[], [], []]
    for name, call in named.items():
        for event in told_by_spans(call, execution_id=name) + told_by_history(
            call, execution_id=name
        ):
            chance.choice(deliveries).append(event)
    for delivery in deliveries:
        chance.shuffle(delivery)
        folded(shared_store, delivery)
    rows = shared_store.select(
        ATTEMPTS.replace("= {id:String}", "IN {ids:Array(String)}"), {"ids": list(named)}
    )
    for name, call in named.items():
        of_call = [row for row in rows if row["execution_id"] == name]
        assert [tuple(row.values())[1:6] for row in of_call] == expected(call), call
        last = call.tries[-1].number
        assert of_call[-1]["road"] == "history"
        if last not in call.lost:
            assert of_call[-1]["span_id"] == f"{last:016x}"


@pytest.mark.parametrize("offset_s", [-0.4, 0.0, 0.4])
def test_the_end_of_an_execution_is_the_historys(shared_store: Store, offset_s: float) -> None:
    """The span that closes a workflow is never an error; the history says that it failed. It lasted 50 ms."""
    client, worker = {"run_id": "", "trace_id": "cd" * 16}, {"trace_id": "cd" * 16}
    events = [
        row("span", 9.9 - offset_s, "workflow.started", event_id="client", **client),
        row("span", 10.0 + offset_s, "workflow.started", event_id="run", **worker),
        row("span", 10.05 + offset_s, "workflow.completed", event_id="closed", **worker),
        row("history", 10.0, "workflow.started", event_id="h1", trace_id="cd" * 16),
        row("history", 10.05, "workflow.failed", event_id="h2", error_type="Refused"),
    ]
    for told in in_every_order(shared_store, events, EXECUTION):
        assert told == [
            {
                "status": "failed",
                "started_at": seconds(10.0),
                "ended_at": seconds(10.05),
                "error_type": "Refused",
                "road": "history",
                "trace_id": "cd" * 16,
                "attempts": 0,
                "open_steps": 0,
            }
        ]


def test_until_the_history_tells_the_end_the_spans_do(shared_store: Store) -> None:
    events = [
        row("history", 10.0, "workflow.started", event_id="h1", trace_id="ef" * 16),
        row("history", 10.05, "step.scheduled", event_id="h0"),
        row("span", 10.0, "step.scheduled", event_id="s", span_id=CALL),
        row("history", 10.1, "step.started", event_id="h2", attempt=1),
        span_start(10.1, 1),
        span_end(12.0, 1, "failed", error_type="Refused"),
        row("span", 12.1, "workflow.completed", event_id="closed"),
    ]
    for told in in_every_order(shared_store, events, EXECUTION):
        [one] = told
        assert (one["status"], one["ended_at"]) == ("completed", seconds(12.1))
        assert one["trace_id"] == "ab" * 16
    for told in in_every_order(shared_store, events, ATTEMPTS):
        [one] = told
        assert (one["scheduled_at"], one["started_at"]) == (seconds(10.05), seconds(10.1))
        assert (one["status"], one["road"]) == ("failed", "history")
        assert (one["ended_at"], one["error_type"]) == (seconds(12.0), "Refused")


def test_an_error_that_only_a_span_tells_is_not_the_historys(shared_store: Store) -> None:
    events = [
        row("history", 10.0, "step.started", event_id="h1", attempt=1),
        row("history", 12.0, "step.completed", event_id="h2", attempt=1),
        span_start(10.0, 1),
        span_end(12.0, 1, "failed", error_type="Refused", error_message="no"),
    ]
    for [one] in in_every_order(shared_store, events, ATTEMPTS):
        assert (one["status"], one["error_type"]) == ("completed", "")


def test_an_attempt_that_timed_out_unawares_does_not_end_its_call(shared_store: Store) -> None:
    """Its span says that it completed, long after the next attempt began."""
    events = [
        span_start(10.0, 1),
        span_end(30.0, 1, "completed"),
        row("history", 10.0, "step.started", event_id="h1", attempt=1),
        row("history", 21.0, "step.started", event_id="h2", attempt=2),
    ]
    for told in in_every_order(shared_store, events, ATTEMPTS):
        assert [one["status"] for one in told] == ["timed_out", "running"]


def test_a_redrive_that_the_history_tells_opens_the_execution_again(shared_store: Store) -> None:
    events = [
        row("span", 10.0, "workflow.started", event_id="run"),
        row("span", 20.0, "workflow.failed", event_id="closed"),
        row("history", 10.0, "workflow.started", event_id="h1"),
        row("history", 20.0, "workflow.failed", event_id="h2"),
        row("history", 30.0, "workflow.started", event_id="h3"),
    ]
    for told in in_every_order(shared_store, events, EXECUTION):
        assert [(one["status"], one["ended_at"]) for one in told] == [("running", None)]


def test_a_retry_that_runs_keeps_its_call_open(shared_store: Store) -> None:
    """A failure is the last only if no attempt follows it."""
    events = [
        row("event", 1, "step.started", engine="custom", event_id="1", attempt=1),
        row("event", 2, "step.failed", engine="custom", event_id="2", attempt=1),
        row("event", 3, "step.started", engine="custom", event_id="3", attempt=2),
    ]
    for told in in_every_order(shared_store, events, ATTEMPTS):
        assert [one["status"] for one in told] == ["failed", "running"]


def test_starts_by_different_roads_are_no_duplicate(store: Store) -> None:
    events = [
        row("history", 10.0, "step.started", event_id="h1", attempt=1, execution_id="two roads"),
        span_start(10.3, 1, execution_id="two roads"),
        row("event", 10.0, "step.started", engine="custom", event_id="1", execution_id="twice"),
        row("event", 10.3, "step.started", engine="custom", event_id="2", execution_id="twice"),
        row("span", 10.3, "step.started", engine="custom", event_id="3", execution_id="twice"),
    ]
    folded(store, events)
    tick = Tick(NOON - timedelta(hours=1), NOON + timedelta(minutes=1), NOON - timedelta(hours=1))
    detector = duplicate_step.DETECTOR
    parameters = detector.parameters(tick, context())
    [finding] = detector.judge(tick, store.select(detector.sql, parameters), context())
    assert (finding.executions, finding.count) == (("twice",), 1)


def test_what_is_not_over_yet_has_the_historys_times(shared_store: Store) -> None:
    """Nothing of it has to be put in order but for its roads."""
    events = [
        row("span", 9.7, "step.scheduled", event_id="s", span_id=CALL),
        row("history", 10.0, "step.scheduled", event_id="h1"),
        row("history", 10.1, "step.started", event_id="h2", attempt=1),
    ]
    for [told] in in_every_order(shared_store, events, ATTEMPTS):
        assert (told["scheduled_at"], told["started_at"]) == (seconds(10.0), seconds(10.1))
        assert (told["status"], told["span_id"]) == ("running", CALL)


@pytest.mark.parametrize("offset_s", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("ids", [("1", "1", "1"), ("1", "4", "7")])
def test_durables_spans_are_the_attempts_of_its_history(
    shared_store: Store, offset_s: float, ids: tuple[str, ...]
) -> None:
    """Some SDKs keep the task id for the next try, others take another. Workers' clocks may be off."""
    events = []
    for number, task in enumerate(ids, 1):
        at_s = 10.0 * number
        end = "completed" if number == len(ids) else "failed"
        said = {"engine": "durable", "step_run_id": task}
        history = {**said, "attempt": number}
        span = {**said, "run_id": "", "span_id": f"{number:016x}", "trace_id": "ab" * 16}
        events += [
            row("history", at_s, "step.started", event_id=f"h{number}", **history),
            row("history", at_s + 1, f"step.{end}", event_id=f"e{number}", **history),
            row("span", at_s, "step.scheduled", event_id=f"c{number}", **span),
            row("span", at_s + offset_s, "step.started", event_id=f"s{number}", **span),
            row("span", at_s + 0.9 + offset_s, f"step.{end}", event_id=f"d{number}", **span),
        ]
    for told in in_every_order(shared_store, events, ATTEMPTS):
        seen = [(one["step_run_id"], one["attempt"], one["status"], one["span_id"]) for one in told]
        ends = ["failed", "failed", "completed"]
        spans = [f"{number:016x}" for number in (1, 2, 3)]
        assert seen == list(zip(ids, (1, 2, 3), ends, spans, strict=True))
        assert [one["ended_at"] for one in told] == [seconds(11), seconds(21), seconds(31)]


@pytest.mark.parametrize("lost", [set(), {0}, {1}, {0, 2}])
def test_dboss_spans_are_the_calls_of_its_tables(shared_store: Store, lost: set[int]) -> None:
    """Three calls of one step: the tables number them and cut times to milliseconds, spans know only themselves."""
    events = []
    for call, at_s in enumerate((10.0, 11.5, 11.5)):
        said = {"engine": "dbos", "run_id": "", "attempt": 1}
        table = {**said, "step_run_id": str(call + 1)}
        span_id = f"{call + 1:016x}"
        span = {**said, "step_run_id": span_id, "span_id": span_id, "trace_id": "ab" * 16}
        events += [
            row("history", at_s, "step.started", event_id=f"h{call}", **table),
            row("history", at_s + 0.1, "step.completed", event_id=f"e{call}", **table),
        ]
        if call not in lost:
            begun_s = at_s + 0.0004 + 0.0001 * call
            events += [
                row("span", begun_s, "step.started", event_id=f"s{call}", **span),
                row("span", begun_s + 0.099, "step.completed", event_id=f"d{call}", **span),
            ]
    for told in in_every_order(shared_store, events, ATTEMPTS):
        assert [one["step_run_id"] for one in told] == ["1", "2", "3"]
        assert [one["road"] for one in told] == ["history"] * 3
        assert sum(one["span_id"] != "" for one in told) == 3 - len(lost)


def test_what_dbos_replays_is_no_work(shared_store: Store) -> None:
    """A workflow that is recovered goes through its steps again; its spans say so, its tables do not."""
    said = {"engine": "dbos", "run_id": "", "attempt": 1}
    table = {**said, "step_run_id": "1"}
    events = [
        row("history", 10.0, "workflow.started", event_id="w1", engine="dbos", run_id=""),
        row("history", 10.0, "step.started", event_id="h1", **table),
        row("history", 11.0, "step.completed", event_id="h2", **table),
    ]
    for number, at_s in ((1, 10.0001), (2, 30.0)):
        span_id = f"{number:016x}"
        span = {**said, "step_run_id": span_id, "span_id": span_id}
        events += [
            row("span", at_s, "step.started", event_id=f"s{number}", **span),
            row("span", at_s + 0.999, "step.completed", event_id=f"d{number}", **span),
        ]
    for told in in_every_order(shared_store, events, ATTEMPTS):
        # While the workflow is open, the second may be a call that the tables have not told yet.
        assert [one["step_run_id"] for one in told] == [f"{2:016x}", "1"]
    events.append(
        row("history", 31.0, "workflow.completed", event_id="w2", engine="dbos", run_id="")
    )
    for told in in_every_order(shared_store, events, ATTEMPTS):
        assert [(one["step_run_id"], one["span_id"]) for one in told] == [("1", f"{1:016x}")]
