"""A collector may start before its store: what comes meanwhile goes to the spool."""

import logging
import threading
from collections.abc import Sequence
from datetime import datetime

from stallwatch.clock import Clock
from stallwatch.errors import ConfigError, StoreRefused, StoreUnavailable
from stallwatch.model.definitions import Definition
from stallwatch.store import Body, EventRow, Store

_log = logging.getLogger(__name__)


class LateStore:
    """A store that is migrated before the first insert, whenever it can be reached."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._migrated = False

    def migrate(self) -> None:
        """Bring its tables to this version's shape, once. Raises StoreUnavailable, StoreRefused and ConfigError."""
        with self._lock:
            if not self._migrated:
                self._store.migrate(self._clock.now())
                self._migrated = True

    def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None:
        """See `Store.insert_otlp`."""
        self._ready()
        self._store.insert_otlp(bodies, token)

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None:
        """See `Store.insert_event_rows`."""
        self._ready()
        self._store.insert_event_rows(rows, token)

    def note_rejected(
        self, sender: str, namespace: str, received_at: datetime, rejected: int
    ) -> None:
        """See `Store.note_rejected`."""
        self._ready()
        self._store.note_rejected(sender, namespace, received_at, rejected)

    def note_look(
        self, sender: str, namespace: str, began_at: datetime, ended_at: datetime
    ) -> None:
        """See `Store.note_look`."""
        self._ready()
        self._store.note_look(sender, namespace, began_at, ended_at)

    def write_definitions(self, definitions: Sequence[Definition], now: datetime) -> None:
        """See `Store.write_definitions`."""
        self._ready()
        self._store.write_definitions(definitions, now)

    def _ready(self) -> None:
        if self._migrated:
            return
        try:
            self.migrate()
        except (ConfigError, StoreRefused) as error:
            # Somebody has to see to it; until then nothing of what was sent may be lost.
            _log.error("the store cannot be used: %s", error)
            raise StoreUnavailable(str(error)) from error
