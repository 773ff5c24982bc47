"""One process at a time changes the shape of a store: several may start at once against one server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.store.engine import Engine

PAUSE_S: Final = 0.2
TRIES: Final = 600
STALE_S: Final = 60
"""No migration takes as long: whoever took the lock so long ago has ended without giving it back."""
_TABLE: Final = "migration_lock"
_TAKE: Final = f"CREATE TABLE {_TABLE} (held UInt8) ENGINE = Memory"
_TAKEN: Final = "already exists"
_FREE: Final = f"DROP TABLE IF EXISTS {_TABLE}"
# By the server's clock on both sides.
_AGE: Final = """SELECT dateDiff('second', metadata_modification_time, now()) AS age_s FROM system.tables
WHERE database = {database:String} AND name = {name:String}"""


@contextmanager
def migrating_alone(engine: Engine) -> Iterator[None]:
    """Hold the lock: a table, because making one succeeds once and fails for everybody else.

    Raises StoreUnavailable if another process keeps it, StoreRefused if the user may not create tables.
    """
    _take(engine)
    try:
        yield
    finally:
        engine.command(_FREE)


def _take(engine: Engine) -> None:
    for _ in range(TRIES):
        try:
            engine.command(_TAKE)
        except StoreRefused as error:
            if _TAKEN not in str(error):
                raise
            if _held_for_s(engine) > STALE_S:
                engine.command(_FREE)
            threading.Event().wait(PAUSE_S)
        else:
            return
    raise StoreUnavailable("another process is migrating the store and does not come to an end")


def _held_for_s(engine: Engine) -> int:
    rows = engine.rows(_AGE, {"database": engine.database, "name": _TABLE})
    return int(rows[0]["age_s"]) if rows else 0
