"""When nobody listened: from the marks of one collector to what the next one tells the store."""

import re
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from stallwatch.app.access import open_state
from stallwatch.app.alive import Alive
from stallwatch.clock import ManualClock
from stallwatch.config import load_settings
from stallwatch.errors import StoreUnavailable
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.app.running import Place

AWAY: Final = "SELECT toFloat64(began_at) AS began_s, toFloat64(ended_at) AS ended_s FROM away_log"


class Collectors:
    """One after the other with one state; times are seconds since the first one began."""

    def __init__(self, store: Store, now: datetime) -> None:
        self.store = store
        self.clock = ManualClock(now)
        self.state = State(None)
        self.alive = Alive(store, self.state, self.clock)
        self._first_at = now

    def begin(self) -> None:
        self.alive = Alive(self.store, self.state, self.clock)
        self.alive.begin()
        # As the service does once it listens.
        self.alive.note()

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.alive.note()

    def heard(self, at_s: float) -> None:
        """Something was received, by whomever."""
        at = self._first_at + timedelta(seconds=at_s)
        said = {"event": "workflow.started", "workflow": "order", "execution_id": "o-1"}
        event = event_from_dict({**said, "time": at.isoformat()}, at)
        self.store.insert_events([event], at, "shop")

    @property
    def away(self) -> list[tuple[float, float]]:
        rows = self.store.select("SELECT began_at, ended_at FROM away_log ORDER BY ended_at")
        second = timedelta(seconds=1)
        return [
            (
                (row["began_at"] - self._first_at) / second,
                (row["ended_at"] - self._first_at) / second,
            )
            for row in rows
        ]


@pytest.fixture
def collectors(store: Store, now: datetime) -> Collectors:
    return Collectors(store, now)


def test_a_first_start_was_not_away(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(60)
    assert collectors.away == []


def test_away_is_from_the_end_of_one_to_the_beginning_of_the_next(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(33)
    collectors.alive.end()
    collectors.clock.advance(100)
    collectors.begin()
    collectors.run(60)
    assert collectors.away == [(33, 133)]


def test_one_that_was_killed_listened_until_it_heard_something_last(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(38)
    collectors.heard(37)
    collectors.clock.advance(100)
    collectors.begin()
    assert collectors.away == [(37, 138)]


def test_to_start_again_quickly_is_not_worth_telling(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(33)
    collectors.alive.end()
    collectors.clock.advance(5)
    collectors.begin()
    assert collectors.away == []


def test_nobody_was_away_while_another_collector_listened(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(30)
    collectors.heard(80)
    collectors.clock.advance(100)
    collectors.begin()
    assert collectors.away == []


def test_a_machine_that_was_frozen_heard_nothing(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(30)
    collectors.clock.advance(600)
    collectors.run(20)
    assert collectors.away == [(30, 631)]


def test_what_cannot_be_told_yet_is_told_later(
    collectors: Collectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    collectors.begin()
    collectors.run(30)
    collectors.clock.advance(100)

    def refuse(*_: datetime) -> None:
        raise StoreUnavailable("not there")

    with monkeypatch.context() as patched:
        patched.setattr(collectors.store, "note_away", refuse)
        collectors.begin()
        collectors.run(15)
        # Should it end before the store is there, the next one tells.
        collectors.begin()
    assert collectors.away == []
    collectors.run(60)
    assert collectors.away == [(30, 145)]


@pytest.mark.parametrize(
    "mark", ["", "rubbish", "2026-01-05T11:00:00", "2100-01-01T00:00:00+00:00"]
)
def test_whatever_the_mark_it_begins(collectors: Collectors, mark: str) -> None:
    collectors.state.set_watermark("listened_until", mark)
    collectors.begin()
    collectors.run(60)


def test_a_clock_that_goes_back_is_marked_as_it_is(collectors: Collectors) -> None:
    collectors.begin()
    collectors.run(60)
    earlier = Collectors(collectors.store, collectors.clock.now() - timedelta(seconds=3600))
    earlier.state = collectors.state
    collectors.alive._clock = earlier.clock
    earlier.alive = collectors.alive
    earlier.run(30)
    earlier.clock.advance(100)
    earlier.begin()
    assert earlier.away == [(21, 130)]


@pytest.mark.slow
def test_serve_marks_that_it_listens_and_tells_when_it_did_not(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.serving() as running:
        assert running.terminate() == 0
    with closing(open_state(load_settings(place.config))) as state:
        stopped_at = datetime.fromisoformat(state.watermark("listened_until") or "")
        long_ago = stopped_at - timedelta(hours=1)
        state.set_watermark("listened_until", long_ago.isoformat())
    with place.serving() as running:
        assert running.terminate() == 0
    look = f"from stallwatch.store import open_store; print(open_store('chdb://{place.data}').select('{AWAY}'))"
    told = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    began_s, ended_s = re.findall(r"\d+\.\d+", told.stdout)
    assert float(began_s) == pytest.approx(long_ago.timestamp(), abs=1e-3)
    assert float(ended_s) > stopped_at.timestamp()
