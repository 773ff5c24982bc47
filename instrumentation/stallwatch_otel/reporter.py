"""What to tell when: the reporter's thread calls `turn` again and again, and nothing else."""

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stallwatch_otel.records import Record, heartbeat_record, start_record
from stallwatch_otel.sending import NotSentError, RefusedError, Sender
from stallwatch_otel.watch import Watch, Watched

BATCH_MAX: Final = 512
"""Spans in a request."""
PIECES_MAX: Final = 40
"""Requests for what was to be one. Halving finds one bad record among 512 in 19; a receiver that takes none at all is
not asked once for each."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
QUIET_S: Final = 300.0
"""How long nothing is logged after something was."""
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What was told and what was not, since the process began."""

    starts: int = 0
    heartbeats: int = 0
    refused: int = 0
    """Records that the receiver will not keep."""
    failures: int = 0
    """Requests that were not answered, or answered with 'later'."""
    overflowed: int = 0
    """Spans that were not watched, because too many were open."""
    choice_failures: int = 0
    """Spans about which the function `choose` raised."""


class Reporter:
    """Tells starts, and every `heartbeat_s` the heartbeats of all, in as few requests as can be."""

    def __init__(
        self,
        watch: Watch,
        sender: Sender,
        *,
        heartbeat_s: float | None,
        beat_all: bool,
        timeout_s: float,
        monotonic_s: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self._watch = watch
        self._sender = sender
        self._heartbeat_s = heartbeat_s
        self._beat_all = beat_all
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._now_ns = now_ns
        self._beat_at_s = monotonic_s() + (heartbeat_s or 0.0)
        self._not_before_s = monotonic_s()
        self._backoff_s = BACKOFF_FIRST_S
        self._quiet_until_s = monotonic_s()
        self._counts = Counts()
        self._overflowed = 0

    def turn(self, at_once: bool = False) -> bool:
        """Look, and tell what is to be told; `at_once` does not wait for spans to grow older.

        False if something is left to be told: the collector is away, and asked again only after a pause.
        """
        self._look(at_once)
        now_s = self._monotonic_s()
        if now_s < self._not_before_s:
            return not self._watch.untold()
        starts = self._watch.untold()
        is_time = self._heartbeat_s is not None and now_s >= self._beat_at_s
        beats = self._watch.beating(self._beat_all) if is_time else []
        if is_time:
            self._beat_at_s = now_s + (self._heartbeat_s or 0.0)
        return self._tell(starts, self._start_records) and self._tell(
            beats, self._heartbeat_records
        )

    def counts(self) -> Counts:
        """A copy."""
        return replace(
            self._counts,
            overflowed=self._watch.overflowed,
            choice_failures=self._watch.choice_failures,
        )

    def complain(self, why: str, error: BaseException | None = None) -> None:
        """Log, unless something was logged a short while ago."""
        if self._monotonic_s() < self._quiet_until_s:
            return
        self._quiet_until_s = self._monotonic_s() + QUIET_S
        _logger.warning(
            "open spans are not reported to Stallwatch: %s (said again after %d s at the earliest)",
            why,
            QUIET_S,
            exc_info=error,
        )

    def _look(self, at_once: bool) -> None:
        before = self.counts()
        self._watch.look(at_once)
        after = self.counts()
        if after.choice_failures > before.choice_failures:
            self.complain("the function `choose` raised: such spans are left out")
        if after.overflowed > self._overflowed:
            self.complain(f"too many spans are open: {after.overflowed} were not watched")
        self._overflowed = after.overflowed

    def _tell(self, spans: list[Watched], make: Callable[[Watched], Sequence[Record]]) -> bool:
        for begin in range(0, len(spans), BATCH_MAX):
            batch = spans[begin : begin + BATCH_MAX]
            records = [record for one in batch for record in make(one)]
            if records and not self._send(records):
                return False
            for one in batch:
                # What moved before a start was told needs no heartbeat: the start is sign enough.
                one.is_told, one.moved = True, False
        return True

    def _send(self, records: list[Record]) -> bool:
        """Whether the records are off our hands: taken, or refused for good.

        What is refused for a few of many is sent again in halves, so that a bad record does not take the others along.
        """
        pieces = deque([records])
        for _ in range(PIECES_MAX):
            if not pieces:
                return True
            piece = pieces.popleft()
            try:
                if not self._send_piece(piece):
                    return False
            except RefusedError as error:
                if error.may_be_few and len(piece) > 1:
                    middle = len(piece) // 2
                    pieces += (piece[:middle], piece[middle:])
                else:
                    self._counts.refused += len(piece)
                self.complain(str(error))
        self._counts.refused += sum(len(piece) for piece in pieces)
        return True

    def _send_piece(self, records: list[Record]) -> bool:
        """Whether the records were taken. Raises RefusedError."""
        try:
            refused = self._sender.send(records, self._timeout_s)
        except NotSentError as error:
            self._counts.failures += 1
            pause_s = max(self._backoff_s * random.uniform(0.5, 1.0), error.retry_after_s or 0.0)
            self._not_before_s = self._monotonic_s() + min(pause_s, BACKOFF_MAX_S)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
            self.complain(str(error))
            return False
        self._backoff_s = BACKOFF_FIRST_S
        if refused:
            self._counts.refused += refused
            self.complain(f"{refused} of {len(records)} records were not taken")
        for record in records:
            if record.event_name.endswith(".heartbeat"):
                self._counts.heartbeats += 1
            else:
                self._counts.starts += 1
        return True

    def _start_records(self, watched: Watched) -> list[Record]:
        span = watched.still_open()
        if span is None or watched.report is None:
            return []
        start_ns = span.start_time or self._now_ns()
        ids = (watched.trace_id, watched.span_id)
        return [start_record(watched.report, *ids, start_ns, span.resource)]

    def _heartbeat_records(self, watched: Watched) -> list[Record]:
        span = watched.still_open()
        if span is None or watched.report is None or not watched.report.beats:
            return []
        ids = (watched.trace_id, watched.span_id)
        return [heartbeat_record(watched.report, *ids, self._now_ns(), span.resource)]
