"""The lifecycle folds: events of touched executions to attempts and executions, in numbered statements.

The statements under `fold/` run in the order of their numbers over temporary tables of one session:
1 events, each with its run; 2 executions; 3 which attempt each step event belongs to; 4 attempts;
5 the minutes whose statistics change; 6 and 8 what the fold no longer sees; 7 and 9 what it sees.
The fold reads all events of a touched execution, so order, lateness and repetition do not matter.
"""

from typing import Final

from stallwatch.store.engine import Engine, translated
from stallwatch.store.statements import sql_names, sql_text

PART_EXECUTIONS: Final = 10_000


class FoldSession:
    """A client whose temporary tables hold the fold while it is computed."""

    TABLES: Final = ("touched", "event", "number", "execution", "attempt")

    def __init__(self, engine: Engine) -> None:
        self._client = engine.connect()
        with translated():
            for table in self.TABLES:
                self._client.command(sql_text("fold", f"0_{table}"))

    def run(self, after: int, upto: int) -> int:
        """Fold the executions touched by batches in (after, upto]; how many they are.

        Many are folded in parts of about PART_EXECUTIONS, so that an import does not take all memory.
        Raises StoreUnavailable and StoreRefused; what was folded by then stays, and is folded again.
        """
        touched = 0
        with translated():
            window = {"after": after, "upto": upto}
            counted = self._client.query(sql_text("fold", "0_count_touched"), parameters=window)
            parts = -(-int(counted.result_rows[0][0]) // PART_EXECUTIONS)
            for part in range(parts):
                touched += self._fold({**window, "part": part, "parts": parts})
        return touched

    def _fold(self, parameters: dict[str, int]) -> int:
        for table in self.TABLES:
            self._client.command(f"TRUNCATE TABLE fold_{table}")
        self._client.command(sql_text("fold", "0_gather_touched"), parameters=parameters)
        touched = int(self._client.query("SELECT count() FROM fold_touched").result_rows[0][0])
        if touched:
            for name in sql_names("fold"):
                if not name.startswith("0"):
                    self._client.command(sql_text("fold", name), parameters=parameters)
        return touched

    def close(self) -> None:
        self._client.close()
