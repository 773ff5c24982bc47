"""Looking at an engine again and again: what it said is stored before the mark moves on."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from collector.engines.desk import Desk, Origin
from collector.engines.reading import Engine, Poller
from collector.limits import Accept
from collector.meters import Meters
from stallwatch.clock import Clock
from stallwatch.errors import Permanent, Transient, UsageError

SENDER: Final = "poll:"
"""What stands before the engine's name as the sender of what was polled."""
BACKOFF_S: Final = (5.0, 300.0)
"""After the first failure, and at most."""
_ROOM_WAIT_S: Final = 30.0
_COMMIT_WAIT_S: Final = 120.0
log = logging.getLogger(__name__)


class Marks(Protocol):
    """Where marks are remembered over restarts."""

    def watermark(self, name: str) -> str | None: ...

    def set_watermark(self, name: str, value: str) -> None: ...


class Looked(NamedTuple):
    """One look at an engine."""

    engine: str
    executions: int
    events: int
    seconds: float


class Polling:
    """One engine that is looked at, by one thread at a time."""

    def __init__(
        self,
        engine: Engine,
        poller: Poller,
        every_s: float,
        desk: Desk,
        marks: Marks,
        clock: Clock,
        meters: Meters,
        accept: Callable[[datetime, bool], Accept],
        note_look: Callable[[str, str, datetime, datetime], None],
    ) -> None:
        """`accept` gives what may be stored of history or not; `note_look`: see `Store.note_look`."""
        self.name = engine.name
        self.every_s = every_s
        self.problem = ""
        """Why the last look failed; empty if it did not."""
        self._engine = engine
        self._poller = poller
        self._desk = desk
        self._marks = marks
        self._clock = clock
        self._meters = meters
        self._accept = accept
        self._note_look = note_look
        self._lock = threading.Lock()
        self._stopping = False
        self._failures = 0
        self._not_before: datetime | None = None
        self._namespaces: set[str] = set()

    def tick(self) -> None:
        """Look, unless a failure is too fresh. Never raises what the engine or its configuration is to blame for."""
        now = self._clock.now()
        if self._stopping or (self._not_before is not None and now < self._not_before):
            return
        try:
            self.look()
        except Transient as error:
            self._failed("transient", error, error.retry_after_s)
        except (Permanent, UsageError) as error:
            self._failed("permanent", error, BACKOFF_S[1])

    def look(self) -> Looked:
        """One look, now. Raises Transient, Permanent and UsageError; what was stored until then stays."""
        with self._lock:
            return self._look()

    def _look(self) -> Looked:
        began_s = self._clock.monotonic_s()
        now = self._clock.now()
        mark_name = f"engine:{self.name}"
        executions = events = 0
        for piece in self._poller.poll(self._marks.watermark(mark_name), now):
            origin = Origin(
                SENDER + self.name,
                self._clock.now(),
                piece.historical,
                self._accept(now, piece.historical),
                _ROOM_WAIT_S,
            )
            commits, count = self._desk.keep(self._engine, piece.parts, piece.namespace, origin)
            for commit in commits:
                commit.result(_COMMIT_WAIT_S)
            if piece.mark is not None:
                self._marks.set_watermark(mark_name, piece.mark)
            self._namespaces.add(piece.namespace)
            if self._stopping:
                raise Transient("the service is stopping")
            executions += len({fragment.execution for fragment in piece.parts.fragments})
            events += count
        # That nothing was new is news too: what is still open was so at the time of this look.
        since = self._poller.complete_since(now)
        for namespace in self._namespaces or {"default"}:
            self._note_look(SENDER + self.name, namespace, since, self._clock.now())
        seconds = self._clock.monotonic_s() - began_s
        self._meters.poll_seconds.labels(self.name).observe(seconds)
        self._meters.polled_at.labels(self.name).set(now.timestamp())
        if self.problem:
            log.info("an engine answers again", extra={"engine": self.name})
        self._failures, self._not_before, self.problem = 0, None, ""
        return Looked(self.name, executions, events, seconds)

    def stop(self) -> None:
        """Have a look that is under way end after the piece that it is at, and begin none."""
        self._stopping = True

    def close(self) -> None:
        """Give back connections. Stop before."""
        self._poller.close()

    def _failed(self, kind: str, error: Exception, wait_s: float | None) -> None:
        first_s, most_s = BACKOFF_S
        wait_s = min(most_s, max(wait_s or 0.0, first_s * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._not_before = self._clock.now() + timedelta(seconds=wait_s)
        self._meters.poll_failures.labels(self.name, kind).inc()
        level = logging.WARNING if str(error) != self.problem else logging.DEBUG
        self.problem = str(error)
        log.log(
            level,
            "an engine cannot be looked at",
            extra={"engine": self.name, "reason": self.problem, "again_in_s": wait_s},
        )
