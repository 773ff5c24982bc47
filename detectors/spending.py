"""What became of the budget: the false alarms that are known of, beside those that are allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from detectors.budget import HELD_TO, PARTS, part_name, share
from stallwatch.config import DetectorsConfig
from stallwatch.store.labels import Label

WEEK: Final = timedelta(days=7)
MONTH: Final = timedelta(days=28)


@dataclass(frozen=True, kw_only=True)
class Spending:
    """One part of the budget. False alarms are counted by finding: however many attempts one was wrong about, it was
    told once. Each is known either from what somebody said or from late completions."""

    detector: str
    shared_with: list[str]
    """Detectors that are held to the same part."""
    allowed_per_week: float | None
    """None: this detector follows a rule and has no part of the budget."""
    false_alarms_7d: int
    from_late_completions_7d: int
    from_feedback_7d: int
    false_alarms_28d: int
    from_late_completions_28d: int
    from_feedback_28d: int
    completed_late_28d: int
    """Attempts that were called late in the last 28 days and completed."""
    expected_per_week: float | None
    """What the thresholds lead one to expect; None where that cannot be told."""
    overspend_per_week: float | None
    """By how much that is more than allowed: a probability has a floor, and rare steps have a relief."""


def spending(
    config: DetectorsConfig, labels: Iterable[Label], expected: Mapping[str, float], now: datetime
) -> list[Spending]:
    """Every part of the budget, then the detectors without one that were wrong in the last 28 days.

    `expected`: false alarms a week by detector.
    """
    known = [one for one in labels if one.first_seen > now - MONTH]
    wrong = {one.detector for one in known if one.is_false_alarm}
    ruled = sorted(name for name in wrong if part_name(name) is None)
    found = []
    for name in (*PARTS, *ruled):
        sharing = [other for other, home in HELD_TO.items() if home == name]
        own = [one for one in known if one.detector in (name, *sharing)]
        allowed = share(config, name) if name in PARTS else None
        expects = expected.get(name)
        overspend = (
            max(0.0, expects - allowed) if expects is not None and allowed is not None else None
        )
        found.append(_spending(name, sharing, own, allowed, expects, overspend, now))
    return found


def _spending(
    name: str,
    sharing: list[str],
    labels: list[Label],
    allowed: float | None,
    expects: float | None,
    overspend: float | None,
    now: datetime,
) -> Spending:
    month = [one for one in labels if one.is_false_alarm]
    week = [one for one in month if one.first_seen > now - WEEK]
    said_week = sum(one.verdict is not None for one in week)
    said_month = sum(one.verdict is not None for one in month)
    return Spending(
        detector=name,
        shared_with=sharing,
        allowed_per_week=allowed,
        false_alarms_7d=len(week),
        from_late_completions_7d=len(week) - said_week,
        from_feedback_7d=said_week,
        false_alarms_28d=len(month),
        from_late_completions_28d=len(month) - said_month,
        from_feedback_28d=said_month,
        completed_late_28d=sum(one.completed_late for one in labels),
        expected_per_week=expects,
        overspend_per_week=overspend,
    )
