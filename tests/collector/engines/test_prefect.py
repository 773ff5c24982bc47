"""Answers that a real Prefect 3.8 server gave, over HTTP again, and what they are read as."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from collector.engines.prefect import Prefect
from collector.engines.prefect.poll import PAGE
from collector.engines.reading import Fragment, Hints, Parts, Piece
from stallwatch.config.engines.prefect import PrefectConfig
from stallwatch.errors import InputError, Permanent, Transient
from stallwatch.model.events import StepEvent, check_event
from stallwatch.store import Store
from tests.collector.engines.stand_in import Answer, Asked, StandIn, standing_in
from tests.collector.engines.timelines import FIXTURES, load, read_all, stored, timeline

ENGINE = Prefect()
FOLDER = FIXTURES / "prefect"
NOW = datetime(2026, 11, 22, 18, 10, 15, tzinfo=UTC)
HINTS = Hints(NOW)
RECORDED: dict[str, list[dict[str, Any]]] = load(FOLDER / "answers.json")
RUNS = {"flow_runs": "flow_run_states", "task_runs": "task_run_states"}
STATES = RUNS.values()
OPEN = {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}


def server(rows: dict[str, list[dict[str, Any]]], request: Asked) -> Answer:
    """As Prefect's server answers, for the filters that are used."""
    what, _, kind = request.path.removeprefix("/api/").strip("/").partition("/")
    if kind == "filter":
        flows = {run["id"]: run for run in rows["flow_runs"]}
        found = [row for row in rows[what] if matches(row, request.body.get(what, {}))]
        if what == "task_runs" and "flow_runs" in request.body:
            of_flow = request.body["flow_runs"]
            found = [
                row
                for row in found
                if row["flow_run_id"] in flows and matches(flows[row["flow_run_id"]], of_flow)
            ]
        assert request.body["limit"] <= PAGE
        offset = request.body.get("offset", 0)
        return 200, found[offset : offset + request.body["limit"]]
    ((key, id_),) = request.query.items()
    return 200, [state for state in rows[what] if state["state_details"][key] == id_]


def matches(row: dict[str, Any], filters: dict[str, Any]) -> bool:
    return all(
        passes(row["state_type"] if name == "state" else row.get(name), operator, wanted)
        for name, its in filters.items()
        for operator, wanted in (its["type"] if name == "state" else its).items()
    )


def passes(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "any_":
        return bool(value in wanted)
    if operator == "is_null_":
        return bool((value is None) == wanted)
    if value is None:
        return False
    return at(value) >= at(wanted) if operator == "after_" else at(value) <= at(wanted)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def recorded(rows: dict[str, list[dict[str, Any]]] = RECORDED) -> Iterator[StandIn]:
    with standing_in(lambda request: server(rows, request)) as stand_in:
        yield stand_in


def look(stand_in: StandIn, mark: str | None = None, now: datetime = NOW) -> list[Piece]:
    poller = ENGINE.poller(PrefectConfig(url=f"{stand_in.url}/api"))
    try:
        return list(poller.poll(mark, now))
    finally:
        poller.close()


def events_of(parts: Sequence[Parts]) -> dict[tuple[str, str], StepEvent]:
    events = [event for one in read_all(ENGINE, parts) for event in one.events]
    for event in events:
        check_event(event, NOW)
    return {(event.execution_id, event.event_id): event for event in events}


def test_a_first_look(store: Store) -> None:
    with recorded() as stand_in:
        pieces = look(stand_in)
    readings = read_all(ENGINE, [piece.parts for piece in pieces])
    assert not any(fate == "unknown" for one in readings for fate, _ in one.kinds)
    stored(store, readings, NOW)
    assert timeline(store) == (FOLDER / "timeline.txt").read_text()
    closed = {f.execution for piece in pieces if piece.historical for f in piece.parts.fragments}
    ended = {run["id"] for run in RECORDED["flow_runs"] if run["end_time"]}
    assert closed == ended
    assert (pieces[-1].mark, pieces[0].mark) == (NOW.isoformat(), None)


def test_a_document_of_answers_says_the_same() -> None:
    with recorded() as stand_in:
        polled = events_of([piece.parts for piece in look(stand_in)])
    imported = events_of([ENGINE.parts(RECORDED, HINTS)])
    assert polled.items() <= imported.items()
    # A late look misses what ran when its flow run crashed, a pause that is over, and the first word of its end.
    missed = {(e.event, e.step) for key, e in imported.items() if key not in polled}
    assert missed == {
        ("step.started", "hang"),
        ("workflow.suspended", ""),
        ("workflow.failed", ""),
    }


def test_looks_again_from_the_mark() -> None:
    """State after state, a look at each: the same as if it was all seen at the end, and earlier."""
    seen: list[Parts] = []
    mark = None
    moments = sorted({at(s["timestamp"]) for kind in STATES for s in RECORDED[kind]})
    for moment in [*moments[::20], moments[-1]]:
        now = moment + timedelta(milliseconds=1)
        with recorded(as_of(now)) as stand_in:
            pieces = look(stand_in, mark, now)
        seen += [piece.parts for piece in pieces]
        mark = pieces[-1].mark
    watched = events_of(seen)
    with recorded() as stand_in:
        at_once = events_of([piece.parts for piece in look(stand_in)])
    assert at_once.keys() <= watched.keys()
    assert {key: watched[key] for key in at_once} == at_once


def as_of(now: datetime) -> dict[str, list[dict[str, Any]]]:
    """What the server would have answered then."""
    rows: dict[str, list[dict[str, Any]]] = {"flows": RECORDED["flows"]}
    for what, kind in RUNS.items():
        rows[kind] = [state for state in RECORDED[kind] if at(state["timestamp"]) <= now]
        rows[what] = []
        for run in RECORDED[what]:
            key = kind.replace("states", "id")
            history = [one for one in rows[kind] if one["state_details"][key] == run["id"]]
            if history:
                rows[what].append(run_as_of(run, history))
    return rows


def run_as_of(run: dict[str, Any], history: list[dict[str, Any]]) -> dict[str, Any]:
    state = history[-1]
    if state["id"] == run["state_id"]:
        return run
    running = [one["timestamp"] for one in history if one["type"] == "RUNNING"]
    is_ended = state["type"] not in OPEN
    return {
        **run,
        "state": state,
        "state_id": state["id"],
        "state_type": state["type"],
        "state_name": state["name"],
        "run_count": len(running),
        "start_time": running[0] if running else None,
        "end_time": state["timestamp"] if is_ended else None,
    }


FRAGMENTS = [
    Fragment(fragment.execution, {identity: fact})
    for fragment in ENGINE.parts(RECORDED, HINTS).fragments
    for identity, fact in fragment.facts.items()
]


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, len(FRAGMENTS) - 1)), st.randoms(use_true_random=False))
def test_more_facts_never_take_anything_back(some: set[int], shuffled: random.Random) -> None:
    fewer = events_of([Parts([FRAGMENTS[index]]) for index in sorted(some)])
    everything = [*FRAGMENTS, *(FRAGMENTS[index] for index in some)]
    shuffled.shuffle(everything)
    more = events_of([Parts([fragment]) for fragment in everything])
    assert fewer.items() <= more.items()
    assert more == events_of([ENGINE.parts(RECORDED, HINTS)])


def test_more_than_a_page() -> None:
    flow = RECORDED["flow_runs"][0]
    many = [{**flow, "id": f"run-{number}"} for number in range(2 * PAGE + 1)]
    with recorded({**RECORDED, "flow_runs": many, "task_runs": []}) as stand_in:
        pieces = look(stand_in)
    found = {f.execution for piece in pieces for f in piece.parts.fragments}
    assert len(found) == len(many)


def test_an_unchanged_history_is_asked_for_once() -> None:
    def histories(stand_in: StandIn) -> int:
        return sum(request.method == "GET" for request in stand_in.asked)

    with recorded() as stand_in:
        poller = ENGINE.poller(PrefectConfig(url=f"{stand_in.url}/api"))
        (*_, last) = poller.poll(None, NOW)
        first = histories(stand_in)
        list(poller.poll(last.mark, NOW + timedelta(seconds=10)))
        assert first > 0
        assert histories(stand_in) == first
        poller.close()


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({}, None),
        ({"api_key": SecretStr("pnu_secret")}, "Bearer pnu_secret"),
        ({"auth_string": SecretStr("watch:secret")}, "Basic d2F0Y2g6c2VjcmV0"),
    ],
)
def test_who_asks(keys: dict[str, Any], sent: str | None) -> None:
    with recorded({name: [] for name in RECORDED}) as stand_in:
        poller = ENGINE.poller(PrefectConfig(url=f"{stand_in.url}/api/", **keys))
        list(poller.poll(None, NOW))
        poller.close()
    assert {request.headers.get("authorization") for request in stand_in.asked} == {sent}
    assert "secret" not in repr(PrefectConfig(**keys))


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, {}, Permanent, "Prefect does not know these credentials"),
        (403, {}, Permanent, "Prefect does not allow this"),
        (404, {"detail": "Not Found"}, Permanent, "404"),
        (302, {}, Permanent, "is elsewhere"),
        (429, {}, Transient, "429"),
        (503, {}, Transient, "503"),
        (200, {"detail": "hello"}, Permanent, "no list"),
        (200, b"<html>", Permanent, "no JSON"),
    ],
)
def test_refusals(status: int, body: Any, kind: type[Exception], says: str) -> None:
    with standing_in(lambda _: (status, body)) as stand_in:
        stand_in.headers = {"retry-after": "7"}
        with pytest.raises(kind, match=says) as caught:
            look(stand_in)
    if isinstance(caught.value, Transient):
        assert caught.value.retry_after_s == 7.0


def test_a_server_that_is_away() -> None:
    with recorded() as stand_in:
        pass
    with pytest.raises(Transient, match="Prefect cannot be reached"):
        look(stand_in)


def test_one_way_in() -> None:
    with pytest.raises(ValidationError, match="set one of"):
        PrefectConfig(api_key=SecretStr("a"), auth_string=SecretStr("b"))


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "not of Prefect"),
        ({"flow_runs": {}}, "flow_runs: must be an array"),
        ({"flow_runs": [{}]}, r"flow_runs\[0\].id: is required"),
        ({"flow_runs": [{"id": "a", "start_time": "noon"}]}, r"flow_runs\[0\].start_time"),
        ({"task_runs": [{"id": "a", "run_count": "1"}]}, r"task_runs\[0\].run_count"),
    ],
)
def test_what_is_wrong_is_named(document: Any, field: str) -> None:
    with pytest.raises(InputError, match=field):
        ENGINE.parts(document, HINTS)


def test_a_new_type_of_state_is_counted_and_no_error() -> None:
    run = {**RECORDED["flow_runs"][0], "state": {"type": "FROZEN", "timestamp": NOW.isoformat()}}
    (reading,) = read_all(ENGINE, [ENGINE.parts({"flow_runs": [run]}, HINTS)])
    assert reading.kinds["unknown", "FROZEN"] == 1


def test_a_task_that_no_flow_called_is_an_execution() -> None:
    task = {**RECORDED["task_runs"][0], "flow_run_id": None}
    (reading,) = read_all(ENGINE, [ENGINE.parts({"task_runs": [task]}, HINTS)])
    kinds = [event.event for event in reading.events]
    assert {"workflow.started", "step.started"} <= set(kinds)
    assert {event.execution_id for event in reading.events} == {task["id"]}
    assert reading.is_closed


def test_one_run_alone_is_a_document() -> None:
    for what in RUNS:
        run = RECORDED[what][0]
        assert ENGINE.parts(run, HINTS) == ENGINE.parts({what: [run]}, HINTS), what


def test_parameters_are_not_kept() -> None:
    run = {**RECORDED["flow_runs"][0], "parameters": {"card": "4111"}, "context": {"k": "4111"}}
    assert b"4111" not in msgspec.json.encode(ENGINE.parts({"flow_runs": [run]}, HINTS).fragments)
