"""Answers that a real Airflow 3.3 gave, over HTTP again, and what they are read as."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from collector.engines.airflow import Airflow
from collector.engines.airflow.definitions import duration_s
from collector.engines.airflow.poll import PAGE
from collector.engines.reading import Fragment, Hints, Parts, Piece, Poller
from stallwatch.config.engines.airflow import AirflowConfig
from stallwatch.errors import InputError, Permanent, Transient
from stallwatch.model.events import StepEvent, check_event
from stallwatch.store import Store
from tests.collector.engines.stand_in import Answer, Asked, StandIn, standing_in
from tests.collector.engines.timelines import FIXTURES, load, read_all, stored, timeline

ENGINE = Airflow()
FOLDER = FIXTURES / "airflow"
NOW = datetime(2026, 11, 22, 18, 15, 30, tzinfo=UTC)
HINTS = Hints(NOW)
RECORDED: dict[str, Any] = load(FOLDER / "answers.json")
Rows = dict[str, Any]


def server(rows: Rows, request: Asked) -> Answer:
    """As Airflow's API server answers, for the filters that are used."""
    path = request.path
    if path == "/auth/token":
        good = request.body == {"username": "watch", "password": "secret"}
        return (201, {"access_token": "jwt-1"}) if good else (401, {"detail": "no"})
    parts = path.removeprefix("/api/v2/dags/").split("/")
    if path.endswith("/list"):
        key, states = (
            ("dag_runs", "states") if path.endswith("dagRuns/list") else ("task_instances", "state")
        )
        assert request.body["page_limit"] <= PAGE
        found = [row for row in rows[key] if matches(row, request.body, states)]
        offset = request.body["page_offset"]
        return 200, {key: found[offset : offset + PAGE], "total_entries": len(found)}
    if parts[-1] == "tries":
        tries = [
            t for t in rows["tries"] if [t["dag_id"], t["dag_run_id"], t["task_id"]] == parts[0:6:2]
        ]
        return (200, {"task_instances": tries}) if tries else (404, {"detail": "not found"})
    what = {"tasks": "tasks", "details": "dags"}[parts[1]]
    found = rows[what].get(parts[0])
    return (404, {}) if found is None else (200, {"tasks": found} if what == "tasks" else found)


def matches(row: dict[str, Any], body: dict[str, Any], states: str) -> bool:
    if "dag_ids" in body and row["dag_id"] not in body["dag_ids"]:
        return False
    if states in body and row["state"] not in body[states]:
        return False
    since = body.get("end_date_gte")
    return since is None or (row["end_date"] is not None and at(row["end_date"]) >= at(since))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def recorded(rows: Rows = RECORDED) -> Iterator[StandIn]:
    with standing_in(lambda request: server(rows, request)) as stand_in:
        yield stand_in


def asking(stand_in: StandIn, **keys: Any) -> Poller:
    return ENGINE.poller(AirflowConfig(url=stand_in.url, **keys))


def look(
    stand_in: StandIn, mark: str | None = None, now: datetime = NOW, **keys: Any
) -> list[Piece]:
    poller = asking(stand_in, **keys)
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
    assert closed == {
        "order/order-1",
        "order/order-2",
        "broken/broken-1",
        "broken/broken-2",
        "hung/hung-1",
    }


def test_a_document_of_answers_says_the_same() -> None:
    with recorded() as stand_in:
        polled = events_of([piece.parts for piece in look(stand_in)])
    rows = [*RECORDED["tries"], *RECORDED["task_instances"]]
    document = {"dag_runs": RECORDED["dag_runs"], "task_instances": rows}
    together = events_of([ENGINE.parts(document, HINTS)])
    assert polled.items() <= together.items()
    assert (
        events_of([ENGINE.parts(row, HINTS) for row in (*RECORDED["dag_runs"], *rows)]) == together
    )


def test_a_second_look_brings_nothing_that_contradicts() -> None:
    with recorded() as stand_in:
        poller = asking(stand_in)
        first = list(poller.poll(None, NOW))
        asked = len(stand_in.asked)
        second = list(poller.poll(first[-1].mark, NOW + timedelta(seconds=10)))
        again = stand_in.asked[asked:]
        poller.close()
    # Definitions and tries were asked for once.
    assert [request for request in again if request.method == "GET"] == []
    assert (
        events_of([p.parts for p in second]).items() <= events_of([p.parts for p in first]).items()
    )


def test_what_dags_declare() -> None:
    with recorded() as stand_in:
        pieces = look(stand_in)
    found = {(d.workflow, d.step): d for piece in pieces for d in piece.parts.definitions}
    flaky = found["order", "flaky"]
    assert (flaky.timeout_s, flaky.max_attempts, flaky.backoff_s) == (300.0, 3, 2.0)
    assert (flaky.next, flaky.kind, flaky.source) == (("ship",), "@task", "server")
    assert found["hung", ""].timeout_s == 3600.0
    assert found["broken", "hopeless"].backoff_rate is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("PT1H", 3600.0), ("P1DT2M3.5S", 86523.5), (90, 90.0), ({"days": 1, "seconds": 5}, 86405.0)],
)  # fmt: skip
def test_durations(value: Any, seconds: float | None) -> None:
    assert duration_s(value, "") == seconds


def test_a_deferred_task_that_is_at_work_again(store: Store) -> None:
    (run,) = [run for run in RECORDED["dag_runs"] if run["dag_run_id"] == "waits-2"]
    (deferred,) = [t for t in RECORDED["task_instances"] if t["state"] == "deferred"]
    resumed = {
        **deferred,
        "state": "running",
        "queued_when": "2026-11-22T18:12:00Z",
        "trigger": None,
    }
    looks = [{"dag_runs": [run], "task_instances": [row]} for row in (deferred, resumed)]
    stored(store, read_all(ENGINE, [ENGINE.parts(looks[0], HINTS)]), NOW)
    assert store.select("SELECT status, waiting_on FROM attempts WHERE step = 'until'") == [
        {"status": "waiting", "waiting_on": "timer"}
    ]
    stored(store, read_all(ENGINE, [ENGINE.parts(one, HINTS) for one in looks]), NOW)
    assert store.select("SELECT status FROM attempts WHERE step = 'until'") == [
        {"status": "running"}
    ]
    # Unless the wait was seen, a second start would look like a second execution.
    (alone,) = read_all(ENGINE, [ENGINE.parts(looks[1], HINTS)])
    assert [e.event for e in alone.events if e.step == "until"].count("step.started") == 1


ROWS = [{"dag_runs": [run]} for run in RECORDED["dag_runs"]] + [
    {"task_instances": [row]} for row in (*RECORDED["tries"], *RECORDED["task_instances"])
]
FRAGMENTS = [
    Fragment(fragment.execution, {identity: fact, "run": fragment.facts["run"]})
    for row in ROWS
    for fragment in ENGINE.parts(row, HINTS).fragments
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


def test_more_than_a_page() -> None:
    run = RECORDED["dag_runs"][0]
    many = [{**run, "dag_run_id": f"run-{number}"} for number in range(2 * PAGE + 1)]
    with recorded({**RECORDED, "dag_runs": many, "task_instances": []}) as stand_in:
        pieces = look(stand_in)
    assert len({f.execution for piece in pieces for f in piece.parts.fragments}) == len(many)


def test_some_dags_only() -> None:
    with recorded() as stand_in:
        pieces = look(stand_in, dags=("hung",))
    assert {f.execution for p in pieces for f in p.parts.fragments} == {
        "hung/hung-1",
        "hung/hung-2",
    }


def test_an_airflow_without_the_newest_state() -> None:
    def older(request: Asked) -> Answer:
        if "awaiting_input" in (request.body or {}).get("state", ()):
            return 422, {"detail": "not a state"}
        return server(RECORDED, request)

    with standing_in(older) as stand_in, recorded() as newer:
        assert len(look(stand_in)) == len(look(newer))


def test_a_dag_that_is_gone() -> None:
    with recorded({**RECORDED, "tasks": {}, "dags": {}}) as stand_in:
        pieces = look(stand_in)
    assert not any(piece.parts.definitions for piece in pieces)


def test_who_asks(tmp_path: Path) -> None:
    with recorded() as stand_in:
        look(stand_in, username="watch", password=SecretStr("secret"))
        signed = [r.headers.get("authorization") for r in stand_in.asked if r.path != "/auth/token"]
        assert set(signed) == {"Bearer jwt-1"}
        with pytest.raises(Permanent, match="Airflow does not know these credentials"):
            look(stand_in, username="watch", password=SecretStr("wrong"))
    file = tmp_path / "token"
    file.write_text("jwt-of-a-cloud\n")
    with recorded() as stand_in:
        look(stand_in, token_file=file)
        assert {r.headers.get("authorization") for r in stand_in.asked} == {"Bearer jwt-of-a-cloud"}


def test_a_token_that_has_expired_is_asked_for_anew() -> None:
    good = ["Bearer jwt-1"]

    def guarded(request: Asked) -> Answer:
        is_open = request.path == "/auth/token" or request.headers.get("authorization") in good
        return server(RECORDED, request) if is_open else (401, {"detail": "expired"})

    with standing_in(guarded) as stand_in:
        poller = asking(stand_in, username="watch", password=SecretStr("secret"))
        (*_, last) = poller.poll(None, NOW)
        good.clear()
        with pytest.raises(Transient, match="asking for another"):
            list(poller.poll(last.mark, NOW))
        good.append("Bearer jwt-1")
        assert list(poller.poll(last.mark, NOW))
        good.clear()
        with pytest.raises(Transient):
            list(poller.poll(last.mark, NOW))
        with pytest.raises(Permanent, match="does not know these credentials"):
            list(poller.poll(last.mark, NOW))
        poller.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (403, {}, Permanent, "Airflow does not allow this"),
        (500, {}, Transient, "500"),
        (429, {}, Transient, "429"),
        (200, {"hello": 1}, Permanent, "without dag_runs"),
    ],
)
def test_refusals(status: int, body: Any, kind: type[Exception], says: str) -> None:
    with standing_in(lambda _: (status, body)) as stand_in, pytest.raises(kind, match=says):
        look(stand_in)


@pytest.mark.parametrize(
    "keys",
    [
        {"username": "a"},
        {"password": SecretStr("a")},
        {"token": SecretStr("a"), "username": "b", "password": SecretStr("a")},
    ],
)
def test_one_way_in(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"username goes with|set one of"):
        AirflowConfig(**keys)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "not of Airflow"),
        ({"dag_runs": [{"dag_id": "a"}]}, r"dag_runs\[0\].dag_run_id: is required"),
        ({"task_instances": [{"dag_id": "a", "dag_run_id": "b"}]}, r"task_instances\[0\].task_id"),
        ({"tasks": {"a": [{"retry_delay": "soon"}]}}, r"tasks.a\[0\].retry_delay: is no duration"),
    ],
)
def test_what_is_wrong_is_named(document: Any, field: str) -> None:
    with pytest.raises(InputError, match=field):
        ENGINE.parts(document, HINTS)


def test_a_new_state_is_counted_and_no_error() -> None:
    task = {**RECORDED["task_instances"][0], "state": "napping"}
    (reading,) = read_all(ENGINE, [ENGINE.parts({"task_instances": [task]}, HINTS)])
    assert reading.kinds["unknown", "napping"] == 1
