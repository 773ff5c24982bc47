"""When requests go together: the times are a manual clock's, whose every wait is over at once."""

from datetime import timedelta

from collector.gathering import BATCH_BYTES, REST_S_MAX, TRICKLE_BYTES, Gathering
from collector.items import Item
from stallwatch.clock import ManualClock
from stallwatch.store import Body
from tests.collector.helpers import NOW

BATCH_S = 0.1


def item(size_bytes: int = 100) -> Item:
    return Item(size_bytes, 1, body=Body(b"", NOW, "sender"))


def waited_s(gathering: Gathering, clock: ManualClock) -> float:
    """How long the next batch gathered; it stays in hand."""
    before = clock.now()
    gathering.next_batch()
    return (clock.now() - before) / timedelta(seconds=1)


def test_a_trickle_rests_in_proportion_to_what_the_last_insert_took() -> None:
    for took_s, rest_s in ((0.0, BATCH_S), (0.045, 0.135), (5.0, REST_S_MAX)):
        clock = ManualClock(NOW)
        gathering = Gathering(clock, BATCH_S)
        gathering.put(item())
        batch = gathering.next_batch()
        clock.advance(took_s)
        gathering.ended(batch)
        gathering.put(item())
        assert abs(waited_s(gathering, clock) - rest_s) < 1e-6


def test_what_is_more_than_a_trickle_does_not_rest() -> None:
    clock = ManualClock(NOW)
    gathering = Gathering(clock, BATCH_S)
    gathering.put(item())
    batch = gathering.next_batch()
    clock.advance(5)
    gathering.ended(batch)
    gathering.put(item(TRICKLE_BYTES))
    assert abs(waited_s(gathering, clock) - BATCH_S) < 1e-6


def test_a_full_batch_goes_at_once() -> None:
    clock = ManualClock(NOW)
    gathering = Gathering(clock, BATCH_S)
    gathering.put(item(BATCH_BYTES))
    assert waited_s(gathering, clock) == 0
