"""One embedded engine per test process; every test gets a database of its own in it."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from stallwatch.store import Store, open_store

_numbers = itertools.count(1)


@pytest.fixture
def now() -> datetime:
    """A fixed Monday noon."""
    return datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The process's one embedded store: an engine keeps its path until the process ends."""
    store = open_store(f"chdb://{tmp_path_factory.mktemp('store')}")
    store.migrate(datetime(2026, 1, 5, tzinfo=UTC))
    yield store
    store.close()


@pytest.fixture
def store(store_root: Store, now: datetime) -> Iterator[Store]:
    """An empty store, with tables."""
    with store_root.scratch(f"test_{next(_numbers)}", now) as scratch:
        yield scratch
