"""Landed spans: sorted at each fold into spans, quarantine, senders' beats, and the step events that they tell.

The statements under `sorting/` work on `fold_span`, a temporary table of one session that holds the spans of a few
batches; then the conventions that have something to read do. A statement takes far longer to plan than to run over
little, so those that have nothing to do are left out.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from stallwatch.errors import StoreRefused
from stallwatch.store.definitions import Conventions
from stallwatch.store.engine import translated
from stallwatch.store.statements import sql_text

SHARES_MAX: Final = 4096
"""Into how many shares the spans of a part are split before what is left with a bad one is set aside with it."""
PART_SPANS: Final = 200_000
"""About how many spans are sorted at once: they are in memory meanwhile."""
MINUTE_US: Final = 60_000_000
LATE_US: Final = 10 * MINUTE_US
"""How much later than its number says another process may commit a batch to a server, and it is still folded."""
_FOUND: Final = "SELECT groupUniqArray(claimed_by), countIf(reason != '') FROM fold_span"
_TRACES: Final = "SELECT (SELECT count() FROM trace_root) + (SELECT count() FROM generic_trace)"
_PARTITIONS: Final = """SELECT DISTINCT partition FROM system.parts
WHERE database = currentDatabase() AND table = 'span_landing' AND active AND toUInt64(partition) < {minute:UInt64}"""

log = logging.getLogger(__name__)


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
        self._clear(upto)

    def _sort_part(self, window: dict[str, Any]) -> None:
        parameters = window | {"generic_services": self._services}
        claimed, quarantined = self._fill(window)
        self._client.command(sql_text("sorting", "2_span_log"))
        if quarantined:
            self._client.command(sql_text("sorting", "3_quarantine"), parameters=parameters)
        self._client.command(sql_text("sorting", "4_sender_beat"), parameters=parameters)
        for statement in self._conventions.noting:
            self._client.command(statement, parameters=parameters)
        if self._read_spans(window, claimed):
            self._fill(window)
        if self._conventions.traces:
            self._read_traces(window)
        self._client.command("TRUNCATE TABLE fold_span")

    def _fill(
        self, window: dict[str, Any], shares: int = 1, share: int = 0
    ) -> tuple[set[str], int]:
        """Put a share of the window's spans into `fold_span`: who claims some, and how many cannot be believed."""
        claimed_by = "stallwatch_claimed_by(scope, attributes)" if self._conventions.flows else "''"
        spans = sql_text("sorting", "1_spans").replace("{{claimed_by}}", claimed_by)
        self._client.command("TRUNCATE TABLE fold_span")
        self._client.command(spans, parameters={**window, "shares": shares, "share": share})
        claimed, quarantined = self._client.query(_FOUND).result_rows[0]
        return set(claimed), int(quarantined)

    def _read_spans(
        self, window: dict[str, Any], claimed: set[str], shares: int = 1, share: int = 0
    ) -> bool:
        """Make step events of what is in `fold_span`. What a convention fails on is halved until it is alone.

        Returns whether it was halved: `fold_span` has only a part then.
        """
        try:
            with translated():
                for name in self._conventions.spans:
                    if name in claimed:
                        self._client.command(self._conventions.spans[name])
        except StoreRefused as error:
            if shares < SHARES_MAX:
                for half in (share, share + shares):
                    found, _ = self._fill(window, 2 * shares, half)
                    self._read_spans(window, found, 2 * shares, half)
                return True
            log.error("spans of %s are set aside: %s", ", ".join(sorted(claimed - {""})), error)
            self._client.command(sql_text("sorting", "5_set_aside"))
        return False

    def _read_traces(self, window: dict[str, Any]) -> None:
        if self._client.query(_TRACES).result_rows[0][0] == 0:
            return
        waiting = self._client.query(sql_text("sorting", "0_waiting"), parameters=window)
        rooted, taken = (int(number) for number in waiting.result_rows[0])
        parameters = window | {"generic_services": self._services}
        for statement in (
            *(self._conventions.traces if rooted else ()),
            *(self._conventions.taken_back if taken else ()),
        ):
            try:
                with translated():
                    self._client.command(statement, parameters=parameters)
            except StoreRefused as error:
                # To try for ever would keep everything else from being folded.
                log.error("traces of batches up to %s are left out: %s", window["upto"], error)

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
