"""What is told when: the watch and the reporter without a thread, on a clock that the test moves."""

import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from opentelemetry.trace import set_span_in_context
from stallwatch_otel import StallwatchSpanProcessor, by_name
from stallwatch_otel.records import Record
from stallwatch_otel.reporter import BACKOFF_MAX_S, BATCH_MAX, QUIET_S, Reporter
from stallwatch_otel.sending import NotSentError, RefusedError
from stallwatch_otel.watch import Watch

from tests.instrumentation.helpers import STEP


@dataclass
class Kept:
    """A sender that keeps what it is given, or fails as told."""

    taken: list[list[Record]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    tried: int = 0
    refuses: int = 0

    def send(self, records: Sequence[Record], timeout_s: float) -> int:
        self.tried += 1
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(list(records))
        return self.refuses

    def names(self) -> list[str]:
        """All that was taken: event and step, or workflow."""
        return [
            record.event_name.removeprefix("stallwatch.")
            + " "
            + str(
                record.attributes.get("stallwatch.step", record.attributes["stallwatch.workflow"])
            )
            for records in self.taken
            for record in records
        ]


class Bench:
    """A processor whose thread never begins, and a reporter that the test turns."""

    def __init__(self, **options: Any) -> None:
        beat_all = options.pop("beat_all", False)
        heartbeat_s = options.pop("heartbeat_s", 30.0)
        sampler = options.pop("sampler", None)
        self.now_s = 1000.0
        self.sender = Kept()
        self.processor = StallwatchSpanProcessor("http://127.0.0.1:9", **options)
        self.processor.shutdown()
        self.watch: Watch = self.processor._watch
        self.reporter = Reporter(
            self.watch,
            self.sender,
            heartbeat_s=heartbeat_s,
            beat_all=beat_all,
            timeout_s=1,
            monotonic_s=lambda: self.now_s,
            now_ns=lambda: int(self.now_s * 1e9),
        )
        provider = TracerProvider(shutdown_on_exit=False, sampler=sampler)
        provider.add_span_processor(self.processor)
        self.tracer = provider.get_tracer("shop")

    def begin(self, name: str, below: trace.Span | None = None, **attributes: Any) -> trace.Span:
        context = None if below is None else set_span_in_context(below)
        said = {f"stallwatch.{key}": value for key, value in attributes.items()}
        return self.tracer.start_span(name, context, attributes=said)

    def step(
        self, name: str = "charge", below: trace.Span | None = None, **more: Any
    ) -> trace.Span:
        return self.begin(name, below, workflow="order", execution_id="o-1", step=name, **more)

    def turn(self, times: int = 1, after_s: float = 1.0) -> list[str]:
        """What was told in these turns."""
        before = len(self.sender.names())
        for _ in range(times):
            self.now_s += after_s
            self.reporter.turn()
        return self.sender.names()[before:]


@pytest.fixture
def outer() -> trace.Span:
    """A parent in another process, so that no span is a root."""
    context = trace.SpanContext(1, 2, True, trace.TraceFlags(trace.TraceFlags.SAMPLED))
    return trace.NonRecordingSpan(context)


# Starts -------------------------------------------------------------------------------------------


def test_a_start_is_told_once_and_not_before_its_time(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    assert bench.turn() == []
    assert bench.turn() == ["step.started charge"]
    assert bench.turn(5) == []
    span.end()
    assert bench.turn(5) == []
    assert not bench.watch.young
    assert not bench.watch._open


def test_a_span_that_ends_soon_is_not_told(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    assert bench.turn() == []
    span.end()
    assert bench.turn(3) == []
    assert bench.sender.tried == 0


def test_a_flush_does_not_wait_for_its_time(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    assert bench.reporter.turn(at_once=True)
    assert bench.sender.names() == ["step.started charge"]
    span.end()


def test_the_start_carries_time_ids_and_resource_of_the_span(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer, timeout_s=30, queue="payments")
    bench.turn(2)
    ((record,),) = bench.sender.taken
    context = span.get_span_context()
    assert isinstance(span, Span)
    assert (record.trace_id, record.span_id, record.time_ns) == (
        context.trace_id,
        context.span_id,
        span.start_time,
    )
    assert record.resource is span.resource
    assert dict(record.attributes) == {
        **STEP,
        "stallwatch.engine": "opentelemetry",
        "stallwatch.queue": "payments",
        "stallwatch.timeout_s": 30.0,
        "stallwatch.step_run_id": f"{context.span_id:016x}",
        "stallwatch.event_id": f"stallwatch:{context.trace_id:032x}{context.span_id:016x}:started",
    }
    span.end()


def test_what_is_said_after_the_start_counts(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.begin("charge", outer)
    assert bench.turn(4) == []
    span.set_attributes(STEP)
    assert bench.turn() == ["step.started charge"]
    span.end()


def test_all_below_a_named_root_is_told(outer: trace.Span) -> None:
    bench = Bench()
    root = bench.begin("checkout", workflow="order")
    pay = bench.begin("pay", root)
    post = bench.begin("POST /charge", pay)
    foreign = bench.begin("elsewhere", outer)
    assert bench.turn(2) == [
        "workflow.started order",
        "step.started pay",
        "step.started POST /charge",
    ]
    for span in (foreign, post, pay, root):
        span.end()


def test_plain_spans_are_not_told(outer: trace.Span) -> None:
    bench = Bench()
    spans = [bench.begin("GET /", outer), bench.begin("root"), bench.begin("half", outer, step="x")]
    assert bench.turn(3) == []
    for span in spans:
        span.end()


def test_a_choice_by_name_narrows() -> None:
    bench = Bench(choose=by_name("pay", "check*"))
    root = bench.begin("checkout", workflow="order")
    spans = [bench.begin("pay", root), bench.begin("reserve", root)]
    assert bench.turn(3) == ["workflow.started order", "step.started pay"]
    for span in (*spans, root):
        span.end()


def test_a_choice_that_raises_leaves_out_and_says_so(
    outer: trace.Span, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(choose=lambda span: span.name[99] == "x")
    span = bench.step(below=outer)
    assert bench.turn(3) == []
    assert bench.reporter.counts().choice_failures == 1
    assert "`choose` raised" in caplog.text
    span.end()


class RecordOnly(Sampler):
    """Spans that processors see, and no exporter."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY, STEP)

    def get_description(self) -> str:
        return "record only"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, RecordOnly()])
def test_what_is_not_sampled_is_not_told(sampler: Sampler) -> None:
    bench = Bench(sampler=sampler)
    span = bench.step()
    assert bench.turn(3) == []
    span.end()


def test_a_span_that_is_thrown_away_is_let_go(outer: trace.Span) -> None:
    bench = Bench(beat_all=True)
    thrown = [bench.step(below=outer)]
    bench.turn(2)
    thrown.clear()
    gc.collect()
    bench.now_s += 100
    assert bench.turn(2) == []
    assert not bench.watch._open


# Heartbeats ---------------------------------------------------------------------------------------


def test_only_progress_beats(outer: trace.Span) -> None:
    bench = Bench()
    moving, hanging = bench.step("moving", outer), bench.step("hanging", outer)
    within = bench.begin("within", moving)
    assert bench.turn(2) == ["step.started moving", "step.started hanging"]
    bench.begin("query", within).end()
    assert bench.turn(after_s=31) == ["step.heartbeat moving"]
    assert bench.turn(after_s=31) == []
    hanging.add_event("page 2 of 7")
    assert bench.turn(after_s=31) == ["step.heartbeat hanging"]
    assert bench.turn(after_s=31) == []
    for span in (within, moving, hanging):
        span.end()


def test_whatever_is_open_beats_if_told_to(outer: trace.Span) -> None:
    bench = Bench(beat_all=True)
    spans = [bench.step(f"step-{number}", outer) for number in range(3)]
    assert len(bench.turn(2)) == 3
    assert bench.turn(after_s=31) == [f"step.heartbeat step-{number}" for number in range(3)]
    assert len(bench.sender.taken) == 2
    assert bench.turn(3) == []
    beats = [bench.turn(after_s=31) for _ in range(2)]
    assert [len(names) for names in beats] == [3, 3]
    ids = {r.attributes["stallwatch.event_id"] for records in bench.sender.taken for r in records}
    assert len(ids) == 3 * 4
    for span in spans:
        span.end()
    assert bench.turn(after_s=31) == []


def test_waits_and_executions_do_not_beat(outer: trace.Span) -> None:
    bench = Bench(beat_all=True)
    root = bench.begin("checkout", workflow="order")
    wait = bench.step("approval", outer, waiting_on="human")
    assert bench.turn(2) == ["workflow.started order", "step.waiting approval"]
    assert bench.turn(after_s=31) == []
    wait.end()
    root.end()


def test_no_heartbeats_if_none_are_wanted(outer: trace.Span) -> None:
    bench = Bench(beat_all=True, heartbeat_s=None)
    span = bench.step(below=outer)
    assert len(bench.turn(2)) == 1
    assert bench.turn(after_s=1000) == []
    span.end()


# Trouble ------------------------------------------------------------------------------------------


def test_it_is_tried_again_ever_more_seldom(
    outer: trace.Span, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    bench.sender.failures = [NotSentError("away") for _ in range(1000)]
    bench.turn(4 * 3600)
    # Doubling to the longest pause, jittered down to its half at most.
    assert 4 * 3600 / BACKOFF_MAX_S < bench.sender.tried < 4 * 3600 / (BACKOFF_MAX_S / 2) + 10
    assert bench.reporter.counts().failures == bench.sender.tried
    assert 4 * 3600 / (QUIET_S + BACKOFF_MAX_S) <= len(caplog.records) <= 4 * 3600 / QUIET_S
    bench.sender.failures.clear()
    assert bench.turn(61) == ["step.started charge"]
    span.end()


def test_the_receiver_says_when_to_come_back(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    bench.sender.failures = [NotSentError("busy", retry_after_s=20)]
    assert bench.turn(20) == []
    assert bench.turn(3) == ["step.started charge"]
    bench.sender.failures = [NotSentError("busy", retry_after_s=1e9)]
    other = bench.step("other", outer)
    assert bench.turn(2) == []
    assert bench.turn(int(BACKOFF_MAX_S) + 1) == ["step.started other"]
    span.end()
    other.end()


def test_what_ended_while_the_receiver_was_away_needs_no_telling(outer: trace.Span) -> None:
    bench = Bench()
    span, other = bench.step(below=outer), bench.step("other", outer)
    bench.sender.failures = [NotSentError("away")]
    bench.turn(2)
    span.end()
    assert bench.turn(3) == ["step.started other"]
    other.end()


def test_what_is_refused_is_not_sent_again(
    outer: trace.Span, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    bench.sender.failures = [RefusedError("answered 401")]
    assert bench.turn(10) == []
    assert (bench.sender.tried, bench.reporter.counts().refused) == (1, 1)
    assert "answered 401" in caplog.text
    span.end()


def test_partial_success_is_counted(outer: trace.Span) -> None:
    bench = Bench()
    span = bench.step(below=outer)
    bench.sender.refuses = 1
    bench.turn(2)
    assert bench.reporter.counts().refused == 1
    span.end()


def test_many_go_in_several_requests_and_the_rest_waits_for_the_next_turn(
    outer: trace.Span,
) -> None:
    bench = Bench(beat_all=True)
    spans = [bench.step(f"step-{n}", outer) for n in range(BATCH_MAX + 10)]
    bench.turn(2)
    assert [len(records) for records in bench.sender.taken] == [BATCH_MAX, 10]
    bench.sender.failures = [NotSentError("away")]
    assert bench.turn(after_s=31) == []
    assert bench.sender.tried == 3
    assert len(bench.turn(after_s=31)) == BATCH_MAX + 10
    for span in spans:
        span.end()


def test_a_full_table_keeps_the_oldest_and_counts_the_rest(
    outer: trace.Span, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(max_open=3)
    old = [bench.step(f"old-{n}", outer) for n in range(3)]
    assert len(bench.turn(2)) == 3
    new = [bench.step(f"new-{n}", outer) for n in range(5)]
    assert bench.turn(3) == []
    assert len(bench.watch.young) + len(bench.watch._open) <= 6
    assert bench.reporter.counts().overflowed == 5
    assert "were not watched" in caplog.text
    for span in old:
        span.end()
    late = bench.step("late", outer)
    assert bench.turn(2) == ["step.started late"]
    for span in (*new, late):
        span.end()


def test_a_broken_processor_does_not_reach_its_user(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    caplog.set_level(logging.WARNING)
    bench.processor._watch = None  # type: ignore[assignment]
    bench.step().end()
    assert len(caplog.records) == 1
