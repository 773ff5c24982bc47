"""Whether the store answers, asked again and again: for whoever asks if this process can do its work."""

from typing import Final

from stallwatch.clock import Clock
from stallwatch.errors import StallwatchError
from stallwatch.store import Store

LOOK_S: Final = 5.0
LATE_S: Final = 15.0
"""An answer that takes longer counts as none, until it comes."""


class StoreWatch:
    """The outcome of the last look. One thread looks, any may ask."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._asked_s: float | None = None
        self._problem = ""

    def look(self) -> None:
        """Ask the store something small."""
        self._asked_s = self._clock.monotonic_s()
        try:
            self._store.select("SELECT 1")
        except StallwatchError as error:
            self._problem = f"the store is away: {error}"
        else:
            self._problem = ""
        finally:
            self._asked_s = None

    @property
    def problem(self) -> str:
        """Why the store cannot be used now; empty: it answered."""
        asked_s = self._asked_s
        if asked_s is not None and self._clock.monotonic_s() - asked_s > LATE_S:
            return "the store does not answer"
        return self._problem
