"""Privacy: one execution erased from the store and from the brain's memory."""

import re

from prometheus_client import CollectorRegistry

from collector.engines.shelf import Shelf
from collector.meters import Meters
from stallwatch.app.access import shelf_folder
from stallwatch.config import Settings
from stallwatch.store import Store
from stallwatch.store.state import State

FORGOTTEN = "[forgotten]"
_TEXTS = (
    ("findings", "fingerprint", ("body",)),
    ("incidents", "id", ("cause", "findings")),
    ("deliveries", "rowid", ("message",)),
    ("labels", "rowid", ("note",)),
)
"""(table, its key, the columns that may name an execution) of the brain's state."""


def forget_on_shelf(settings: Settings, execution_id: str) -> None:
    """Erase what engines told about it and no `serve` holds."""
    shelf = Shelf(
        shelf_folder(settings), settings.engines.shelf_max_bytes, Meters(CollectorRegistry())
    )
    try:
        shelf.forget(execution_id)
    finally:
        shelf.close()


def forget_everywhere(store: Store, state: State, execution_id: str) -> int:
    """Erase the execution; returns how many events it had."""
    # o-1 must not be found inside o-10 or o-1.2, but at the end of a sentence.
    name = re.compile(rf"(?<![\w-])(?<!\w\.){re.escape(execution_id)}(?![.-]*\w)")
    with state.transaction() as db:
        for table, key, columns in _TEXTS:
            for column in columns:
                rows = db.execute(
                    f"SELECT {key} AS key, {column} AS text FROM {table} WHERE instr({column}, ?) > 0",
                    (execution_id,),
                ).fetchall()
                for row in rows:
                    db.execute(
                        f"UPDATE {table} SET {column} = ? WHERE {key} = ?",
                        (name.sub(FORGOTTEN, row["text"]), row["key"]),
                    )
    return store.forget(execution_id)
