"""Keeping small what is asked every second: rows of what has closed, and hours that are no longer recent."""

from datetime import datetime, timedelta
from typing import Final

from stallwatch.store.engine import Engine

SPARE: Final = 100_000
"""So many deleted rows are not worth a merge."""
_HOUR_US: Final = 3_600_000_000
_OPEN: Final = ("open_attempt", "open_execution")
_RECENT: Final = ("recent_attempt", "recent_execution")
_STORED: Final = """SELECT sum(rows) AS n FROM system.parts
WHERE active AND database = currentDatabase() AND table = {table:String}"""
_HOURS: Final = """SELECT DISTINCT toUInt64(partition) AS hour FROM system.parts
WHERE active AND database = currentDatabase() AND table = {table:String} AND hour < {before:UInt64}
ORDER BY hour"""


def tidy(engine: Engine, now: datetime, recent_s: float) -> None:
    """Take away what open_* and recent_* no longer need; folds and readers go on meanwhile.

    1. what closed leaves a deleted row, which a merge takes away once these outnumber the others; 2. hours that
    ended `recent_s` ago are dropped whole.
    """
    for table in _OPEN:
        stored = int(engine.rows(_STORED, {"table": table})[0]["n"])
        if stored > SPARE and stored > SPARE + 2 * _living(engine, table):
            engine.mutate(f"OPTIMIZE TABLE {table} FINAL CLEANUP")
    before = int((now - timedelta(seconds=recent_s)).timestamp() * 1e6) // _HOUR_US
    for table in _RECENT:
        for row in engine.rows(_HOURS, {"table": table, "before": before}):
            engine.command(f"ALTER TABLE {table} DROP PARTITION {int(row['hour'])}")


def _living(engine: Engine, table: str) -> int:
    return int(engine.rows(f"SELECT count() AS n FROM {table} FINAL")[0]["n"])
