"""Whether a server answers, asked again and again: for whoever asks if this process can do its work."""

from typing import Final

from clickhouse_connect.driver.client import Client

from stallwatch.errors import StallwatchError, StoreSilent
from stallwatch.store.engine import LOOK_S as ANSWER_S
from stallwatch.store.engine import Engine, translated

LOOK_S: Final = 5.0


class StoreWatch:
    """The outcome of the last look, by a connection of its own. One thread looks, any may ask.

    While the server says nothing, the engine lets nobody else ask: threads that wait for it are missing elsewhere.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client: Client | None = None
        self.problem = ""
        """Why the store cannot be used now; empty: it answered."""

    def look(self) -> None:
        """Ask the server something small."""
        try:
            if self._client is None:
                self._client = self._engine.connect(silence_s=ANSWER_S, although_silent=True)
            with translated():
                self._client.command("SELECT 1")
        except StallwatchError as error:
            self._client = None
            self._engine.is_silent = isinstance(error, StoreSilent)
            self.problem = f"the store is away: {error}"
        else:
            self._engine.is_silent = False
            self.problem = ""
