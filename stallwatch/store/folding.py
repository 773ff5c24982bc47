"""The lifecycle folds: events of touched executions to attempts and executions, in numbered statements.

The statements under `fold/` run in the order of their numbers over temporary tables of one session:
1 events, each with its run, and attempts as they stand; 2 executions; 3 which steps need their events put in order;
4 for these, which attempt each event belongs to, whichever road it came; 5 and 6 attempts; 7 the minutes whose
statistics change, and what attempts are open; 8 and 9 what the fold no longer sees, what it sees, and what runs.
The fold reads all events of a touched execution, so order, lateness and repetition do not matter.
"""

from collections.abc import Sequence
from typing import Final

from stallwatch.store.definitions import Conventions
from stallwatch.store.engine import Engine, translated
from stallwatch.store.landing import Landing
from stallwatch.store.statements import sql_names, sql_text

PART_EXECUTIONS: Final = 10_000
YOUNG_US: Final = 15 * 60 * 1_000_000
"""An execution that was first heard of since so many microseconds is looked for in the youngest parts only."""

_TOUCHED: Final = "SELECT count(), countIf(is_young), countIf(is_known) FROM fold_touched"
_COMPLEX: Final = "SELECT count(), countIf(is_mixed) FROM fold_complex"
_OVER_KNOWN: Final = frozenset(
    {"1_before", "7_open_attempts_gone", "8_attempts_gone", "9_executions_gone"}
)
"""The statements that look at what an earlier fold left."""


class FoldSession:
    """A client whose temporary tables hold the fold while it is computed."""

    TABLES: Final = (
        "touched", "event", "before", "execution", "complex", "call", "anchor", "number", "gathered",
        "attempt",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, conventions: Conventions, generic_services: Sequence[str]
    ) -> None:
        self._client = engine.connect()
        with translated():
            self._landing = Landing(self._client, conventions, generic_services)
            for table in self.TABLES:
                self._client.command(sql_text("fold", f"0_{table}"))

    def run(self, after: int, upto: int, mark: int) -> int:
        """Sort the spans and fold the executions of batches in (after, upto]; how many of these there are.

        `mark` grows with every fold.

        Many are folded in parts of about PART_EXECUTIONS, so that an import does not take all memory.
        Raises StoreUnavailable and StoreRefused; what was folded by then stays, and is folded again.
        """
        touched = 0
        with translated():
            self._landing.sort(after, upto)
            window = {"after": after, "upto": upto, "mark": mark, "floor": max(0, upto - YOUNG_US)}
            counted = self._client.query(sql_text("fold", "0_count_touched"), parameters=window)
            parts = -(-int(counted.result_rows[0][0]) // PART_EXECUTIONS)
            for part in range(parts):
                touched += self._fold({**window, "part": part, "parts": parts})
        return touched

    def _fold(self, parameters: dict[str, int]) -> int:
        for table in self.TABLES:
            self._client.command(f"TRUNCATE TABLE fold_{table}")
        self._client.command(sql_text("fold", "0_gather_touched"), parameters=parameters)
        counted = self._client.query(_TOUCHED)
        touched, young, known = (int(number) for number in counted.result_rows[0])
        ages: list[dict[str, int]] = [{"young": 1}] if young else []
        ages += [{"young": 0, "floor": 0}] if touched > young else []
        # A statement takes longer to plan than to run over little: those with nothing to do are left out.
        idle = set() if known else set(_OVER_KNOWN)
        for name in sql_names("fold") if touched else ():
            if name.startswith("0") or name in idle:
                continue
            for age in ages if name.startswith("1") else [{}]:
                self._client.command(sql_text("fold", name), parameters=parameters | age)
            if name == "3_complex":
                complex_, mixed = self._client.query(_COMPLEX).result_rows[0]
                idle |= set() if complex_ else {"4_numbers"}
                idle |= set() if mixed else {"4_anchors", "4_calls"}
        return touched

    def close(self) -> None:
        self._client.close()
