"""Asking DBOS's system database what is new."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from collector.engines.dbos.database import Database
from collector.engines.dbos.rows import OPEN, parts_of
from collector.engines.dbos.snapshot import PAGE_WORKFLOWS, Snapshot
from collector.engines.reading import Hints, Piece, Poller

OVERLAP_MS: Final = 60_000
"""How much is read again each time: rows are dated when they are written and seen when that is committed."""


class DbosPoller(Poller):
    """The mark is the database's own time of the last look, in milliseconds since 1970."""

    def __init__(self, database: Database, lookback_s: float, namespace: str) -> None:
        self._database = database
        self._lookback_ms = int(lookback_s * 1000)
        self._namespace = namespace

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        snapshot = Snapshot(self._database)
        now_ms = snapshot.now_ms()
        since_ms = None if mark is None else int(mark) - OVERLAP_MS
        hints = Hints(now, self._namespace)
        chunk: list[str] = []
        for id_ in snapshot.changed_ids(since_ms, self._lookback_ms, now_ms):
            chunk.append(id_)
            if len(chunk) == PAGE_WORKFLOWS:
                yield from self._pieces(snapshot, chunk, since_ms, hints)
                chunk = []
        yield from self._pieces(snapshot, chunk, since_ms, hints)
        yield Piece(parts_of({"workflow_status": []}, hints), self._namespace, mark=str(now_ms))

    def close(self) -> None:
        self._database.close()

    def _pieces(
        self, snapshot: Snapshot, ids: list[str], since_ms: int | None, hints: Hints
    ) -> Iterator[Piece]:
        for document in snapshot.documents(ids, since_ms):
            if since_ms is not None:
                yield Piece(parts_of(document, hints), self._namespace)
                continue
            for is_open in (True, False):
                found = _where(document, is_open)
                if found["workflow_status"]:
                    parts = parts_of(found, hints)
                    yield Piece(parts, self._namespace, historical=not is_open)


def _where(document: dict[str, Any], is_open: bool) -> dict[str, Any]:
    """The rows of the workflows that are open, or of those that are not."""
    ids = {
        row["workflow_uuid"]
        for row in document["workflow_status"]
        if (row["status"] in OPEN) == is_open
    }
    return {
        name: [row for row in rows if row["workflow_uuid"] in ids]
        for name, rows in document.items()
    }
