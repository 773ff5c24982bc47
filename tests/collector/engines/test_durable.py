"""Recorded histories of the Durable Task SDK: what they become in the store, and the rules of reading."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.conventions import conventions
from collector.engines.durable import Durable
from collector.engines.reading import Hints, Parts
from stallwatch.model.events import StepEvent, check_event
from stallwatch.store import Body, Store
from tests.collector.engines.timelines import (
    FIXTURES,
    NOW,
    gathered,
    load,
    parts_of,
    read_all,
    stored,
    timeline,
)
from tests.otlp import recorded, request

ENGINE = Durable()
FOLDERS = ("durable", "durable_unstamped")
FILES = [path for folder in FOLDERS for path in sorted((FIXTURES / folder).glob("*_*.json"))]
NAMES = [f"{path.parent.name}/{path.stem}" for path in FILES]
PAIRS = [path for path in FILES if path.name.startswith("mid_")]


def final_of(path: Path) -> Path:
    return path.with_name(path.name.replace("mid_", "final_"))


def events_of(*parts: Parts) -> list[StepEvent]:
    return [event for reading in read_all(ENGINE, parts) for event in reading.events]


@pytest.mark.parametrize("phase", ["mid", "final"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_what_was_recorded_becomes_its_timeline(store: Store, folder: str, phase: str) -> None:
    """Golden files: each was read line by line against the recorded histories."""
    paths = sorted((FIXTURES / folder).glob(f"{phase}_*.json"))
    stored(store, read_all(ENGINE, [parts_of(ENGINE, path) for path in paths]))
    golden = FIXTURES / folder / f"timeline_{phase}.txt"
    assert timeline(store) == golden.read_text()


def test_halves_of_a_history_fold_to_what_the_whole_does(store: Store) -> None:
    """The earlier halves come last."""
    for phase in ("final", "mid"):
        paths = sorted((FIXTURES / "durable").glob(f"{phase}_*.json"))
        stored(store, read_all(ENGINE, [parts_of(ENGINE, path) for path in paths]))
    assert timeline(store) == (FIXTURES / "durable" / "timeline_final.txt").read_text()


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_event_can_be_stored(path: Path) -> None:
    readings = read_all(ENGINE, [parts_of(ENGINE, path)])
    for reading in readings:
        assert reading.events
        assert {fate for fate, _ in reading.kinds} == {"mapped"}
        for event in reading.events:
            check_event(event, NOW)
        assert len({event.event_id for event in reading.events}) == len(reading.events)


@pytest.mark.parametrize("path", PAIRS, ids=[f"{p.parent.name}/{p.stem}" for p in PAIRS])
def test_what_is_told_early_is_told_late_too(path: Path) -> None:
    mid, final = parts_of(ENGINE, path), parts_of(ENGINE, final_of(path))
    early, late = events_of(mid), events_of(final)
    both = events_of(mid, final)
    assert ids(early) <= ids(both)
    assert ids(late) <= ids(both)
    assert both == events_of(final, mid) == events_of(mid, mid, final, final, mid)
    assert ids(both) - ids(late) <= ids(early)


def ids(events: list[StepEvent]) -> set[tuple[str, str]]:
    return {(event.event_id, repr(event)) for event in events}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_of_some_facts_is_told_some_of_what_all_tell(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PAIRS))
    facts = gathered([parts_of(ENGINE, path), parts_of(ENGINE, final_of(path))])
    for execution, all_of_it in facts.items():
        some = data.draw(st.sets(st.sampled_from(sorted(all_of_it))))
        more = some | data.draw(st.sets(st.sampled_from(sorted(all_of_it))))
        few = ENGINE.read(execution, {key: all_of_it[key] for key in some}, "ns").events
        many = ENGINE.read(execution, {key: all_of_it[key] for key in more}, "ns").events
        assert ids(few) <= ids(many)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_facts_have_no_payloads(path: Path) -> None:
    document = load(path)
    for event in document["history"]:
        for body in event.values():
            if isinstance(body, dict):
                for name in ("input", "result"):
                    if name in body:
                        body[name] = "a secret that is long enough to be found"
    parts = ENGINE.parts(document, Hints(NOW))
    assert "a secret" not in repr(parts)
    assert "stackTrace" not in repr(parts)


def test_a_run_is_a_generation() -> None:
    """Of `o_cont` three generations ran; a history has the last one only, and says when that was started."""
    (started, *_) = events_of(parts_of(ENGINE, FIXTURES / "durable" / "final_o_cont-1.json"))
    assert started.run_id == "2026-11-22T09:44:53.800407Z"
    assert started.execution_id == "o_cont-1"


def test_a_child_names_its_parent() -> None:
    (started, *_) = events_of(parts_of(ENGINE, FIXTURES / "durable" / "final_sub-child.json"))
    assert started.parent_execution_id == "o_sub-1"
    assert started.trace_id == "4eaf438abfa21894d2a7f99c5a84ef89"


def test_an_open_wait_needs_to_have_been_seen() -> None:
    """A history that ends at rest may have been cut off there: that it was running so has to be said."""
    document: dict[str, Any] = load(FIXTURES / "durable" / "mid_o_wait-1.json")
    assert "external event" in {event.step for event in events_of(parts(document))}
    changes: list[dict[str, Any]] = [
        {"status": 1}, {"status": None}, {"pending": [{"eventRaised": {}}]}
    ]  # fmt: skip
    for change in changes:
        cut = {**document, **change}
        assert "external event" not in {event.step for event in events_of(parts(cut))}


def parts(document: object, **hints: str) -> Parts:
    return ENGINE.parts(document, Hints(NOW, **hints))


@pytest.fixture
def spans_store(store_root: Store) -> Iterator[Store]:
    """A store that turns spans into step events, too."""
    with Store(store_root.engine, conventions=conventions()).scratch("durable_spans", NOW) as its:
        yield its


def test_spans_and_history_of_an_attempt_are_one_attempt(spans_store: Store) -> None:
    """Spans of the same runs as the histories: what they add is when something was scheduled, and the trace.

    Without `o_cont-1`: of its first generation there are spans but no history, and spans name no run.
    """
    spans = [span for span in recorded("durabletask") if "o_cont-1" not in repr(span)]
    spans_store.insert_otlp([Body(request(spans), NOW, "sender", "default")])
    spans_store.fold(NOW)
    paths = sorted((FIXTURES / "durable").glob("final_*.json"))
    stored(spans_store, read_all(ENGINE, [parts_of(ENGINE, path) for path in paths]))
    joined = re.sub(r" scheduled=-?[\d.]+", "", timeline(spans_store))
    assert joined == (FIXTURES / "durable" / "timeline_final.txt").read_text()
    (trace,) = spans_store.select(
        "SELECT DISTINCT trace_id FROM attempts WHERE execution_id = 'o_retry-1'"
    )
    assert trace["trace_id"] == "59ef72017b63575b9afa3420d311003a"
