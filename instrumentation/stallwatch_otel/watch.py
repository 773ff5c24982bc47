"""The spans that are open: what the processor puts in on the hot path, and what the reporter makes of it.

There is no queue. What is to be told is a property of the open spans themselves, so memory is bounded by the number of
open spans that are watched, and what ended while the collector was away needs no telling: its span says all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import ref

from opentelemetry.sdk.trace import ReadableSpan

from stallwatch_otel.choosing import Choose
from stallwatch_otel.naming import Report, is_root, report_of


@dataclass(slots=True)
class Watched:
    """A span that was open when it was looked at; the reference dies with a span that is thrown away unended."""

    span: ref[ReadableSpan]
    trace_id: int
    span_id: int
    parent_id: int | None
    report: Report | None = None
    is_told: bool = False
    is_left_out: bool = False
    """The user's choice fell on it: not to be told."""
    moved: bool = False
    """Whether there was progress since the last heartbeat."""
    events: int = 0

    def still_open(self) -> ReadableSpan | None:
        """The span, unless it ended or is gone."""
        span = self.span()
        return None if span is None or span.end_time is not None else span


class Watch:
    """Open spans, at most `max_open` that are young and as many that are older.

    `young` and `moved` are written by the user's threads with single dictionary and set operations, which need no lock;
    everything else belongs to the reporter's thread. A full table takes no more spans: those it has are older, and the
    older an open span is, the likelier it hangs.
    """

    def __init__(self, max_open: int, choose: Choose | None, every_trace: bool) -> None:
        self.young: dict[int, ref[ReadableSpan]] = {}
        self.moved: set[int] = set()
        """Ids of spans below which something ended."""
        self.overflowed = 0
        self.choice_failures = 0
        self._max_open = max_open
        self._choose = choose
        self._every_trace = every_trace
        self._seen: set[int] = set()
        self._open: dict[int, Watched] = {}

    def look(self, at_once: bool = False) -> None:
        """What a look does:

        1. take over the spans that were young at the last look already (`at_once`: all), so that a span that ends soon
           costs nothing more than its two dictionary operations, and has its attributes by the time it is judged;
        2. forget those that ended;
        3. pass on progress, from what ended to all that is open above it;
        4. find out what those without a name are by now: attributes may come late.
        """
        moved, self.moved = self.moved, set()
        self._take_over(at_once)
        for watched in [one for one in self._open.values() if one.still_open() is None]:
            del self._open[watched.span_id]
        self._pass_on(moved)
        self._name()

    def untold(self) -> list[Watched]:
        """Steps and executions whose start is still to be told."""
        return [one for one in self._open.values() if one.report and not one.is_told]

    def beating(self, all_open: bool) -> list[Watched]:
        """Steps that were told and have a heartbeat to give: those with progress, or all that are open."""
        return [
            one
            for one in self._open.values()
            if one.is_told and (all_open or one.moved) and one.report and one.report.beats
        ]

    def _take_over(self, at_once: bool) -> None:
        # A list of the keys is made in one step, while user threads go on writing.
        for span_id in list(self.young):
            if not at_once and span_id not in self._seen:
                continue
            found = self.young.pop(span_id, None)
            span = found() if found is not None else None
            if found is None or span is None or not span.context.trace_flags.sampled:
                continue
            if len(self._open) >= self._max_open:
                self.overflowed += 1
                continue
            parent_id = span.parent.span_id if span.parent is not None else None
            self._open[span_id] = Watched(found, span.context.trace_id, span_id, parent_id)
        self._seen = set(list(self.young))

    def _pass_on(self, moved: set[int]) -> None:
        for watched in list(self._open.values()):
            span = watched.still_open()
            events = 0 if span is None else len(span.events) + span.dropped_events
            if watched.span_id in moved or events != watched.events:
                watched.events = events
                self._move(watched)

    def _move(self, watched: Watched) -> None:
        above: Watched | None = watched
        # Parents are never below their children, but a table can only be trusted to have so many rows.
        for _ in range(len(self._open)):
            if above is None:
                return
            above.moved = True
            above = self._open.get(above.parent_id) if above.parent_id is not None else None

    def _name(self) -> None:
        unnamed = [one for one in self._open.values() if not one.report and not one.is_left_out]
        if not unnamed:
            return
        roots = self._roots()
        for watched in unnamed:
            span = watched.still_open()
            if span is None:
                continue
            report = report_of(span, roots.get(watched.trace_id))
            if report and not self._is_chosen(span):
                watched.is_left_out = True
            else:
                watched.report = report

    def _roots(self) -> dict[int, ReadableSpan]:
        """The open executions by their trace."""
        spans: Iterable[ReadableSpan | None] = (
            one.still_open() for one in self._open.values() if one.parent_id is None
        )
        return {
            span.context.trace_id: span
            for span in spans
            if span is not None and is_root(span, self._every_trace)
        }

    def _is_chosen(self, span: ReadableSpan) -> bool:
        if self._choose is None:
            return True
        try:
            return bool(self._choose(span))
        except Exception:  # noqa: BLE001 - the user's function must not end the reporting of other spans
            self.choice_failures += 1
            return False
