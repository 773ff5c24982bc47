"""`detect_at`: a moment of the past, judged from what was received before it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from stallwatch.app import history_copy
from stallwatch.app.history_copy import HistoryCopy
from stallwatch.app.replaying import detect_at
from stallwatch.config import DetectorsConfig
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Finding
from stallwatch.store import Store

DAY_S = 86400.0


def tell(store: Store, at: datetime, event: str, late_s: float = 0.0, **said: Any) -> None:
    data = {"event": event, "time": at, "workflow": "order", "execution_id": "o-1", **said}
    received_at = at + timedelta(seconds=late_s)
    store.insert_events([event_from_dict(data, received_at)], received_at, "shop")
    store.fold(received_at)


@pytest.fixture
def hung(store: Store, now: datetime) -> Store:
    """A charge that began at noon with a timeout of a minute, and whose end an hour later was told
    two hours later."""
    tell(store, now, "workflow.started")
    tell(store, now, "step.started", step="charge", timeout_s=60)
    tell(store, now + timedelta(hours=1), "step.completed", late_s=7200, step="charge")
    return store


def found(store: Store, at: datetime, **more: str) -> list[Finding]:
    only = [more["only"]] if "only" in more else None
    later = at + timedelta(hours=6)
    return detect_at(store, at, DetectorsConfig(), only, now=later, retention_s=30 * DAY_S)


def test_only_what_was_received_by_then_is_seen(hung: Store, now: datetime) -> None:
    assert found(hung, now + timedelta(seconds=50)) == []
    (finding,) = found(hung, now + timedelta(hours=2))
    assert (finding.detector, finding.executions) == ("stalled_step", ("o-1",))
    assert finding.first_seen == now + timedelta(hours=1)
    assert found(hung, now + timedelta(hours=4), only="stalled_step") == []


def test_what_is_declared_now_counts(store: Store, now: datetime) -> None:
    tell(store, now, "workflow.started")
    tell(store, now, "step.started", step="charge")
    assert found(store, now + timedelta(hours=2), only="stalled_step") == []
    said = Definition(
        engine="custom", workflow="order", step="charge", source="configuration", timeout_s=60.0
    )
    store.write_definitions([said], now + timedelta(hours=5))
    (finding,) = found(store, now + timedelta(hours=2), only="stalled_step")
    assert finding.evidence["declared_by"] == "configuration"


def test_only_some_detectors(hung: Store, now: datetime) -> None:
    assert found(hung, now + timedelta(hours=2), only="event_gap") == []


def test_nothing_is_written(hung: Store, now: datetime) -> None:
    tables = ("finding_log", "step_event_log", "attempt_fold", "sender_beat")
    counts = [hung.select(f"SELECT count() AS n FROM {table}") for table in tables]
    found(hung, now + timedelta(hours=2))
    assert [hung.select(f"SELECT count() AS n FROM {table}") for table in tables] == counts
    left = hung.select("SELECT name FROM system.databases WHERE name LIKE '%detect%'")
    assert left == []


def test_an_execution_that_has_been_open_for_weeks_is_still_seen(
    hung: Store, now: datetime
) -> None:
    tell(hung, now - timedelta(days=20), "step.started", execution_id="old", step="s", timeout_s=5)
    (finding,) = found(hung, now + timedelta(seconds=30))
    assert finding.executions == ("old",)


def copied(store: Store, first: datetime) -> set[str]:
    """The executions that a copy has, as of when detectors begin."""
    with store.scratch("copied", first) as scratch:
        HistoryCopy(store, scratch, first, first).move_to(first)
        return {
            row["execution_id"] for row in scratch.select("SELECT execution_id FROM executions")
        }


def test_what_is_seldom_seen_is_copied_from_further_back(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_copy, "ENOUGH", 2)
    for workflow, days in [("seldom", (29, 27, 8, 1)), ("busy", (27, 2, 1)), ("over", (20, 19))]:
        for ago in days:
            told: dict[str, Any] = {"workflow": workflow, "execution_id": f"{workflow}-{ago}"}
            tell(store, now - timedelta(days=ago), "workflow.started", **told)
            tell(
                store,
                now - timedelta(days=ago) + timedelta(seconds=1),
                "workflow.completed",
                **told,
            )
    expected = {"seldom-27", "seldom-8", "seldom-1", "busy-2", "busy-1", "over-20", "over-19"}
    assert copied(store, now) == expected


@pytest.mark.parametrize(("offset_s", "reason"), [(-40 * DAY_S, "beyond"), (9.0, "not come yet")])
def test_a_time_that_nothing_is_known_of_is_refused(
    store: Store, now: datetime, offset_s: float, reason: str
) -> None:
    at = now + timedelta(seconds=offset_s)
    with pytest.raises(InputError, match=reason):
        detect_at(store, at, DetectorsConfig(), now=now, retention_s=30 * DAY_S)
