"""The lifecycle folds: events of touched executions to attempts and executions, in numbered statements.

The statements under `fold/` run in the order of their numbers over temporary tables of one session:
1 events, each with its run, and attempts as they stand; 2 executions; 3 which steps need their events put in order;
4 for these, the order of their events and which attempt each belongs to, whichever road it came; 5 and 6 attempts;
7 the minutes whose statistics change, and what attempts are open; 8 and 9 what the fold no longer sees, what it sees,
and what runs.
The fold reads all events of a touched execution, so order, lateness and repetition do not matter.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from stallwatch.store.definitions import Conventions
from stallwatch.store.engine import SETTINGS, UNCOMPILED, Engine, translated
from stallwatch.store.landing import Landing
from stallwatch.store.statements import sql_names, sql_text

PART_EXECUTIONS: Final = 10_000
"""So many are folded at once however long they are; more of them as long as they have no more than PART_EVENTS."""
PART_EVENTS: Final = 400_000
YOUNG_US: Final = 15 * 60 * 1_000_000
"""An execution that was first heard of since so many microseconds is looked for in the youngest parts only."""

_TOUCHED: Final = """
SELECT count(), countIf(is_known), countIf(is_young), countIf(is_plain), countIf(is_plain AND is_young)
FROM fold_touched"""
_TWICE: Final = "SELECT count() - uniqExact(event_key) FROM fold_event"
_COMPLEX: Final = "SELECT count(), countIf(is_mixed) FROM fold_complex"
_OVER_KNOWN: Final = frozenset({"7_open_attempts_gone", "8_attempts_gone", "9_executions_gone"})
"""The statements that look at what an earlier fold left."""
_CLOSED: Final = "7_open_attempts_closed"
_READING: Final = frozenset({"1_before", "1_events", "1_plain_events"})
"""The statements that read what the touched executions had and have."""


class _Touched(NamedTuple):
    """How many executions are folded, and how many of them are what `fold_touched` says."""

    executions: int
    known: int
    young: int
    plain: int
    young_plain: int


class FoldSession:
    """A client whose temporary tables hold the fold while it is computed."""

    TABLES: Final = (
        "touched", "event", "before", "execution", "complex", "call", "anchor", "instant", "number",
        "gathered", "attempt",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, conventions: Conventions, generic_services: Sequence[str]
    ) -> None:
        self._client = engine.connect(settings={**SETTINGS, **UNCOMPILED})
        self._is_shared = engine.address.path is None
        with translated():
            self._landing = Landing(self._client, conventions, generic_services)
            for table in self.TABLES:
                self._client.command(sql_text("fold", f"0_{table}"))

    def run(self, after: int, upto: int, mark: int) -> int:
        """Sort the spans and fold the executions of batches in (after, upto]; how many of these there are.

        `mark` grows with every fold.

        Many are folded in parts, so that an import does not take all memory.
        Raises StoreUnavailable and StoreRefused; what was folded by then stays, and is folded again.
        """
        touched = 0
        with translated():
            self._landing.sort(after, upto)
            window = {
                "after": after, "upto": upto, "mark": mark, "floor": max(0, upto - YOUNG_US),
                "is_shared": int(self._is_shared),
            }  # fmt: skip
            parts = self._parts(window)
            for part in range(parts):
                touched += self._fold({**window, "part": part, "parts": parts})
        return touched

    def _parts(self, window: dict[str, int]) -> int:
        """In how many parts the executions are folded."""
        executions = self._count("0_count_touched", window)
        if executions <= PART_EXECUTIONS:
            return min(executions, 1)
        events = self._count("0_count_events", window)
        return min(-(-executions // PART_EXECUTIONS), max(1, -(-events // PART_EVENTS)))

    def _count(self, name: str, window: dict[str, int]) -> int:
        return int(self._client.query(sql_text("fold", name), parameters=window).result_rows[0][0])

    def _fold(self, parameters: dict[str, int]) -> int:
        for table in self.TABLES:
            self._client.command(f"TRUNCATE TABLE fold_{table}")
        self._client.command(sql_text("fold", "0_gather_touched"), parameters=parameters)
        counted = self._client.query(_TOUCHED)
        touched = _Touched(*(int(number) for number in counted.result_rows[0]))
        if not touched.executions:
            return 0
        self._read(parameters, touched)
        # A statement takes longer to plan than to run over little: those with nothing to do are left out.
        idle = _READING | (frozenset() if touched.known else _OVER_KNOWN)
        idle |= frozenset() if self._is_shared else {_CLOSED}
        complex_ = 0
        for name in sql_names("fold"):
            if name.startswith("0") or name in idle:
                continue
            statement = sql_text("fold", name)
            if name == "5_gathered":
                in_order = sql_text("fold", "0_in_order") if complex_ else ""
                statement = statement.replace("{{in_order}}", in_order)
            self._client.command(statement, parameters=parameters)
            if name == "8_attempts_kept" and self._is_shared:
                # Noted before, in case this process ends here; noted again, since others may have refreshed meanwhile.
                dirty = sql_text("fold", "7_dirty_windows")
                self._client.command(dirty, parameters=parameters)
            if name == "3_complex":
                complex_, mixed = self._client.query(_COMPLEX).result_rows[0]
                idle |= set() if complex_ else {"4_instants", "4_numbers"}
                idle |= set() if mixed else {"4_anchors", "4_calls"}
        return touched.executions

    def _read(self, parameters: dict[str, int], touched: _Touched) -> None:
        """Put the events of the touched executions into `fold_event`, each once, and what is known into `fold_before`.

        Those of plain executions are read as they came. When some came twice, which shows only then, all are read again
        like the others.
        """
        ages = _ages(touched.executions, touched.young)
        others = _ages(touched.executions - touched.plain, touched.young - touched.young_plain)
        every = {"all": 0}
        if touched.plain:
            self._client.command(sql_text("fold", "1_plain_events"), parameters=parameters)
            if self._client.query(_TWICE).result_rows[0][0]:
                self._client.command("TRUNCATE TABLE fold_event")
                others, every = ages, {"all": 1}
        for age in others:
            self._client.command(sql_text("fold", "1_events"), parameters=parameters | age | every)
        for age in ages if touched.known else ():
            self._client.command(sql_text("fold", "1_before"), parameters=parameters | age)

    def close(self) -> None:
        self._client.close()


def _ages(executions: int, young: int) -> list[dict[str, int]]:
    """What is young is looked for in the youngest parts only."""
    ages: list[dict[str, int]] = [{"young": 1}] if young else []
    return ages + ([{"young": 0, "floor": 0}] if executions > young else [])
