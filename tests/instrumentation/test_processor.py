"""The processor with its thread over real HTTP: what arrives, and no harm if nothing does."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_span_in_context
from stallwatch_otel import Heartbeat, StallwatchSpanProcessor
from stallwatch_otel.reporter import BATCH_MAX, PIECES_MAX

from stallwatch.clock import SystemClock
from tests.instrumentation.helpers import FAST, STEP, WAIT_S, receiving, step, tracing, until

CLOCK = SystemClock()
ALIVE = {**FAST, "heartbeat": Heartbeat.ALIVE}


def test_start_and_heartbeats_while_it_is_open() -> None:
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url, {"Authorization": "Bearer t"}, **ALIVE)
        with tracing(processor) as tracer:
            span = step(tracer)
            receiver.wait_for(lambda r: r.names().count("step.heartbeat") >= 2)
            span.end()
            assert processor.force_flush()
            told = len(receiver.taken)
            assert processor.force_flush()
            assert len(receiver.taken) == told
    context = span.get_span_context()
    first = receiver.taken[0]
    assert {said.record["spanId"] for said in receiver.taken} == {f"{context.span_id:016x}"}
    assert {said.record["traceId"] for said in receiver.taken} == {f"{context.trace_id:032x}"}
    assert first.fields["step_run_id"] == f"{context.span_id:016x}"
    assert first.resource["service.name"] == "shop"
    path, headers, _ = receiver.requests[0]
    assert path == "/v1/logs"
    assert headers["authorization"] == "Bearer t"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("stallwatch-otel/")


def test_all_heartbeats_of_a_time_are_one_request_and_large_ones_are_compressed() -> None:
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url, **ALIVE)
        with tracing(processor) as tracer:
            spans = [step(tracer, f"step {number}") for number in range(100)]
            receiver.wait_for(lambda r: r.names().count("step.heartbeat") >= 300)
            for span in spans:
                span.end()
    assert all(len(r["resourceLogs"]) == 1 for _, _, r in receiver.requests)
    assert len(receiver.requests) < len(receiver.taken) / 50
    assert receiver.requests[-1][1]["content-encoding"] == "gzip"
    assert BATCH_MAX > 100


def test_the_collector_comes_back() -> None:
    with receiving() as receiver:
        receiver.answers = [(503, {"Retry-After": "0"}, b""), (429, {}, b""), (500, {}, b"")]
        processor = StallwatchSpanProcessor(receiver.url, heartbeat_s=None, report_after_s=0.02)
        with tracing(processor) as tracer:
            span = step(tracer)
            receiver.wait_for(lambda r: "step.started" in r.names())
            span.end()
    assert processor.counts().failures == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 301])
def test_a_refusal_is_final_and_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as receiver, receiving() as elsewhere:
        headers = {"Location": f"{elsewhere.url}/v1/logs"} if status == 301 else {}
        receiver.answers = [(status, headers, b"no")]
        processor = StallwatchSpanProcessor(receiver.url, {"authorization": "Bearer t"}, **FAST)
        with tracing(processor) as tracer:
            span = step(tracer)
            until(lambda: processor.counts().refused > 0)
            assert processor.force_flush()
            span.end()
    assert len(receiver.requests) == 1
    assert not elsewhere.requests


def test_a_bad_record_does_not_take_the_others_along() -> None:
    with receiving() as receiver:
        receiver.poison = "spoilt"
        processor = StallwatchSpanProcessor(receiver.url)
        with tracing(processor) as tracer:
            queues = ["spoilt" if number == 70 else "good" for number in range(100)]
            spans = [
                tracer.start_span("charge", attributes={**STEP, "stallwatch.queue": queue})
                for queue in queues
            ]
            assert processor.force_flush()
            counts = processor.counts()
            asked = len(receiver.requests)
            assert processor.force_flush()
            for span in spans:
                span.end()
    assert (counts.starts, counts.refused, counts.failures) == (99, 1, 0)
    assert len({said.fields["event_id"] for said in receiver.taken}) == 99
    # Of seven halvings each half was asked for once, and nothing later.
    assert asked <= 15
    assert len(receiver.requests) == asked


def test_who_takes_nothing_is_not_asked_for_each() -> None:
    with receiving() as receiver:
        receiver.poison = "stallwatch"
        processor = StallwatchSpanProcessor(receiver.url)
        with tracing(processor) as tracer:
            spans = [step(tracer) for _ in range(200)]
            assert processor.force_flush()
            for span in spans:
                span.end()
    assert processor.counts().refused == 200
    assert len(receiver.requests) == PIECES_MAX


def test_texts_that_no_encoding_knows_are_told_all_the_same() -> None:
    """What `os.fsdecode` makes of bytes: the collector would refuse the whole request."""
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url)
        provider = TracerProvider(
            resource=Resource({"service.name": "sh\udcf6p", "\udc80": 1}), shutdown_on_exit=False
        )
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("shop")
        odd = {"stallwatch.queue": "a\udc80b", "stallwatch.worker": ["\ud800"]}
        spans = [
            tracer.start_span("charge", attributes={**STEP, **odd}),
            tracer.start_span("root", attributes={"stallwatch.workflow": "order"}),
        ]
        below = set_span_in_context(spans[-1])
        spans.append(tracer.start_span("caf\udce9", below))
        assert processor.force_flush()
        for span in spans:
            span.end()
        provider.shutdown()
    marked, _, named = receiver.taken
    assert (marked.fields["queue"], marked.fields["worker"]) == ("a\ufffdb", '["\ufffd"]')
    assert named.fields["step"] == "caf\ufffd"
    assert marked.resource == {"service.name": "sh\ufffdp", "\ufffd": "1"}


def test_the_documented_numbers_are_those_of_the_code() -> None:
    shown = (Path(__file__).parents[2] / "docs" / "instrumentation.md").read_text()
    assert f"up to {BATCH_MAX} in a request" in shown
    assert f"in at most {PIECES_MAX} requests" in shown


def test_partial_success_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    with receiving() as receiver:
        answer = b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}'
        receiver.answers = [(200, {}, answer), (200, {}, b"not json")]
        processor = StallwatchSpanProcessor(receiver.url, **FAST)
        with tracing(processor) as tracer:
            spans = [step(tracer)]
            until(lambda: processor.counts().refused == 1)
            spans.append(step(tracer, "other"))
            receiver.wait_for(lambda r: len(r.requests) == 2)
            for span in spans:
                span.end()
    assert "1 of 1 records were not taken" in caplog.text


def test_a_connection_that_says_nothing_holds_nobody_up() -> None:
    """Neither the user's spans nor the end of the process wait for it."""
    with receiving() as receiver:
        receiver.gate.clear()
        processor = StallwatchSpanProcessor(receiver.url, **ALIVE)
        with tracing(processor) as tracer:
            span = step(tracer)
            receiver.wait_for(lambda r: len(r.requests) == 1)
            for _ in range(1000):
                step(tracer).end()
            assert not processor.force_flush(50)
            begun_s = CLOCK.monotonic_s()
            processor.shutdown(timeout_millis=100)
            # Its own request may take 10 s.
            assert CLOCK.monotonic_s() - begun_s < 5
            span.end()


def test_shutdown_without_a_network_comes_back() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        processor = StallwatchSpanProcessor(f"http://127.0.0.1:{free.getsockname()[1]}", **FAST)
        with tracing(processor) as tracer:
            span = step(tracer)
            until(lambda: processor.counts().failures > 0)
            assert not processor.force_flush(30_000)
            processor.shutdown()
            assert processor._thread is not None
            assert not processor._thread.is_alive()
            span.end()


def test_shutdown_tells_what_is_open() -> None:
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url)
        with tracing(processor) as tracer:
            span = step(tracer)
        assert receiver.names() == ["step.started"]
        span.end()
        step(tracer).end()
        processor.shutdown()


def test_a_process_that_is_done_ends_at_once() -> None:
    """A script with an open span and a collector that never answers: no error, no hanging."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        script = f"""
from opentelemetry.sdk.trace import TracerProvider
from stallwatch_otel import StallwatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(
    StallwatchSpanProcessor("http://127.0.0.1:{silent.getsockname()[1]}", report_after_s=0.01)
)
span = provider.get_tracer("x").start_span("charge", attributes={STEP})
silent = provider.force_flush(200)
print(silent)
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_nothing_runs_before_the_first_span() -> None:
    with receiving() as receiver:
        before = threading.active_count()
        processor = StallwatchSpanProcessor(receiver.url)
        assert processor.force_flush()
        assert threading.active_count() == before
        processor.shutdown()
        assert not receiver.requests


def test_threads_at_once() -> None:
    """Many threads begin and end spans while the reporter looks: none is lost, none stays."""
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url, heartbeat_s=0.02, report_after_s=0.01)
        with tracing(processor) as tracer:

            def work() -> None:
                for _ in range(2000):
                    step(tracer).end()

            last = [step(tracer, f"last {number}") for number in range(8)]
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert processor.force_flush()
            open_now = [one.still_open() for one in processor._watch._open.values()]
            assert {s.name for s in open_now if s is not None} == {s.name for s in last}  # type: ignore[attr-defined]
            for span in last:
                span.end()
            assert processor.force_flush()
            assert not processor._watch._open
            assert not processor._watch.young
    counts = processor.counts()
    assert (counts.failures, counts.overflowed, counts.refused) == (0, 0, 0)
    told = {said.fields["event_id"] for said in receiver.taken if "heartbeat" not in said.name}
    assert counts.starts == len(told)


def test_its_own_requests_are_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instrumented HTTP clients look at these keys of the context."""
    seen: list[tuple[object, object]] = []
    with receiving() as receiver:
        processor = StallwatchSpanProcessor(receiver.url, **FAST)
        send = processor._sender.send

        def seeing(*args: object) -> int:
            seen.append(
                (
                    otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY),
                    otel_context.get_value(otel_context._SUPPRESS_HTTP_INSTRUMENTATION_KEY),
                )
            )
            return send(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(processor._sender, "send", seeing)
        with tracing(processor) as tracer:
            span = step(tracer)
            receiver.wait_for(lambda r: bool(r.taken))
            span.end()
    assert set(seen) == {(True, True)}
    assert otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY) is None


class Kept(LogRecordExporter):
    """An exporter of the user."""

    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self.records.extend(batch)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def test_through_a_logger_provider_of_the_user() -> None:
    kept, provider = Kept(), LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    processor = StallwatchSpanProcessor(logger_provider=provider, **FAST)
    with tracing(processor) as tracer:
        span = step(tracer, **{"stallwatch.queue": "a\udc80b"})
        until(lambda: len(kept.records) == 1)
        span.end()
    context, record = span.get_span_context(), kept.records[0].log_record
    assert record.event_name == "stallwatch.step.started"
    assert (record.trace_id, record.span_id) == (context.trace_id, context.span_id)
    assert record.attributes is not None
    assert record.attributes["stallwatch.step_run_id"] == f"{context.span_id:016x}"
    assert record.attributes["stallwatch.queue"] == "a\ufffdb"
    with pytest.raises(ValueError, match="knows where it sends"):
        StallwatchSpanProcessor("http://host", logger_provider=provider)


def test_errors_are_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with receiving() as receiver:
        receiver.answers = [(401, {}, b"")] * 1000
        processor = StallwatchSpanProcessor(
            receiver.url, {"authorization": "Bearer s3cret"}, **ALIVE
        )
        with tracing(processor) as tracer:
            span = step(tracer)
            receiver.wait_for(lambda r: len(r.requests) > 3)
            span.end()
    assert len(caplog.records) == 1
    assert "answered 401" in caplog.text
    assert "s3cret" not in caplog.text
