"""Landed spans: sorted at each fold into spans, quarantine, senders' beats, and the step events that they tell.

The statements under `sorting/` work on `fold_span`, a temporary table of one session that holds the spans of a few
batches; then the conventions that have something to read do. A statement takes far longer to plan than to run over
little, so those that have nothing to do are left out.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from stallwatch.store.definitions import Conventions
from stallwatch.store.statements import sql_text

PART_SPANS: Final = 200_000
"""About how many spans are sorted at once: they are in memory meanwhile."""
MINUTE_US: Final = 60_000_000
LATE_US: Final = 10 * MINUTE_US
"""How much later than its number says another process may commit a batch to a server, and it is still folded."""
_FOUND: Final = "SELECT groupUniqArray(claimed_by), countIf(reason != '') FROM fold_span"
_TRACES: Final = "SELECT (SELECT count() FROM trace_root) + (SELECT count() FROM generic_trace)"
_PARTITIONS: Final = """SELECT DISTINCT partition FROM system.parts
WHERE database = currentDatabase() AND table = 'span_landing' AND active AND toUInt64(partition) < {minute:UInt64}"""


class Landing:
    """Sorts landed spans in a session that has temporary tables."""

    def __init__(
        self, client: Client, conventions: Conventions, generic_services: Sequence[str]
    ) -> None:
        self._client = client
        self._conventions = conventions
        self._services = list(generic_services)
        self._cleared = 0
        client.command(sql_text("sorting", "0_span"))

    def sort(self, after: int, upto: int) -> None:
        """Sort the spans of batches in (after, upto], which may have been sorted before: nothing is there twice."""
        parameters = {"after": after, "upto": upto}
        sizes = self._client.query(sql_text("sorting", "0_sizes"), parameters=parameters)
        for part_after, part_upto in _parts(after, sizes.result_rows):
            self._sort_part({"after": part_after, "upto": part_upto})
        if sizes.result_rows and self._conventions.traces:
            self._read_traces(parameters)
        self._clear(upto)

    def _sort_part(self, window: dict[str, Any]) -> None:
        parameters = window | {"generic_services": self._services}
        claimed_by = "stallwatch_claimed_by(scope, attributes)" if self._conventions.flows else "''"
        self._client.command("TRUNCATE TABLE fold_span")
        spans = sql_text("sorting", "1_spans").replace("{{claimed_by}}", claimed_by)
        self._client.command(spans, parameters=parameters)
        claimed, quarantined = self._client.query(_FOUND).result_rows[0]
        self._client.command(sql_text("sorting", "2_span_log"))
        if quarantined:
            self._client.command(sql_text("sorting", "3_quarantine"), parameters=parameters)
        self._client.command(sql_text("sorting", "4_sender_beat"), parameters=parameters)
        for statement in self._conventions.noting:
            self._client.command(statement, parameters=parameters)
        for name, statement in self._conventions.spans.items():
            if name in claimed:
                self._client.command(statement)
        self._client.command("TRUNCATE TABLE fold_span")

    def _read_traces(self, window: dict[str, Any]) -> None:
        if self._client.query(_TRACES).result_rows[0][0] == 0:
            return
        waiting = self._client.query(sql_text("sorting", "0_waiting"), parameters=window)
        if any(int(number) for number in waiting.result_rows[0]):
            for statement in self._conventions.traces:
                self._client.command(
                    statement, parameters=window | {"generic_services": self._services}
                )

    def _clear(self, upto: int) -> None:
        """Drop what is sorted and so old that no batch can come late to it."""
        minute = (upto - LATE_US) // MINUTE_US
        if minute <= self._cleared:
            return
        found = self._client.query(_PARTITIONS, parameters={"minute": max(0, minute)})
        for (partition,) in found.result_rows:
            self._client.command(f"ALTER TABLE span_landing DROP PARTITION {partition}")
        self._cleared = minute


def _parts(after: int, sizes: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Ranges of batches, given (batch, spans) in their order, each with about PART_SPANS."""
    spans = 0
    for index, (batch, size) in enumerate(sizes):
        spans += size
        if spans >= PART_SPANS or index == len(sizes) - 1:
            yield after, batch
            after, spans = batch, 0
