"""telemetry_silence."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import telemetry_silence
from detectors.calibration.learning import learn
from detectors.listening import when_nobody_listened
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from tests.detectors.support import ago, calibration, context, learned, tick


def heard(sender: str, last: float, told: float = 1e6, fresh: float = 1e6) -> dict[str, Any]:
    """A row: heard, heard with something, heard with something fresh so many seconds ago."""
    times = {"last_at": ago(last), "told_at": ago(told), "fresh_at": ago(fresh)}
    return {"sender": sender, **times, "lag_s": 90.0}


def silent(
    last: float,
    tau_s: float | None = 20.0,
    heard: Sequence[dict[str, Any]] = (),
    away: Sequence[tuple[float, float]] = (),
) -> Any:
    """`away`: from how many seconds ago until how many nobody listened."""
    known = calibration(senders={"shop": learned(tau_s)}, last_beats={"shop": ago(last)})
    unheard = tuple((ago(begin), ago(end)) for begin, end in away)
    return telemetry_silence.judge(tick(), heard, context(calibration=known, unheard=unheard))


def test_silence_beyond_habit_is_told_with_its_sender() -> None:
    (found,) = silent(100)
    assert (found.key, found.workflow, found.since) == ("shop", "", ago(100))


def test_a_minute_is_always_allowed_and_habit_may_allow_more() -> None:
    assert silent(59) == []
    (found,) = silent(100)
    assert (
        "longer than 21s less than once in 100,000; up to 1m is always allowed."
        in found.explanation
    )
    (found,) = silent(100, tau_s=80.0)
    assert "always allowed" not in found.explanation
    assert silent(100, tau_s=300.0) == []


def test_what_came_since_the_calibration_counts() -> None:
    assert silent(100, heard=[heard("shop", 3)]) == []


def test_a_sender_hardly_known_is_not_judged() -> None:
    known = calibration(senders={})
    rows = [heard("new", 3600)]
    assert telemetry_silence.judge(tick(), rows, context(calibration=known)) == []


def test_what_nobody_listened_to_was_no_silence() -> None:
    """Silent for 10 s when nobody listened any more, and not heard in the 30 s since somebody does again."""
    (found,) = silent(500, away=[(490, 30)])
    assert found.suspected
    assert "not been heard since" in found.explanation
    # After a minute it is no longer waited for; after as long as it may be silent, it is.
    assert silent(500, tau_s=100.0, away=[(490, 61)]) == []
    (found,) = silent(500, tau_s=100.0, away=[(490, 110)])
    assert (found.suspected, found.since) == (False, ago(500))


def test_who_was_silent_before_nobody_listened_still_is() -> None:
    away = [(400, 300), (200, 5)]
    (found,) = silent(500, away=away)
    assert not found.suspected
    # Nor does it matter in which of the pauses between it was silent for too long.
    (found,) = silent(410, away=away)
    assert not found.suspected
    away = [(400, 250), (200, 5)]
    (found,) = silent(410, away=away)
    assert found.suspected


def test_who_is_dead_is_told_though_collectors_come_and_go() -> None:
    """None of the times in which one listened was longer than it may be silent."""
    away = [(begin, begin - 30) for begin in range(490, 0, -90)]
    assert [one.suspected for one in silent(500, tau_s=100.0, away=away)] == [True]
    away = [(begin, begin - 5) for begin in range(490, 0, -90)]
    assert [one.suspected for one in silent(500, tau_s=100.0, away=away)] == [False]


@pytest.mark.parametrize(
    ("told", "fresh", "catches_up"),
    [
        (2, 200, True),
        (2, 50, False),  # nothing fresh for less than it may be silent
        (70, 400, False),  # it pauses: perhaps that was all
        (2, 955, True),
        (2, 970, False),  # for so long: it has become late for good
    ],
)
def test_who_delivers_only_what_is_old_has_more_to_tell(
    told: float, fresh: float, catches_up: bool
) -> None:
    found = silent(2, heard=[heard("shop", 2, told, fresh)])
    assert [one.suspected for one in found] == [True] * catches_up


def test_what_piled_up_while_nobody_listened_is_delivered_first() -> None:
    """However short that was, and however long the sender may be silent."""
    (found,) = silent(2, 500.0, [heard("shop", 2, told=2, fresh=60)], [(50, 10)])
    assert found.suspected
    assert "catching up" in found.title
    assert silent(2, 500.0, [heard("shop", 2, told=2, fresh=9)], [(50, 10)]) == []


def beat(
    store: Store, first_at: datetime, n: int, every_s: float = 1.0, late_s: float = 0.0
) -> datetime:
    """`n` deliveries of the sender shop; when the last one came."""
    for number in range(n):
        at = first_at + timedelta(seconds=number * every_s)
        event = event_from_dict(
            {
                "event": "workflow.started", "time": (at - timedelta(seconds=late_s)).isoformat(),
                "workflow": "order", "execution_id": f"{at:%H%M%S%f}",
            },
            at,
        )  # fmt: skip
        store.insert_events([event], at, "shop")
    return at


def judged(store: Store, learned_at: datetime, until: datetime) -> list[bool]:
    """Whether what is said of the shop is a suspicion."""
    unheard = when_nobody_listened(store, until)
    known = context(calibration=learn(store, learned_at, 1.0), unheard=unheard)
    asked = tick(until)
    rows = store.select(
        telemetry_silence.DETECTOR.sql, telemetry_silence.DETECTOR.parameters(asked, known)
    )
    return [one.suspected for one in telemetry_silence.DETECTOR.judge(asked, rows, known)]


def test_a_collector_that_was_away_is_learned_of_from_the_store(store: Store) -> None:
    last_at = beat(store, ago(400), 60)
    store.note_away(last_at + timedelta(seconds=5), ago(30))
    for learned_at in (last_at, ago(1)):
        assert judged(store, learned_at, ago(0)) == [True]
    # How long it was away is no habit of the sender.
    beat(store, ago(20), 10)
    assert learn(store, ago(0), 1.0).senders["shop"].spread.longest_s == 1.0


def test_a_backlog_is_told_from_fresh_deliveries_in_the_store(store: Store) -> None:
    last_at = beat(store, ago(400), 60)
    beat(store, ago(20), 5, late_s=90)
    assert judged(store, last_at, ago(14)) == [True]
    beat(store, ago(13), 1)
    assert judged(store, last_at, ago(12)) == []
