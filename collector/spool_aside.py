"""Records of the spool that will never be stored: kept apart to be looked at, the last of them."""

import sqlite3
from typing import Final

ASIDE_MAX: Final = 1000
ASIDE_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much is kept; the oldest goes first."""


def move_aside(
    db: sqlite3.Connection, number: int, reason: str
) -> tuple[str, str, int, int] | None:
    """Move a record into the table `aside`: its (sender, namespace, count, size in bytes), None if it is not there."""
    row: tuple[str, str, int, int] | None = db.execute(
        "SELECT sender, namespace, count, size_bytes FROM record WHERE number = ?", (number,)
    ).fetchone()
    if row is None:
        return None
    db.execute(
        "INSERT INTO aside (reason, kind, sender, namespace, count, received_us, data) "
        "SELECT ?, kind, sender, namespace, count, received_us, coalesce(data, x'') "
        "FROM record LEFT JOIN payload USING (number) WHERE number = ?",
        (reason, number),
    )
    db.execute("DELETE FROM payload WHERE number = ?", (number,))
    db.execute("DELETE FROM record WHERE number = ?", (number,))
    kept_bytes = 0
    sizes = db.execute("SELECT number, length(data) FROM aside ORDER BY number DESC").fetchall()
    for kept, (kept_number, size) in enumerate(sizes):
        kept_bytes += size
        if kept >= ASIDE_MAX or kept_bytes > ASIDE_BYTES_MAX:
            db.execute("DELETE FROM aside WHERE number = ?", (kept_number,))
    return row
