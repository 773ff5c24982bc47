"""The batcher with a spool: the store may be away, slow or refusing, and nobody who was answered OK loses anything."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.batcher import Batcher
from collector.meters import Meters
from collector.refusals import Busy
from collector.spool import Spool
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.errors import StoreUnavailable, Transient
from stallwatch.model.events import event_from_dict
from stallwatch.store import Body, EventRow, Store
from tests.collector.helpers import NOW, FakeStore, span, step_event, trace_request

WAIT_S = 30
AWAY = 1_000_000


class StandingClock(ManualClock):
    """Moves when a test says so; waiting on it is really waiting."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(min(timeout_s, 0.05))


class Bench:
    """A batcher with a spool over a fake store; may end and begin again on the same disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FakeStore()
        self.clock = StandingClock(NOW)
        self.told: list[dict[tuple[str, str], int]] = []
        self.number = 0
        self.begin()

    def begin(self, limit_bytes: int = 1_000_000, inflight_inserts: int = 1) -> None:
        self.registry = CollectorRegistry()
        meters = Meters(self.registry)
        self.spool = Spool(self.folder, limit_bytes, meters)
        self.batcher = Batcher(
            self.store,
            self.clock,
            meters,
            batch_ms=10,
            max_pending_bytes=1_000_000,
            inflight_inserts=inflight_inserts,
            spool=self.spool,
            tell_spooled=self.told.append,
        )

    def submit(self, request: bytes, sender: str = "s") -> Future[None]:
        self.number += 1
        at = NOW + timedelta(milliseconds=self.number)
        return self.batcher.submit_otlp(Body(request, at, sender), 1)

    def hold(self) -> None:
        self.store.entered.clear()
        self.store.gate.clear()

    def until_drained(self) -> None:
        until(lambda: self.spool.records == 0)

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def until(condition: Callable[[], bool]) -> None:
    clock, pause = SystemClock(), threading.Event()
    deadline_s = clock.monotonic_s() + WAIT_S
    while not condition():
        assert clock.monotonic_s() < deadline_s, "it never came to hold"
        pause.wait(0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "spool")
    yield bench
    bench.store.gate.set()
    bench.batcher.close()


def test_while_the_store_is_away_senders_are_answered_and_it_gets_all_in_order(
    bench: Bench,
) -> None:
    bench.store.away_times = AWAY
    for number in range(50):
        bench.submit(b"%d" % number, f"sender {number % 3}").result(WAIT_S)
    assert bench.store.stored() == []
    # Only the first is tried again: nobody else waits for a store that is known to be away.
    assert {tuple(insert.payloads) for insert in bench.store.tried} == {(b"0",)}
    assert bench.sample("collector_spool_records") == 50
    assert bench.sample("collector_spooled_total", item="span") == 50
    assert bench.sample("collector_accepted_total", item="span") == 0
    bench.clock.advance(60)
    assert bench.sample("collector_spool_age_seconds") == pytest.approx(60, abs=1)
    assert bench.batcher.oldest_waiting_at() == NOW + timedelta(milliseconds=1)
    bench.store.away_times = 0
    bench.until_drained()
    assert bench.store.stored() == [b"%d" % number for number in range(50)]
    until(lambda: bench.sample("collector_accepted_total", item="span") == 50)
    assert bench.batcher.oldest_waiting_at() is None
    # Drained, it is out of the way again.
    bench.submit(b"later").result(WAIT_S)
    assert bench.sample("collector_spooled_total", item="span") == 50


def test_the_batch_that_failed_goes_again_with_its_token_and_alone(bench: Bench) -> None:
    bench.store.away_times = AWAY
    bench.submit(b"unclear").result(WAIT_S)
    for number in range(5):
        bench.submit(b"%d" % number).result(WAIT_S)
    bench.store.away_times = 0
    bench.until_drained()
    assert [insert.payloads for insert in bench.store.inserts] == [
        [b"unclear"],
        [b"%d" % number for number in range(5)],
    ]
    of_first = {i.token for i in bench.store.tried if i.payloads == [b"unclear"]}
    assert of_first == {bench.store.inserts[0].token}


def test_what_is_in_the_spool_survives_an_end_and_comes_first(bench: Bench) -> None:
    bench.store.away_times = AWAY
    bench.submit(b"before").result(WAIT_S)
    bench.batcher.close()
    assert bench.store.stored() == []
    bench.hold()
    bench.store.away_times = 0
    bench.begin()
    assert bench.store.entered.wait(WAIT_S)
    # Behind its own of before, which is being inserted; the other one need not wait for that.
    behind = bench.submit(b"behind")
    other = bench.submit(b"other", "another sender")
    behind.result(WAIT_S)
    assert not other.done()
    bench.store.gate.set()
    other.result(WAIT_S)
    bench.until_drained()
    stored = bench.store.stored()
    assert sorted(map(str, stored)) == sorted(map(str, [b"before", b"behind", b"other"]))
    assert stored.index(b"before") < stored.index(b"behind")


def test_draining_lets_live_requests_pass(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.draining.DRAIN_BYTES", 1)
    monkeypatch.setattr("collector.draining.DRAIN_BYTES_MAX", 1)
    bench.store.away_times = AWAY
    for number in range(100):
        bench.submit(b"%d" % number).result(WAIT_S)
    bench.batcher.close()
    bench.hold()
    bench.store.away_times = 0
    bench.begin()
    assert bench.store.entered.wait(WAIT_S)
    live = bench.submit(b"live", "another sender")
    bench.store.gate.set()
    live.result(WAIT_S)
    bench.until_drained()
    stored = bench.store.stored()
    assert stored.index(b"live") < 20
    stored.remove(b"live")
    assert stored == [b"%d" % number for number in range(100)]


def test_a_slow_insert_is_answered_from_the_spool_and_lands_once(bench: Bench) -> None:
    bench.hold()
    slow = bench.submit(b"slow")
    assert bench.store.entered.wait(WAIT_S)
    waiting = bench.submit(b"waiting", "another sender")
    assert not slow.done()
    bench.clock.advance(6)
    slow.result(WAIT_S)
    waiting.result(WAIT_S)
    assert bench.spool.records == 2
    behind = bench.submit(b"behind")
    behind.result(WAIT_S)
    bench.store.gate.set()
    bench.until_drained()
    stored = bench.store.stored()
    assert sorted(map(str, stored)) == sorted(map(str, [b"slow", b"waiting", b"behind"]))
    assert stored.index(b"slow") < stored.index(b"behind")
    assert [insert.payloads for insert in bench.store.tried].count([b"slow"]) == 1
    assert bench.batcher.budget.used_bytes == 0


def test_what_shares_a_batch_with_a_slow_insert_of_another_kind_is_answered_too(
    bench: Bench,
) -> None:
    event = event_from_dict(step_event(1), NOW)
    bench.hold()
    spans = bench.submit(b"spans")
    events = bench.batcher.submit_events([EventRow(event, NOW, "another sender")], 100)
    assert bench.store.entered.wait(WAIT_S)
    bench.clock.advance(6)
    spans.result(WAIT_S)
    events.result(WAIT_S)
    bench.store.gate.set()
    bench.until_drained()
    assert sorted(map(str, bench.store.stored())) == sorted([str(b"spans"), event.execution_id])


def test_a_slow_insert_that_fails_in_the_end_goes_again_with_its_token(bench: Bench) -> None:
    bench.hold()
    slow = bench.submit(b"slow")
    assert bench.store.entered.wait(WAIT_S)
    bench.clock.advance(6)
    slow.result(WAIT_S)
    bench.store.away_times = 1
    bench.store.gate.set()
    bench.until_drained()
    assert bench.store.stored() == [b"slow"]
    assert len({insert.token for insert in bench.store.tried}) == 1


def test_what_the_store_refuses_of_the_spool_is_set_aside_and_the_rest_lands(bench: Bench) -> None:
    bench.store.away_times = AWAY
    for number in range(10):
        bench.submit(b"%d" % number).result(WAIT_S)
    bench.store.bad = {b"3", b"7"}
    bench.store.away_times = 0
    bench.until_drained()
    assert sorted(map(str, bench.store.stored())) == sorted(
        str(b"%d" % n) for n in range(10) if n not in (3, 7)
    )
    assert bench.sample("collector_set_aside_total", reason="refused") == 2
    bench.batcher.close()
    assert bench.store.rejections == [("s", 2)]
    tokens = [insert.token for insert in bench.store.inserts]
    assert len(set(tokens)) == len(tokens)


def test_a_full_spool_says_so_after_a_bounded_time(bench: Bench) -> None:
    bench.batcher.close()
    bench.begin(limit_bytes=5000)
    bench.store.away_times = AWAY
    bench.submit(b"x" * 3000).result(WAIT_S)
    error = bench.submit(b"y" * 3000).exception(WAIT_S)
    assert isinstance(error, Busy)
    assert error.retry_after_s
    # What still fits is taken.
    bench.submit(b"z" * 500).result(WAIT_S)
    bench.store.away_times = 0
    bench.until_drained()
    assert bench.store.stored() == [b"x" * 3000, b"z" * 500]
    assert bench.batcher.budget.used_bytes == 0


def test_close_puts_on_disk_what_a_hanging_store_does_not_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The threads that do not end are waited for by the wall clock.
    monkeypatch.setattr("collector.batcher.CLOSE_S", 2.0)
    bench.hold()
    hanging = bench.submit(b"hanging")
    assert bench.store.entered.wait(WAIT_S)
    queued = bench.submit(b"queued", "another")
    closing = threading.Thread(target=bench.batcher.close)
    closing.start()
    until(lambda: not bench.batcher.healthy)
    bench.clock.advance(20)
    closing.join(WAIT_S)
    assert not closing.is_alive()
    hanging.result(WAIT_S)
    queued.result(WAIT_S)
    with pytest.raises(Transient):
        bench.submit(b"too late")
    bench.store.away_times = 1
    bench.store.gate.set()
    bench.begin()
    bench.until_drained()
    assert sorted(set(map(str, bench.store.stored()))) == sorted(map(str, [b"hanging", b"queued"]))


def test_events_and_spans_of_one_sender_both_come_through(bench: Bench) -> None:
    bench.store.away_times = AWAY
    for number in range(6):
        if number % 2:
            bench.submit(b"%d" % number).result(WAIT_S)
        else:
            row = EventRow(event_from_dict(step_event(number), NOW), NOW, "s")
            bench.batcher.submit_events([row], 100).result(WAIT_S)
    bench.store.away_times = 0
    bench.until_drained()
    stored = bench.store.stored()
    assert [payload for payload in stored if isinstance(payload, bytes)] == [b"1", b"3", b"5"]
    assert [payload for payload in stored if isinstance(payload, str)] == ["o-0", "o-2", "o-4"]


def test_what_waits_is_told_by_sender_and_its_end_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.reporting.EVERY_S", 0.05)
    bench.batcher.close()
    bench.begin()
    bench.hold()
    bench.submit(b"x" * 1000, "large")
    assert bench.store.entered.wait(WAIT_S)
    bench.clock.advance(6)
    until(lambda: bool(bench.told))
    ((sender, size),) = bench.told[0].items()
    assert sender == ("large", "default")
    assert size > 1000
    bench.store.gate.set()
    until(lambda: bench.told[-1] == {sender: 0})


def test_an_end_between_the_commit_and_the_removal_stores_nothing_twice(
    store: Store, tmp_path: Path
) -> None:
    """The real store: inserts land, their answers are lost, and the process ends."""

    class AnswersLost:
        lost = True

        def insert_otlp(self, bodies: list[Body], token: str = "") -> None:
            store.insert_otlp(bodies, token)
            if self.lost:
                raise StoreUnavailable("the answer got lost")

        insert_event_rows = staticmethod(store.insert_event_rows)
        note_rejected = staticmethod(store.note_rejected)

    lossy = AnswersLost()
    for life in range(3):
        meters = Meters(CollectorRegistry())
        spool = Spool(tmp_path, 1_000_000, meters)
        batcher = Batcher(lossy, SystemClock(), meters, 0, 1_000_000, spool=spool)  # type: ignore[arg-type]
        for number in range(5):
            request = trace_request(span(10 * life + number + 1))
            batcher.submit_otlp(Body(request, NOW, f"sender {number}"), 1).result(WAIT_S)
        lossy.lost = life < 2
        if life == 2:
            until(lambda: spool.records == 0)  # noqa: B023
        batcher.close()
    store.fold(NOW)
    [row] = store.select("SELECT count() AS n, uniqExact(span_id) AS different FROM span_log")
    assert row == {"n": 15, "different": 15}
    assert store.select("SELECT sum(accepted) AS n FROM sender_beat") == [{"n": 15}]
