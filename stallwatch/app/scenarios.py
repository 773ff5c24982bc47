"""A store for scenarios: embedded, in a temporary folder, gone afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from stallwatch.clock import Clock
from stallwatch.store import Store, open_store


@contextmanager
def temporary_store(clock: Clock) -> Iterator[Store]:
    """An empty, migrated store that nobody else sees."""
    with tempfile.TemporaryDirectory(prefix="stallwatch-", ignore_cleanup_errors=True) as folder:
        store = open_store(f"chdb://{folder}")
        store.migrate(clock.now())
        try:
            yield store
        finally:
            store.close()
