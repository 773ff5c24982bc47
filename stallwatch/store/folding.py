"""The lifecycle folds: events of touched executions to attempts and executions, in numbered statements.

The statements under `fold/` run in the order of their numbers over temporary tables of one session:
1 events, each with its run; 2 executions; 3 which attempt each step event belongs to; 4 attempts;
5 the minutes whose statistics change; 6 and 8 what the fold no longer sees; 7 and 9 what it sees.
The fold reads all events of a touched execution, so order, lateness and repetition do not matter.
"""

from typing import Final

from stallwatch.store.engine import Engine
from stallwatch.store.statements import sql_names, sql_text


class FoldSession:
    """A client whose temporary tables hold the fold while it is computed."""

    TABLES: Final = ("touched", "event", "number", "execution", "attempt")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client = engine.connect()
        for table in self.TABLES:
            self._client.command(sql_text("fold", f"0_{table}"))

    def run(self, after: int, upto: int) -> int:
        """Fold the executions touched by batches in (after, upto]."""
        for table in self.TABLES:
            self._client.command(f"TRUNCATE TABLE fold_{table}")
        self._client.command(
            sql_text("fold", "0_gather_touched"), parameters={"after": after, "upto": upto}
        )
        touched = int(self._client.query("SELECT count() FROM fold_touched").result_rows[0][0])
        if touched:
            parameters = {"upto": upto}
            for name in sql_names("fold"):
                if not name.startswith("0"):
                    self._client.command(sql_text("fold", name), parameters=parameters)
        return touched

    def close(self) -> None:
        self._client.close()
