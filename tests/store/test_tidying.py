"""What is open and recent stays small."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store, tidying

DAY_S = 86_400.0


def told(now: datetime, at_s: float, event: str, **fields: Any) -> StepEvent:
    when = now + timedelta(seconds=at_s)
    data = {"workflow": "order", "execution_id": "o-1", **fields, "event": event, "time": when}
    return event_from_dict(data, when)


def rows_of(store: Store, table: str) -> int:
    return int(store.select(f"SELECT count() AS n FROM {table}")[0]["n"])


def tell(store: Store, now: datetime, at_s: float, event: str, **fields: Any) -> None:
    store.insert_events([told(now, at_s, event, **fields)], now + timedelta(seconds=at_s), "shop")
    store.fold(now)


def test_rows_of_what_closed_are_merged_away_once_they_are_many(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "SPARE", 0)
    for name in ("a", "b", "c"):
        tell(store, now, 0, "step.started", execution_id=name, step="charge")
    store.tidy(now, DAY_S)
    assert rows_of(store, "open_attempt") == 3
    for name in ("a", "b"):
        tell(store, now, 1, "workflow.completed", execution_id=name)
    store.tidy(now, DAY_S)
    for table in ("open_attempt", "open_execution"):
        assert store.select(f"SELECT execution_id FROM {table}") == [{"execution_id": "c"}]


def test_what_was_folded_before_the_hours_kept_is_no_longer_recent(
    store: Store, now: datetime
) -> None:
    tell(store, now, 0, "step.completed", step="charge")
    later = now + timedelta(hours=3)
    tell(store, later, 0, "step.completed", execution_id="o-2", step="charge")
    store.tidy(later, 3600.0)
    for table in ("recent_attempt", "recent_execution"):
        assert store.select(f"SELECT execution_id FROM {table} FINAL") == [{"execution_id": "o-2"}]
    assert rows_of(store, "attempt_fold") == 2


def test_keys_of_effects_lead_to_executions_and_are_forgotten_with_them(
    store: Store, now: datetime
) -> None:
    for name in ("o-1", "o-2"):
        tell(store, now, 0, "step.started", execution_id=name, step="pay", idempotency_key="k")
    assert rows_of(store, "idempotency_key") == 2
    store.forget("o-1")
    for table in ("idempotency_key", "open_attempt", "recent_attempt", "recent_execution"):
        assert rows_of(store, table) == 1
