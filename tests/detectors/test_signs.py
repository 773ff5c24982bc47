"""What detectors look for bears a sign, and where no row bears it nothing is selected."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import registry, signs
from detectors.brain import Brain
from detectors.detector import Detector
from detectors.sql import sql_text
from stallwatch.config import load_detectors
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.detectors.support import calibration, tick

STARTED, FAILED = "step.started", "step.failed"


def told(now: datetime, at_s: float, event: str, **fields: Any) -> StepEvent:
    when = now + timedelta(seconds=at_s)
    step = {"step": "charge"} if event.startswith("step.") else {}
    data = {"workflow": "order", "execution_id": "o-1", **step, **fields}
    return event_from_dict({**data, "event": event, "time": when.isoformat()}, when)


def looked(store: Store, now: datetime, *events: StepEvent) -> signs.Signs:
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    return signs.look_for_signs(store, tick(now), calibration(), None)


def borne(found: signs.Signs) -> set[str]:
    assert found.newest is not None
    return {sign for sign, folded in found.newest.items() if folded}


def test_what_goes_well_bears_none(store: Store, now: datetime) -> None:
    whole = [(STARTED, 0), ("step.completed", 1), ("workflow.completed", 2)]
    assert borne(looked(store, now, *(told(now, at_s, event) for event, at_s in whole))) == set()


@pytest.mark.parametrize(
    ("sign", "events"),
    [
        ("failed", [(FAILED, {})]),
        ("given_up", [(FAILED, {})]),
        ("timed_out", [("step.timed_out", {})]),
        ("retried", [(STARTED, {"attempt": 2})]),
        ("again", [(STARTED, {"attempt": 2})]),
        ("again", [(STARTED, {"attempt": 1}), (STARTED, {"attempt": 1})]),
        ("again", [(STARTED, {"idempotency_key": "k"})]),
        ("branched", [(STARTED, {"branch": "a"})]),
        ("execution_failed", [("workflow.failed", {})]),
        ("gap", [(STARTED, {"sequence": 3})]),
    ],
)
def test_each_sign_is_seen(
    store: Store, now: datetime, sign: str, events: list[tuple[str, dict[str, Any]]]
) -> None:
    story = [told(now, at_s, event, **said) for at_s, (event, said) in enumerate(events)]
    assert sign in borne(looked(store, now, *story))


def test_it_counts_since_when_a_statement_looks(store: Store, now: datetime) -> None:
    found = looked(store, now, told(now, 0, FAILED))
    assert found.newest is not None
    folded = found.newest["failed"]
    assert found.may_be(["failed"], {"folded_from": folded})
    assert not found.may_be(["failed"], {"folded_from": folded + 1})
    assert not found.may_be(["retried", "gap"], {"folded_from": folded})
    # Before what was looked at anything may have been.
    assert found.may_be(["gap"], {"folded_from": found.looked_from - 1})


def test_of_too_many_rows_any_may_bear_it(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "ROWS_MOST", 1)
    assert looked(store, now, told(now, 0, STARTED)).may_be(["gap"], {"folded_from": 2**63})


def test_a_branch_that_is_open_since_long_ago_is_seen(store: Store, now: datetime) -> None:
    later = now + 2 * signs.LOOK_BACK
    looked(store, now, told(now, 0, STARTED, branch="a"))
    found = signs.look_for_signs(store, tick(later), calibration(), None)
    assert borne(found) == {"branched"}


def test_what_nothing_bears_a_sign_of_is_not_asked(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    select = store.select

    def noted(sql: str, *more: Any) -> list[dict[str, Any]]:
        asked.append(sql)
        return select(sql, *more)

    brain = Brain(store, State(None), load_detectors({}, "test"), now)
    store.insert_events([told(now, 1, STARTED)], [now], "shop")
    store.fold(now)
    brain.calibrate(now)
    monkeypatch.setattr(store, "select", noted)
    brain.tick(now + timedelta(seconds=5))
    needing = [one for one in registry.DETECTORS if one.needs]
    assert len(needing) > 5
    assert _of(needing, asked) == []
    # It fails again and again, so that whatever looks for failures has something to look at.
    failures = [told(now, 6 + n, FAILED, attempt=n + 1) for n in range(3)]
    store.insert_events(failures, [one.time for one in failures], "shop")
    store.fold(now + timedelta(seconds=10))
    brain.tick(now + timedelta(seconds=10))
    assert {"error_burst", "retry_storm", "retries_exhausted"} <= set(_of(needing, asked))
    assert "event_gap" not in _of(needing, asked)


def _of(detectors: list[Detector], asked: list[str]) -> list[str]:
    return [one.id for one in detectors if one.sql in asked]


def test_what_is_recent_is_read_as_it_is_now(store: Store, now: datetime) -> None:
    """Each attempt and execution once, in its newest version, however often it was folded."""
    for at_s, event in enumerate((STARTED, "step.completed", "workflow.completed")):
        store.insert_events([told(now, at_s, event)], [now], "shop")
        store.fold(now)
    for name in ("attempts_since", "executions_since"):
        rows = store.select(f"SELECT status FROM ({sql_text(name)})", {"folded_from": 0})
        assert rows == [{"status": "completed"}]
