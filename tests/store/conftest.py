"""Fixtures of the store's tests."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from stallwatch.store import Store


@pytest.fixture(scope="module")
def shared_store(store_root: Store) -> Iterator[Store]:
    """One store for tests that keep to executions of their own."""
    with store_root.scratch("shared", datetime(2026, 1, 5, 12, tzinfo=UTC)) as scratch:
        yield scratch
