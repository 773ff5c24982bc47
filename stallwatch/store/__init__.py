"""The store: the one room that speaks to ClickHouse (embedded or a server), and the brain's SQLite state."""

from stallwatch.store.definitions import Conventions
from stallwatch.store.protobuf import Body
from stallwatch.store.store import FOREVER, EventRow, Store, open_store

__all__ = ["FOREVER", "Body", "Conventions", "EventRow", "Store", "open_store"]
