"""What the fold keeps of a running execution's waits and pauses, held against its attempts."""

from datetime import datetime, timedelta
from typing import Any

from stallwatch.model.events import event_from_dict
from stallwatch.store import Store

KEPT = "SELECT paused_s, pauses, waiting_since, retry_due_at FROM open_execution FINAL"


def folded(store: Store, now: datetime, *said: tuple[float, str, dict[str, Any]]) -> dict[str, Any]:
    events = []
    for at_s, event, fields in said:
        when = now + timedelta(seconds=at_s)
        data = {"workflow": "order", "execution_id": "o-1", **fields, "event": event, "time": when}
        events.append(event_from_dict(data, when))
    store.insert_events(events, now, "shop")
    store.fold(now)
    (row,) = store.select(KEPT)
    return row


def test_pauses_that_were_over_are_a_sum_and_the_one_that_is_on_is_told_apart(
    store: Store, now: datetime
) -> None:
    step = {"step": "charge", "backoff_s": 10.0, "backoff_rate": 2.0, "max_attempts": 5}
    row = folded(
        store,
        now,
        (0, "workflow.started", {}),
        (1, "step.started", {**step, "attempt": 1}),
        (2, "step.failed", {**step, "attempt": 1}),
        (12, "step.started", {**step, "attempt": 2}),
        (13, "step.failed", {**step, "attempt": 2}),
    )
    failed_at = now + timedelta(seconds=13)
    assert row["paused_s"] == 10.0
    assert row["pauses"] == [{"since": failed_at, "seconds": 20.0}]
    assert row["retry_due_at"] == failed_at + timedelta(seconds=20)
    assert row["waiting_since"] is None


def test_the_oldest_wait_that_is_on_is_known(store: Store, now: datetime) -> None:
    row = folded(
        store,
        now,
        (0, "workflow.started", {}),
        (5, "step.waiting", {"step": "approve", "waiting_on": "human"}),
        (9, "step.waiting", {"step": "sign", "waiting_on": "human"}),
    )
    assert row["waiting_since"] == now + timedelta(seconds=5)
    assert (row["paused_s"], row["pauses"], row["retry_due_at"]) == (0.0, [], None)


def test_an_attempt_knows_whether_its_execution_is_suspended(store: Store, now: datetime) -> None:
    folded(
        store,
        now,
        (0, "workflow.started", {}),
        (1, "step.started", {"step": "charge"}),
        (2, "workflow.suspended", {}),
        (5, "workflow.resumed", {}),
        (9, "workflow.suspended", {}),
    )
    sql = "SELECT execution_status, execution_suspended_s FROM open_attempt FINAL"
    assert store.select(sql) == [{"execution_status": "suspended", "execution_suspended_s": 3.0}]
