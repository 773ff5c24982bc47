"""The desk: documents in any order and any pieces, each event stored once, bad documents told."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.engines import shelf as shelves
from collector.engines.desk import Origin
from collector.engines.reading import Hints
from collector.engines.shelf import Shelf
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.errors import StoreUnavailable
from tests.collector.engines.toy import Toy, did
from tests.collector.helpers import NOW, FakeStore, collecting

TOY = Toy()
HINTS = Hints(NOW)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def collector(store: FakeStore) -> Iterator[Collector]:
    with collecting(store, ManualClock(NOW)) as collector:
        yield collector


def as_given(document: Any) -> Any:
    return document


def take(collector: Collector, *documents: Any, hints: Hints = HINTS) -> int:
    """Give documents to the desk; how many step events followed."""
    taken = collector.desk.take(
        TOY,
        [partial(as_given, document) for document in documents],
        hints,
        Origin("me", NOW),
    )
    for commit in taken.commits:
        commit.result(10)
    return taken.events


def test_what_belongs_together_may_come_apart(collector: Collector, store: FakeStore) -> None:
    assert take(collector, did("r", "charge", "ended", first=1)) == 0
    assert take(collector, did("r", "started")) == 3
    assert store.stored() == ["r", "r", "r"]


def test_an_event_is_sent_once(collector: Collector, store: FakeStore) -> None:
    assert take(collector, did("r", "started", "charge"), did("s", "started")) == 3
    assert take(collector, did("r", "started", "charge", "ship"), did("s", "started")) == 1
    assert store.stored() == ["r", "r", "s", "r"]


def test_what_was_not_stored_is_sent_again(collector: Collector, store: FakeStore) -> None:
    store.bad = {"r"}
    with pytest.raises(Exception, match="cannot parse"):
        take(collector, did("r", "started"))
    store.bad = set()
    assert take(collector, did("r", "started")) == 1
    assert store.stored() == ["r"]


@given(pieces=st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6))
def test_any_order_of_any_pieces_gives_the_same(pieces: list[list[int]]) -> None:
    deeds = ["started", "reserve", "charge", "?new", "ship", "ended"]
    store = FakeStore()
    with collecting(store, ManualClock(NOW)) as collector:
        for numbers in [*pieces, list(range(6))]:
            take(collector, {"run": "r", "did": [(number, deeds[number]) for number in numbers]})
        assert len(store.stored()) == 5


def test_a_bad_document_spoils_no_neighbour(collector: Collector, store: FakeStore) -> None:
    nested: list[Any] = []
    for _ in itertools.repeat(None, 300):
        nested = [nested]
    documents: list[Any] = [did("r", "started"), {"did": []}, {"run": nested, "did": []}]
    taken = collector.desk.take(
        TOY,
        [partial(as_given, document) for document in documents],
        HINTS,
        Origin("me", NOW),
    )
    for commit in taken.commits:
        commit.result(10)
    assert (taken.parsed.accepted, taken.parsed.rejected) == (1, 2)
    assert [(error.index, error.message) for error in taken.parsed.errors] == [
        (1, "run: is missing"),
        (2, "nested more than 200 levels deep"),
    ]
    assert store.stored() == ["r"]


def test_the_way_in_may_say_whose_history_it_is(collector: Collector, store: FakeStore) -> None:
    take(collector, {"did": [(0, "started")]}, hints=HINTS._replace(execution_id="from the name"))
    assert store.stored() == ["from the name"]


def test_the_documents_of_an_envelope(collector: Collector, store: FakeStore) -> None:
    envelope = {
        "requestId": "q",
        "records": [did("r", "started"), {"did": []}, did("s", "started")],
    }
    taken = collector.desk.take(TOY, [lambda: envelope], HINTS, Origin("me", NOW))
    for commit in taken.commits:
        commit.result(10)
    assert taken.answer == {"requestId": "q"}
    assert (taken.parsed.accepted, taken.parsed.rejected) == (2, 1)
    assert store.stored() == ["r", "s"]


def test_a_time_that_cannot_be_is_left_out_and_counted(
    collector: Collector, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert take(collector, did("r", "started", "garbage", "charge")) == 2
    assert "before 2000" in str([record.__dict__.get("reason") for record in caplog.records])


def test_unknown_types_are_counted_once(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    registry = collector._meters.engine_unknown
    for _ in range(2):
        take(collector, did("r", "started", "?nexus", "?nexus"))
    take(collector, did("r", "?nexus", "?other", first=3))
    counted = {
        sample.labels["type"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"?nexus": 3, "?other": 1}
    assert [record.getMessage() for record in caplog.records].count(
        "an event type is not understood"
    ) == 2


def test_definitions_go_to_the_store(collector: Collector, store: FakeStore) -> None:
    take(collector, {"timeout_s": 30.0})
    assert [(d.engine, d.workflow, d.timeout_s) for d in store.definitions] == [
        ("toy", "toy", 30.0)
    ]


def test_what_was_forgotten_is_read_anew(collector: Collector, store: FakeStore) -> None:
    take(collector, did("r", "started", "charge"))
    collector.desk.forget("r")
    assert take(collector, did("r", "ship", first=2)) == 0
    assert take(collector, did("r", "started")) == 2


def test_what_closed_is_not_kept_for_long(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "_TIDY_EVERY", 1)
    take(collector, did("open", "started"), did("closed", "started", "ended"))
    later = Origin("me", NOW + shelves.KEPT * 2)
    collector.desk.take(TOY, [lambda: did("other", "started")], HINTS, later)
    # Without its start, which is forgotten, nothing more is told of it.
    assert take(collector, did("open", "ship", first=2)) == 1
    assert take(collector, did("closed", "ship", first=2)) == 0


def test_a_shelf_that_is_away_sends_it_back(
    collector: Collector, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Any:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "put", away)
        with pytest.raises(StoreUnavailable):
            take(collector, did("r", "started"))
    assert take(collector, did("r", "started")) == 1
