"""Group commit: who waits for what, what is tried again, and who is blamed."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import timedelta

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from prometheus_client import CollectorRegistry

from collector.batcher import RETRY_DELAYS_S, Batcher
from collector.meters import Meters
from collector.otlp import TRACES
from collector.refusals import Busy
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.errors import Permanent, StoreUnavailable, Transient
from stallwatch.model.events import event_from_dict
from stallwatch.store import Body, EventRow, Store
from tests.collector.helpers import NOW, FakeStore, span, step_event, trace_request

WAIT_S = 30


class Bench:
    """A batcher over a fake store, with its registry."""

    def __init__(self, max_pending_bytes: int = 1_000_000) -> None:
        self.store = FakeStore()
        self.registry = CollectorRegistry()
        self.commits: list[int] = []
        self.clock = ManualClock(NOW)
        self.batcher = Batcher(
            self.store,
            self.clock,
            Meters(self.registry),
            batch_ms=100,
            max_pending_bytes=max_pending_bytes,
            on_commit=[lambda: self.commits.append(len(self.store.inserts))],
        )

    def submit(self, request: bytes, wait_s: float = 0.0) -> Future[None]:
        return self.batcher.submit_otlp(Body(request, NOW, "sender"), 1, wait_s)

    def hold(self) -> Future[None]:
        """Keep the committer inside an insert, so that what is submitted next becomes one batch."""
        self.store.gate.clear()
        self.store.entered.clear()
        future = self.submit(b"held")
        assert self.store.entered.wait(WAIT_S)
        return future

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_future_resolves_only_after_the_commit(bench: Bench) -> None:
    held = bench.hold()
    assert not held.done()
    bench.store.gate.set()
    held.result(WAIT_S)
    assert bench.store.stored() == [b"held"]
    bench.batcher.close()


def test_what_arrives_during_a_commit_is_one_batch(bench: Bench) -> None:
    bench.hold()
    futures = [bench.submit(b"%d" % n) for n in range(20)]
    bench.store.gate.set()
    for future in futures:
        future.result(WAIT_S)
    assert [len(insert.payloads) for insert in bench.store.inserts] == [1, 20]
    assert len({insert.token for insert in bench.store.inserts}) == 2
    bench.batcher.close()
    assert bench.commits == [1, 2]


def test_spans_and_events_of_several_senders_and_namespaces_share_a_batch(bench: Bench) -> None:
    bench.hold()
    rows = [
        EventRow(event_from_dict(step_event(n, namespace=f"ns{n}"), NOW), NOW, f"sender {n}")
        for n in range(3)
    ]
    events = [bench.batcher.submit_events([row], 100) for row in rows]
    body = bench.submit(b"spans")
    bench.store.gate.set()
    for future in (*events, body):
        future.result(WAIT_S)
    assert [insert.payloads for insert in bench.store.inserts[1:]] == [
        [b"spans"],
        ["o-0", "o-1", "o-2"],
    ]
    bench.batcher.close()


def test_an_unclear_failure_is_tried_again_with_the_same_token(bench: Bench) -> None:
    bench.store.away_times = 2
    bench.submit(b"body").result(WAIT_S)
    assert len(bench.store.tried) == 3
    assert len({insert.token for insert in bench.store.tried}) == 1
    assert bench.store.stored() == [b"body"]
    bench.batcher.close()
    assert bench.sample("collector_retries_total") == 2


def test_after_the_last_retry_every_future_of_the_batch_fails_transient(bench: Bench) -> None:
    held = bench.hold()
    futures = [bench.submit(b"%d" % n) for n in range(3)]
    bench.store.away_times = 2 * (len(RETRY_DELAYS_S) + 1)
    bench.store.gate.set()
    for future in (held, *futures):
        error = future.exception(WAIT_S)
        assert isinstance(error, Transient)
        assert error.retry_after_s
    bench.submit(b"later").result(WAIT_S)
    assert bench.store.stored() == [b"later"]
    bench.batcher.close()
    assert bench.batcher.budget.used_bytes == 0


@pytest.mark.parametrize("bad", [{0}, {7}, {3, 4}, {0, 9}, set(range(10))])
def test_a_refused_batch_is_halved_until_the_bad_ones_are_alone(
    bench: Bench, bad: set[int]
) -> None:
    bench.hold()
    futures = [bench.submit(b"%d" % n) for n in range(10)]
    bench.store.bad = {b"%d" % n for n in bad}
    bench.store.gate.set()
    for number, future in enumerate(futures):
        error = future.exception(WAIT_S)
        assert isinstance(error, Permanent) if number in bad else error is None
    assert len(bench.store.stored()) == 11 - len(bad)
    assert set(bench.store.stored()[1:]) == {b"%d" % n for n in range(10) if n not in bad}
    tokens = [insert.token for insert in bench.store.tried]
    assert len(set(tokens)) == len(tokens), (
        "each half is another batch and needs a token of its own"
    )
    bench.batcher.close()
    assert bench.sample("collector_rejected_total", item="span") == len(bad)
    assert bench.sample("collector_accepted_total", item="span") == 11 - len(bad)
    assert bench.store.rejections == [("sender", len(bad))]


def test_a_body_that_only_the_engine_refuses_harms_nobody(store: Store) -> None:
    """Two values of a oneof are well-formed protobuf (the last one counts), but the engine does not take them."""
    twice = (
        AnyValue(string_value="a").SerializeToString() + AnyValue(int_value=1).SerializeToString()
    )
    assert len(twice) == len(AnyValue(string_value="abc").SerializeToString())
    attribute = KeyValue(key="k", value=AnyValue(string_value="abc"))
    one = span(1)
    one.attributes.append(attribute)
    bad = trace_request(one).replace(attribute.value.SerializeToString(), twice)
    assert TRACES.check_protobuf(bad).count == 1
    batcher = Batcher(store, SystemClock(), Meters(CollectorRegistry()), 200, 1_000_000)
    requests = [trace_request(span(2)), bad, trace_request(span(3))]
    futures = [batcher.submit_otlp(Body(request, NOW, "s"), 1) for request in requests]
    errors = [future.exception(WAIT_S) for future in futures]
    batcher.close()
    assert [type(error) for error in errors] == [type(None), Permanent, type(None)]
    store.fold(NOW)
    rows = store.select("SELECT name FROM span_log ORDER BY name")
    assert [row["name"] for row in rows] == ["span 2", "span 3"]
    rejected = store.select("SELECT sum(rejected) AS n FROM sender_beat")
    assert rejected == [{"n": 1}]


def test_the_same_batch_sent_twice_lands_once(store: Store) -> None:
    class AnswerLost:
        """Commits the first time and says that the store was away."""

        def __init__(self) -> None:
            self.lost = 0

        def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None:
            store.insert_otlp(bodies, token)
            if self.lost == 0:
                self.lost = 1
                raise StoreUnavailable("the answer got lost")

        insert_event_rows = staticmethod(store.insert_event_rows)
        note_rejected = staticmethod(store.note_rejected)

    lossy = AnswerLost()
    batcher = Batcher(lossy, ManualClock(NOW), Meters(CollectorRegistry()), 0, 1_000_000)
    batcher.submit_otlp(Body(trace_request(span(1)), NOW, "s"), 1).result(WAIT_S)
    batcher.close()
    assert lossy.lost == 1
    store.fold(NOW)
    assert store.select("SELECT count() AS n FROM span_log") == [{"n": 1}]
    assert store.select("SELECT sum(accepted) AS n FROM sender_beat") == [{"n": 1}]


def test_memory_is_bounded_and_busy_says_when_to_come_back() -> None:
    bench = Bench(max_pending_bytes=1000)
    bench.hold()
    bench.submit(b"x" * 900)
    with pytest.raises(Busy) as caught:
        bench.submit(b"y" * 200)
    assert caught.value.retry_after_s
    assert bench.sample("collector_pending_bytes") == 904
    bench.store.gate.set()
    # Waits until the first two are committed.
    bench.submit(b"z" * 900, wait_s=WAIT_S).result(WAIT_S)
    bench.batcher.close()
    assert bench.sample("collector_pending_bytes") == 0


def test_what_is_larger_than_the_limit_is_taken_when_alone() -> None:
    bench = Bench(max_pending_bytes=1000)
    bench.submit(b"x" * 5000).result(WAIT_S)
    bench.batcher.close()


def test_close_commits_what_was_accepted_and_takes_no_more(bench: Bench) -> None:
    bench.hold()
    futures = [bench.submit(b"x" * 100 + b"%d" % n) for n in range(50)]
    bench.store.gate.set()
    bench.batcher.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert len(bench.store.stored()) == 51
    assert not bench.batcher.healthy
    with pytest.raises(Transient):
        bench.submit(b"too late")


def test_without_a_spool_who_waits_too_long_for_the_store_is_sent_back(bench: Bench) -> None:
    held = bench.hold()
    queued = bench.submit(b"queued")
    bench.clock.advance(4.5)
    with pytest.raises(TimeoutError):
        held.result(1)
    bench.clock.advance(1)
    for future in (held, queued):
        with pytest.raises(Transient, match="does not answer"):
            future.result(WAIT_S)
    assert bench.sample("collector_pending_bytes") == 0
    again = bench.submit(b"queued")
    bench.store.gate.set()
    again.result(WAIT_S)
    # The insert that took so long has ended well after all: what is sent again is told apart by its rows.
    assert bench.store.stored() == [b"held", b"queued"]
    assert bench.sample("collector_pending_bytes") == 0


def test_an_empty_request_needs_no_commit(bench: Bench) -> None:
    bench.batcher.submit_otlp(Body(b"", NOW, "sender"), 0).result(WAIT_S)
    bench.batcher.close()
    assert bench.store.tried == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_the_committer_is_heard_by_whoever_waits() -> None:
    store = FakeStore()

    def broken() -> None:
        raise RuntimeError("a defect")

    batcher = Batcher(
        store, ManualClock(NOW), Meters(CollectorRegistry()), 0, 1_000_000, on_commit=[broken]
    )
    store.gate.clear()
    first = batcher.submit_otlp(Body(b"1", NOW, "s"), 1)
    assert store.entered.wait(WAIT_S)
    second = batcher.submit_otlp(Body(b"2", NOW, "s"), 1)
    store.gate.set()
    first.result(WAIT_S)
    assert isinstance(second.exception(WAIT_S), Transient)
    batcher.close()
    assert not batcher.healthy
    with pytest.raises(Transient):
        batcher.submit_otlp(Body(b"3", NOW, "s"), 1)


def test_what_is_being_inserted_is_waiting_too_until_it_is_stored() -> None:
    """Two inserts under way, whichever ends first."""
    store = FakeStore()
    meters = Meters(CollectorRegistry())
    batcher = Batcher(store, ManualClock(NOW), meters, 0, 1_000_000, inflight_inserts=2)
    store.gate.clear()
    older = batcher.submit_otlp(Body(b"older", NOW, "s"), 1)
    assert store.entered.wait(WAIT_S)
    store.entered.clear()
    newer = batcher.submit_otlp(Body(b"newer", NOW + timedelta(seconds=1), "s"), 1)
    assert store.entered.wait(WAIT_S)
    assert batcher.oldest_waiting_at() == NOW
    store.gate.set()
    older.result(WAIT_S)
    newer.result(WAIT_S)
    batcher.close()
    assert batcher.oldest_waiting_at() is None
    assert {len(insert.payloads) for insert in store.inserts} == {1}
