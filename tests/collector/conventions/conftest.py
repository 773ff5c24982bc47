"""One database with all conventions for these tests; every test has a namespace of its own in it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from collector.conventions import conventions
from stallwatch.store import Store
from tests.collector.conventions.sandbox import Sandbox

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def spans_store(store_root: Store) -> Iterator[Store]:
    """A store that turns spans into step events."""
    rooted = Store(
        store_root.engine,
        conventions=conventions(),
        generic_services=["shop-*", "job?"],
    )
    with rooted.scratch("conventions", NOW) as scratch:
        yield scratch


@pytest.fixture
def sandbox(spans_store: Store) -> Sandbox:
    """An empty namespace."""
    return Sandbox(spans_store, NOW)
