"""A body sent again lands once."""

from concurrent.futures import Future

import pytest
from prometheus_client import CollectorRegistry

from collector.batcher import Batcher
from collector.items import Item
from collector.meters import Meters
from collector.repeats import Repeats, digest
from stallwatch.clock import ManualClock
from stallwatch.errors import Transient
from stallwatch.model.events import event_from_dict
from stallwatch.store import Body, EventRow
from tests.collector.helpers import NOW, FakeStore, step_event

WAIT_S = 30
RETRIES = 4


class Bench:
    def __init__(self, window_s: float = 300.0) -> None:
        self.store = FakeStore()
        self.clock = ManualClock(NOW)
        self.registry = CollectorRegistry()
        meters = Meters(self.registry)
        self.batcher = Batcher(
            self.store, self.clock, meters, 10, 1_000_000, repeat_window_s=window_s
        )

    def submit(self, request: bytes, sender: str = "s", namespace: str = "n") -> Future[None]:
        return self.batcher.submit_otlp(Body(request, self.clock.now(), sender, namespace), 7)

    def repeated(self, item: str = "span") -> float:
        return self.registry.get_sample_value("collector_repeated_total", {"item": item}) or 0.0


def test_a_repeat_of_a_committed_body_is_answered_and_not_stored() -> None:
    bench = Bench()
    bench.submit(b"body").result(WAIT_S)
    bench.submit(b"body").result(WAIT_S)
    bench.submit(b"another").result(WAIT_S)
    bench.submit(b"body", sender="another").result(WAIT_S)
    bench.submit(b"body", namespace="another").result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == [b"body", b"another", b"body", b"body"]
    assert bench.repeated() == 7


def test_a_repeat_while_the_first_is_pending_waits_for_it() -> None:
    bench = Bench()
    bench.store.gate.clear()
    first = bench.submit(b"body")
    assert bench.store.entered.wait(WAIT_S)
    second = bench.submit(b"body")
    assert not second.done()
    bench.store.gate.set()
    first.result(WAIT_S)
    second.result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == [b"body"]
    assert bench.batcher.budget.used_bytes == 0


def test_a_failed_body_may_be_sent_again() -> None:
    bench = Bench()
    bench.store.away_times = RETRIES
    assert isinstance(bench.submit(b"body").exception(WAIT_S), Transient)
    bench.submit(b"body").result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == [b"body"]
    assert bench.repeated() == 0


def test_after_the_window_it_is_another_body() -> None:
    bench = Bench(window_s=60)
    bench.submit(b"body").result(WAIT_S)
    bench.clock.advance(61)
    bench.submit(b"body").result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == [b"body", b"body"]
    assert len(bench.batcher.repeats) == 1


def test_without_a_window_nothing_is_remembered() -> None:
    bench = Bench(window_s=0)
    bench.submit(b"body").result(WAIT_S)
    bench.submit(b"body").result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == [b"body", b"body"]
    assert len(bench.batcher.repeats) == 0


def test_the_same_events_are_the_same_whenever_they_come() -> None:
    bench = Bench()
    for second in range(2):
        now = bench.clock.advance(second)
        rows = [EventRow(event_from_dict(step_event(1), now), now, "s")]
        bench.batcher.submit_events(rows, 100).result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == ["o-1"]
    assert bench.repeated("event") == 1


def test_memory_is_bounded() -> None:
    repeats = Repeats(60, ManualClock(NOW), remembered_max=10)
    for number in range(25):
        done: Future[None] = Future()
        assert repeats.claim(b"%d" % number, done) is None
        done.set_result(None)
    assert len(repeats) == 10
    assert repeats.earlier(b"24") is not None
    assert repeats.earlier(b"3") is None


@pytest.mark.parametrize(
    "other",
    [
        Body(b"b", NOW, "as"),
        Body(b"b", NOW, "a", "s"),
        Body(b"b", NOW, "a", historical=True),
        Body(b"bb", NOW, "a"),
    ],
)
def test_what_differs_has_another_digest(other: Body) -> None:
    one = Item(1, 1, body=Body(b"b", NOW, "a"))
    assert digest(one) != digest(Item(1, 1, body=other))
