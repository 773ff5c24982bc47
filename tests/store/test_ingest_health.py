"""What `ingest_health` says of a sender: how late it is, and how far its clock is off."""

from datetime import datetime, timedelta

import pytest

from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from stallwatch.store.sender_state import write_spool_bytes


def beat(store: Store, received_at: datetime, lag_s: float, sender: str = "sdk") -> None:
    """One event of `sender` that its clock dates `lag_s` before it was received here."""
    when = received_at - timedelta(seconds=lag_s)
    fields = {"event": "workflow.started", "workflow": "order", "execution_id": "o-1"}
    event = event_from_dict({**fields, "time": when.isoformat()}, received_at)
    store.insert_events([event], received_at, sender)


def health(store: Store, sender: str = "sdk") -> dict[str, float]:
    query = "SELECT lag_s, skew_s, accepted, rejected FROM ingest_health WHERE sender = {s:String}"
    [row] = store.select(query, {"s": sender})
    return row


@pytest.mark.parametrize("ahead_s", [45.0, -45.0, 0.0])
def test_skew_is_told_by_the_most_punctual_delivery(
    store: Store, now: datetime, ahead_s: float
) -> None:
    """Deliveries take from 0.2 s to half a minute; the clock is off by the same time in all."""
    for minute, takes_s in enumerate((5.0, 0.2, 30.0)):
        beat(store, now + timedelta(minutes=minute), takes_s - ahead_s)
    seen = health(store)
    assert seen["skew_s"] == pytest.approx(ahead_s - 0.2)
    assert seen["lag_s"] == pytest.approx(30.0 - ahead_s)


def test_a_clock_that_was_set_right_is_believed_in_time(store: Store, now: datetime) -> None:
    for hour in range(5):
        beat(store, now + timedelta(hours=hour), -600.0 if hour < 2 else 0.5)
    assert health(store)["skew_s"] == pytest.approx(-0.5)


def test_history_says_nothing_of_a_clock(store: Store, now: datetime) -> None:
    beat(store, now, 3 * 86_400.0, sender="import")
    beat(store, now, 2.0)
    assert health(store, "import")["skew_s"] == 0
    assert health(store)["skew_s"] == pytest.approx(-2.0)


def test_what_went_back_is_not_a_delivery(store: Store, now: datetime) -> None:
    beat(store, now, 2.0)
    store.note_rejected("sdk", "default", now + timedelta(hours=1), 7)
    seen = health(store)
    assert (seen["lag_s"], seen["rejected"]) == (2.0, 7)
    assert seen["skew_s"] == pytest.approx(-2.0)


def test_what_waits_on_a_collectors_disk_is_shown(store: Store, now: datetime) -> None:
    beat(store, now, 2.0)
    for size_bytes in (5000, 700):
        now += timedelta(seconds=10)
        write_spool_bytes(store.engine, {("sdk", "default"): size_bytes}, now)
    rows = store.select("SELECT sender, spool_bytes FROM ingest_health")
    assert rows == [{"sender": "sdk", "spool_bytes": 700}]
