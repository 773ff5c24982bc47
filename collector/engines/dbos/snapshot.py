"""Documents of workflows out of the system database: their rows, without inputs and outputs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from collector.engines.dbos.database import Database, Row, SqliteDatabase
from collector.engines.dbos.rows import SLEEP
from stallwatch.errors import Permanent

PAGE_IDS: Final = 20_000
PAGE_WORKFLOWS: Final = 200
ERROR_CHARACTERS: Final = 65_536
_OPEN: Final = "('PENDING', 'ENQUEUED', 'DELAYED')"
_STATUS: Final = (
    "workflow_uuid", "status", "name", "created_at", "updated_at", "completed_at", "started_at_epoch_ms",
    "queue_name", "recovery_attempts", "workflow_timeout_ms", "workflow_deadline_epoch_ms", "executor_id",
    "application_version", "application_name", "class_name", "config_name", "parent_workflow_id",
    "schedule_name", "forked_from", "delay_until_epoch_ms", "serialization", "error",
)  # fmt: skip
_OPERATION: Final = (
    "workflow_uuid", "function_id", "function_name", "child_workflow_id", "started_at_epoch_ms",
    "completed_at_epoch_ms", "serialization", "error", "output",
)  # fmt: skip
_NEEDED: Final = {
    "workflow_status": frozenset({"workflow_uuid", "status", "name", "created_at", "updated_at"}),
    "operation_outputs": frozenset({"workflow_uuid", "function_id", "function_name"}),
}


class Snapshot:
    """What the system database holds. Raises Transient and Permanent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = {
            name: database.columns(name)
            for name in ("workflow_status", "operation_outputs", "workflow_output")
        }
        for name, needed in _NEEDED.items():
            missing = needed - self._tables[name]
            if missing:
                raise Permanent(
                    f"{name} of DBOS is not there or may not be read (columns {', '.join(sorted(missing))})"
                )

    def now_ms(self) -> int:
        """The database's own time."""
        return int(self._database.select(f"SELECT {self._database.now_ms} AS now", {})[0]["now"])

    def changed_ids(self, since_ms: int | None, lookback_ms: int, now_ms: int) -> Iterator[str]:
        """Workflows with something new since then; None: all that are open, and what closed within the lookback."""
        status = self._tables["workflow_status"]
        closed_at = "completed_at" if "completed_at" in status else "updated_at"
        selects = [
            f"SELECT workflow_uuid FROM workflow_status WHERE status IN {_OPEN} AND updated_at >= :open_since",
            f"SELECT workflow_uuid FROM workflow_status WHERE {closed_at} >= :closed_since",
        ]
        if since_ms is not None and "completed_at_epoch_ms" in self._tables["operation_outputs"]:
            # A sleep's row has its end from the beginning; what lies ahead is no news after the first look.
            selects.append(
                "SELECT workflow_uuid FROM operation_outputs WHERE completed_at_epoch_ms >= :closed_since "
                "AND (completed_at_epoch_ms <= :now OR started_at_epoch_ms >= :closed_since)"
            )
        sql = (
            f"SELECT workflow_uuid FROM ({' UNION '.join(selects)}) AS changed WHERE workflow_uuid > :after "
            f"ORDER BY workflow_uuid LIMIT {PAGE_IDS}"
        )
        parameters: dict[str, Any] = {
            "open_since": since_ms or 0,
            "closed_since": now_ms - lookback_ms if since_ms is None else since_ms,
            "now": now_ms,
            "after": "",
        }
        while page := self._database.select(sql, parameters):
            yield from (row["workflow_uuid"] for row in page)
            parameters["after"] = page[-1]["workflow_uuid"]

    def documents(self, ids: Sequence[str], since_ms: int | None) -> Iterator[dict[str, Any]]:
        """Their rows, PAGE_WORKFLOWS workflows at a time; of their operations those that ended since then."""
        for start in range(0, len(ids), PAGE_WORKFLOWS):
            yield self._document(ids[start : start + PAGE_WORKFLOWS], since_ms)

    def _document(self, ids: Sequence[str], since_ms: int | None) -> dict[str, Any]:
        among = f"workflow_uuid {self._database.ids}"
        values: Any = list(ids)
        if isinstance(self._database, SqliteDatabase):
            values = msgspec.json.encode(values).decode()
        parameters: dict[str, Any] = {"ids": values, "since": since_ms or 0}
        timed = "completed_at_epoch_ms" in self._tables["operation_outputs"]
        recent = " AND completed_at_epoch_ms >= :since" if timed and since_ms is not None else ""
        tables = {
            "workflow_status": f"SELECT {self._columns('workflow_status', _STATUS)} FROM workflow_status WHERE {among}",
            "operation_outputs": f"SELECT {self._columns('operation_outputs', _OPERATION)} FROM operation_outputs "
            f"WHERE {among}{recent}",
        }
        if {"workflow_uuid", "error"} <= self._tables["workflow_output"]:
            tables["workflow_output"] = (
                f"SELECT {self._columns('workflow_output', ('workflow_uuid', 'error'))} FROM workflow_output "
                f"WHERE {among} AND error IS NOT NULL"
            )
        return {name: self._rows(sql, parameters) for name, sql in tables.items()}

    def _rows(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        used = {name: value for name, value in parameters.items() if f":{name}" in sql}
        return self._database.select(sql, used)

    def _columns(self, table: str, wanted: Sequence[str]) -> str:
        """Those that this version of DBOS has and this role may read; payloads by their size alone."""
        texts = []
        for column in wanted:
            if column not in self._tables[table]:
                continue
            if column == "error":
                texts.append(f"substr(error, 1, {ERROR_CHARACTERS}) AS error")
            elif column == "output":
                texts.append(f"CASE WHEN function_name = '{SLEEP}' THEN output END AS output")
                texts.append("length(output) AS output_bytes")
            else:
                texts.append(column)
        return ", ".join(texts)
