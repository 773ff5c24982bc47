"""When nobody listened: remembered by the last mark of a collector that ran, told to the store by the next one.

A collector that was stopped, killed, or frozen with its machine heard nothing, and its senders were not silent.
"""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from stallwatch.clock import Clock
from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.store import Store
from stallwatch.store.state import State

EVERY_S: Final = 10.0
"""How often it is marked that a collector runs."""
_EVERY: Final = timedelta(seconds=EVERY_S)
_MISSED: Final = 3 * _EVERY
"""Without a mark for so long, a collector that runs was frozen."""
_MARK: Final = "listened_until"

log = logging.getLogger(__name__)


class Alive:
    """The marks of one collector. Thread-safe."""

    def __init__(self, store: Store, state: State, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._marked_at: datetime | None = None
        self._begins = False
        self._away: list[tuple[datetime, datetime]] = []

    def begin(self) -> None:
        """It listens from now on; since when it had not is told with the first mark: the store may hang."""
        with self._lock:
            now, last = self._clock.now(), self._last_mark()
            if last is not None and now - last >= _EVERY:
                self._away.append((last, now))
            self._marked_at, self._begins = now, True

    def note(self) -> None:
        """It listens still; called often, marked every EVERY_S."""
        with self._lock:
            now, last = self._clock.now(), self._marked_at
            # A clock that went back is no reason to mark nothing until it is where it was.
            if last is None or (timedelta(0) <= now - last < _EVERY and not self._begins):
                return
            if now - last >= _MISSED:
                self._away.append((last, now))
            self._mark(now)

    def end(self) -> None:
        """It listens no more."""
        with self._lock:
            self._mark(self._clock.now())

    def _last_mark(self) -> datetime | None:
        mark = self._state.watermark(_MARK)
        try:
            return None if mark is None else datetime.fromisoformat(mark).astimezone(UTC)
        except ValueError:
            log.warning("the mark of the last collector cannot be read", extra={"mark": mark})
            return None

    def _mark(self, now: datetime) -> None:
        self._marked_at, self._begins = now, False
        try:
            self._tell()
        except (StoreUnavailable, StoreRefused) as error:
            # The old mark stays: should this process end now, the next one tells.
            log.warning("not told yet when nobody listened", extra={"reason": str(error)})
            return
        self._state.set_watermark(_MARK, now.isoformat())

    def _tell(self) -> None:
        while self._away:
            began_at, ended_at = self._away[0]
            # It listened on for a while after its last mark; and another collector may have listened all the time.
            heard = self._store.heard_last(began_at, min(began_at + 2 * _EVERY, ended_at))
            began_at = max([began_at, *heard])
            if not self._store.heard_last(began_at, ended_at):
                self._store.note_away(began_at, ended_at)
            del self._away[0]
