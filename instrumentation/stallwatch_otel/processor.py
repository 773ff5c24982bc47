"""The span processor: what runs in the user's threads, and the life of the thread that does the rest."""

import enum
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry._logs import LoggerProvider
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from stallwatch_otel.choosing import Choose
from stallwatch_otel.destination import destination
from stallwatch_otel.reporter import Counts, Reporter
from stallwatch_otel.sending import HttpSender, LoggerSender, Sender
from stallwatch_otel.watch import Watch

MAX_OPEN: Final = 10_000
SHUTDOWN_MS: Final = 2_000


class Heartbeat(enum.Enum):
    """What a heartbeat says."""

    PROGRESS = "progress"
    """Something below the span ended, or an event was added to it, since the last heartbeat."""
    ALIVE = "alive"
    """The process lives and the span is open. It may hang all the same: read docs/instrumentation.md first."""


class StallwatchSpanProcessor(SpanProcessor):
    """Reports open spans that are steps or executions to Stallwatch, as OTLP log records.

    Reported are spans with `stallwatch.workflow`, `.execution_id` and `.step`, roots with `stallwatch.workflow`, and
    what is below such a root in this process; of these only what `choose` accepts. `every_trace` takes every trace
    that begins here for an execution: for services that the collector's `generic_services` names.

    A span is reported once it has been open for `report_after_s` to twice that; one that ends before is not. All
    sending is done by a daemon thread, which begins with the first span. Nothing here blocks or raises afterwards.

    Raises ValueError for an argument that makes no sense.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        choose: Choose | None = None,
        every_trace: bool = False,
        heartbeat_s: float | None = 30.0,
        heartbeat: Heartbeat = Heartbeat.PROGRESS,
        report_after_s: float = 1.0,
        max_open: int = MAX_OPEN,
        timeout_s: float = 10.0,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        if logger_provider is not None and (endpoint is not None or headers is not None):
            raise ValueError(
                "logger_provider: knows where it sends; endpoint and headers go with the other way"
            )
        _check_duration("heartbeat_s", 1.0 if heartbeat_s is None else heartbeat_s)
        _check_duration("report_after_s", report_after_s)
        _check_duration("timeout_s", timeout_s)
        if max_open < 1:
            raise ValueError(f"max_open: must be at least 1, not {max_open}")
        if choose is not None and not callable(choose):
            raise ValueError(f"choose: must be a function of a span, not {choose!r}")
        if not isinstance(heartbeat, Heartbeat):
            raise ValueError(f"heartbeat: must be one of Heartbeat, not {heartbeat!r}")
        self._max_open = max_open
        self._choose = choose
        self._every_trace = every_trace
        self._heartbeat_s = heartbeat_s
        self._beat_all = heartbeat is Heartbeat.ALIVE
        self._report_after_s = report_after_s
        self._timeout_s = timeout_s
        own_version = version("stallwatch-otel")
        self._sender: Sender
        if logger_provider is not None:
            self._sender = LoggerSender(logger_provider, own_version)
        else:
            environment = os.environ  # noqa: TID251 - the variables of the OpenTelemetry specification
            self._sender = HttpSender(destination(endpoint, headers, environment), own_version)
        self._is_shut_down = False
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self._begin_anew)

            def begin_anew_in_child() -> None:
                begin_anew = again()
                if begin_anew is not None:
                    begin_anew()

            os.register_at_fork(after_in_child=begin_anew_in_child)

    # On the hot path: no lock, no clock, no look at attributes ------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember a span."""
        try:
            watch = self._watch
            if len(watch.young) < self._max_open:
                watch.young[span.context.span_id] = weakref.ref(span)
            else:
                watch.overflowed += 1
            if self._thread is None:
                self._begin_thread()
        except Exception as error:  # noqa: BLE001 - whatever it is, the user's work goes on
            self._reporter.complain("a span's start was not taken", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a span; what is above it has made progress. The reporter's thread sees by itself what ended later."""
        try:
            watch = self._watch
            watch.young.pop(span.context.span_id, None)
            parent = span.parent
            if parent is not None and len(watch.moved) < self._max_open:
                watch.moved.add(parent.span_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user's work goes on
            self._reporter.complain("a span's end was not taken", error)

    # Beside it ------------------------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Report all open spans now, however young; False if the collector did not take them in time."""
        if self._thread is None:
            return True
        if not self._thread.is_alive():
            return False
        flush = _Flush()
        self._flushes.append(flush)
        self._wake.set()
        return flush.done.wait(max(timeout_millis, 0) / 1000) and flush.is_told

    def shutdown(self, timeout_millis: int = SHUTDOWN_MS) -> None:
        """Report what is open, if the collector answers in time, and stop. What waits longer ends with the process."""
        self._is_shut_down = True
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(timeout_millis, 0) / 1000)

    def counts(self) -> Counts:
        """What was reported and what was not, in this process."""
        return self._reporter.counts()

    def _begin_anew(self) -> None:
        """As new, at first and in a forked child.

        Locks and threads do not survive a fork, and the parent's spans are the parent's to report.
        """
        self._watch = Watch(self._max_open, self._choose, self._every_trace)
        self._reporter = Reporter(
            self._watch,
            self._sender,
            heartbeat_s=self._heartbeat_s,
            beat_all=self._beat_all,
            timeout_s=self._timeout_s,
            monotonic_s=time.monotonic,
            now_ns=time.time_ns,
        )
        self._beginning = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._flushes: deque[_Flush] = deque()
        self._thread: threading.Thread | None = None

    def _begin_thread(self) -> None:
        with self._beginning:
            if self._thread is not None or self._is_shut_down:
                return
            thread = threading.Thread(target=self._run, name="stallwatch-otel", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                # The interpreter is going down, or no thread is to be had: not tried again, or each span would pay.
                self._reporter.complain("no thread could be started", error)

    def _run(self) -> None:
        reporter, wake, stopping = self._reporter, self._wake, self._stopping
        otel_context.attach(_suppressed())
        while True:
            wake.wait(self._report_after_s)
            wake.clear()
            is_last = stopping.is_set()
            flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
            is_told = False
            try:
                is_told = reporter.turn(at_once=is_last or bool(flushes))
            except Exception as error:  # noqa: BLE001 - the next turn may do better; this thread must live
                reporter.complain("an error of stallwatch-otel itself", error)
            for flush in flushes:
                flush.is_told = is_told
                flush.done.set()
            if is_last:
                return


class _Flush:
    """Somebody waits for the next turn."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.is_told = False


def _check_duration(name: str, duration_s: float) -> None:
    if not 0.01 <= duration_s <= threading.TIMEOUT_MAX:
        raise ValueError(f"{name}: must be at least 0.01 seconds, not {duration_s}")


def _suppressed() -> Context:
    """A context in which instrumented HTTP clients make no spans of our requests: they would be reported in turn."""
    context = otel_context.get_current()
    for key in (
        otel_context._SUPPRESS_INSTRUMENTATION_KEY,
        otel_context._SUPPRESS_HTTP_INSTRUMENTATION_KEY,
    ):
        context = otel_context.set_value(key, True, context)
    return context
