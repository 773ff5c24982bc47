"""Polling: the mark moves when what it stands for is stored; failures back off and are told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from collector.engines.polling import Polling
from collector.engines.reading import Hints, Piece
from collector.limits import as_it_is
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.errors import Permanent, Transient
from stallwatch.store import EventRow
from tests.collector.engines.toy import Toy, ToyPoller, did
from tests.collector.helpers import NOW, FakeStore, collecting

TOY = Toy()


def piece(run: str, *deeds: str, mark: str | None = None, historical: bool = False) -> Piece:
    return Piece(TOY.parts(did(run, *deeds), Hints(NOW)), "prod", mark, historical)


@dataclass
class Room:
    """A polling with all that is around it."""

    clock: ManualClock
    store: FakeStore
    poller: ToyPoller
    marks: dict[str, str] = field(default_factory=dict)

    def watermark(self, name: str) -> str | None:
        return self.marks.get(name)

    def set_watermark(self, name: str, value: str) -> None:
        self.marks[name] = value

    def polling(self, collector: Collector) -> Polling:
        return Polling(
            TOY,
            self.poller,
            10.0,
            collector.desk,
            self,
            self.clock,
            collector._meters,
            lambda _at, _historical: as_it_is,
            self.store.note_look,
        )


@pytest.fixture
def room() -> Room:
    return Room(ManualClock(NOW), FakeStore(), ToyPoller())


@pytest.fixture
def polling(room: Room) -> Iterator[Polling]:
    with collecting(room.store, room.clock) as collector:
        yield room.polling(collector)


def test_a_look_stores_and_moves_the_mark(room: Room, polling: Polling) -> None:
    room.poller.looks = [[piece("r", "started", mark="1"), piece("s", "started", mark="2")]]
    looked = polling.look()
    assert (looked.executions, looked.events) == (2, 2)
    assert room.store.stored() == ["r", "s"]
    assert room.marks == {"engine:toy": "2"}
    assert [look[:3] for look in room.store.looks] == [("poll:toy", "prod", NOW)]
    polling.look()
    assert room.poller.asked == {None: 1, "2": 1}


def test_that_nothing_is_new_is_news(room: Room, polling: Polling) -> None:
    room.poller.looks = [[piece("r", "started")], []]
    polling.tick()
    room.clock.advance(10)
    polling.tick()
    assert [at for _, _, at, _ in room.store.looks] == [NOW, room.clock.now()]


def test_what_waits_for_its_turn_is_known_as_of_the_turn_before(
    room: Room, polling: Polling
) -> None:
    room.poller.lag_s = 60
    polling.tick()
    assert room.store.looks == [("poll:toy", "default", NOW - timedelta(seconds=60), NOW)]


def test_what_came_before_an_outage_stays_and_the_rest_comes_after(
    room: Room, polling: Polling
) -> None:
    room.poller.looks = [
        [piece("r", "started", mark="1"), Transient("throttled"), piece("s", "started", mark="2")],
        [piece("s", "started", mark="2")],
    ]
    polling.tick()
    assert (room.store.stored(), room.marks, room.store.looks) == (["r"], {"engine:toy": "1"}, [])
    assert polling.problem == "throttled"
    room.clock.advance(5)
    polling.tick()
    assert room.poller.asked == {None: 1, "1": 1}
    assert room.store.stored() == ["r", "s"]
    assert polling.problem == ""


def test_the_mark_does_not_move_before_it_is_stored(room: Room, polling: Polling) -> None:
    room.store.bad = {"r"}
    room.poller.looks = [[piece("r", "started", mark="1")]]
    polling.tick()
    assert room.marks == {}
    assert "cannot parse" in polling.problem


def test_failures_back_off(room: Room, polling: Polling) -> None:
    room.poller.looks = [[Transient("away")] for _ in range(20)]
    looks = []
    for second in range(2000):
        before = room.poller.asked.total()
        polling.tick()
        if room.poller.asked.total() > before:
            looks.append(second)
        room.clock.advance(1)
    assert looks[:7] == [0, 5, 15, 35, 75, 155, 315]
    assert {after - before for before, after in pairwise(looks[7:])} == {300}


def test_the_engines_wish_is_heeded(room: Room, polling: Polling) -> None:
    room.poller.looks = [[Transient("slow down", retry_after_s=60.0)], []]
    polling.tick()
    room.clock.advance(59)
    polling.tick()
    assert room.poller.asked.total() == 1
    room.clock.advance(1)
    polling.tick()
    assert room.poller.asked.total() == 2


def test_what_needs_somebody_is_tried_seldom_and_told_once(
    room: Room, polling: Polling, caplog: pytest.LogCaptureFixture
) -> None:
    room.poller.looks = [[Permanent("the key is wrong")] for _ in range(3)]
    for _ in range(3):
        polling.tick()
        room.clock.advance(300)
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.__dict__["reason"] for record in told] == ["the key is wrong"]


def test_old_news_is_history(room: Room, polling: Polling, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[EventRow] = []
    monkeypatch.setattr(room.store, "insert_event_rows", lambda batch, _: rows.extend(batch))
    room.poller.looks = [[piece("old", "started", historical=True), piece("new", "started")]]
    polling.look()
    assert [(row.event.execution_id, row.historical, row.road, row.sender) for row in rows] == [
        ("old", True, "history", "poll:toy"),
        ("new", False, "history", "poll:toy"),
    ]


def test_a_look_ends_when_the_service_stops(room: Room, polling: Polling) -> None:
    class Stops(ToyPoller):
        def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
            yield piece("r", "started", mark="1")
            polling.stop()
            yield piece("s", "started", mark="2")
            yield piece("t", "started", mark="3")

    polling._poller = Stops()
    polling.tick()
    assert (room.store.stored(), room.marks) == (["r", "s"], {"engine:toy": "2"})
    polling.tick()
    assert room.store.stored() == ["r", "s"]
