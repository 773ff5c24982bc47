"""One embedded engine per test process; every test gets an empty database in it."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import settings

from stallwatch.store import Store, open_store

# How long an example takes says more about what else the machine does.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

_SHAPE: Final = """SELECT groupBitXor(cityHash64(name, create_table_query)) AS hash
FROM system.tables WHERE database = {database:String}"""


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


class Lent:
    """A database that is lent to one test after the other, emptied in between: to migrate one takes longer than most
    tests. A test that changed its shape keeps it, and the next one gets another."""

    def __init__(self, root: Store) -> None:
        self._root = root
        self._numbers = itertools.count(1)
        self._stack = ExitStack()
        self._made: tuple[Store, int] | None = None

    def lend(self, now: datetime) -> Store:
        if self._made is None:
            name = f"test_{next(self._numbers)}"
            store = self._stack.enter_context(self._root.scratch(name, now))
            self._made = store, _shape(store)
        return self._made[0]

    def take_back(self) -> None:
        assert self._made is not None
        store, shape = self._made
        if _shape(store) == shape:
            store.empty()
        else:
            self.drop()

    def drop(self) -> None:
        self._made = None
        self._stack.close()


def _shape(store: Store) -> int:
    rows = store.select(_SHAPE, {"database": store.engine.database})
    return int(rows[0]["hash"])


@pytest.fixture(scope="session")
def lent(store_root: Store) -> Iterator[Lent]:
    lent = Lent(store_root)
    yield lent
    lent.drop()


@pytest.fixture
def store(lent: Lent, now: datetime) -> Iterator[Store]:
    """An empty store, with tables."""
    yield lent.lend(now)
    lent.take_back()
