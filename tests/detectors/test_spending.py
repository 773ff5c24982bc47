"""The budget: how it is split, and what became of it."""

from datetime import timedelta

import pytest

from detectors.budget import HELD_TO, PARTS, part_name, part_of, share
from detectors.spending import Spending, spending
from stallwatch.config import load_detectors
from stallwatch.model.findings import DETECTOR_IDS
from stallwatch.store.labels import Label, Verdict
from tests.detectors.support import NOW

CONFIG = load_detectors({"false_alarms_per_week": 2.0}, "test")


def label(detector: str = "stalled_step", days: float = 1, **known: object) -> Label:
    first_seen = NOW - timedelta(days=days)
    fields: dict[str, object] = dict.fromkeys(("namespace", "engine", "workflow", "step"), "x")
    fields |= {"first_seen": first_seen, "changed_at": first_seen, "fingerprint": "f", **known}
    return Label(detector=detector, **fields)  # type: ignore[arg-type]


def of(rows: list[Spending], detector: str) -> Spending:
    (row,) = [one for one in rows if one.detector == detector]
    return row


def test_the_whole_budget_is_given_away_and_no_more() -> None:
    assert sum(PARTS.values()) == pytest.approx(1.0)
    assert {*PARTS, *HELD_TO, *HELD_TO.values()} <= set(DETECTOR_IDS)
    stalls = share(CONFIG, "stalled_step") + share(CONFIG, "telemetry_silence")
    bursts = sum(share(CONFIG, name) for name in ("error_burst", "timeout_burst", "throttled"))
    assert [stalls, share(CONFIG, "dead_queue"), share(CONFIG, "retry_storm"), bursts] == (
        pytest.approx([0.8, 0.4, 0.4, 0.4])
    )
    assert part_of(1.0, "overdue_execution") == part_of(1.0, "stalled_step")
    assert part_name("event_gap") is None
    with pytest.raises(KeyError):
        share(CONFIG, "event_gap")


def test_each_false_alarm_is_counted_once_and_by_its_road() -> None:
    known = [
        label(completed_late=3),
        label(completed_late=1, verdict=Verdict.FALSE_ALARM),
        label(completed_late=4, verdict=Verdict.REAL),
        label("overdue_execution", verdict=Verdict.FALSE_ALARM),
        label(days=8, completed_late=1),
        label(days=29, completed_late=1),
    ]
    stalls = of(spending(CONFIG, known, {}, NOW), "stalled_step")
    assert stalls.allowed_per_week == pytest.approx(0.72)
    assert (stalls.false_alarms_7d, stalls.from_late_completions_7d, stalls.from_feedback_7d) == (
        3, 1, 2,
    )  # fmt: skip
    assert (stalls.false_alarms_28d, stalls.from_late_completions_28d) == (4, 2)
    assert stalls.completed_late_28d == 9
    assert "overdue_execution" in stalls.shared_with


def test_rules_have_no_budget_and_may_be_wrong() -> None:
    known = [
        label("event_gap", verdict=Verdict.FALSE_ALARM),
        label("retries_exhausted", verdict=Verdict.REAL),
    ]
    rows = spending(CONFIG, known, {}, NOW)
    assert [one.detector for one in rows] == [*PARTS, "event_gap"]
    assert (of(rows, "event_gap").allowed_per_week, of(rows, "event_gap").false_alarms_7d) == (
        None,
        1,
    )


def test_what_the_floor_costs_is_shown() -> None:
    rows = spending(CONFIG, [], {"stalled_step": 3.0, "telemetry_silence": 0.01}, NOW)
    assert of(rows, "stalled_step").overspend_per_week == pytest.approx(3.0 - 0.72)
    assert of(rows, "telemetry_silence").overspend_per_week == 0.0
    assert of(rows, "dead_queue").overspend_per_week is None
