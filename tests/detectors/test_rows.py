"""What of the past teaches, and how the budget is shared."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from detectors.calibration.rows import ENOUGH, Allowance, Row, by_place, far_enough
from detectors.statistics.threshold import ALPHA_MAX, RARE_STEP_BUDGET

NOW = datetime(2026, 1, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def row(n: int, is_recent: bool, seconds: float = 1.0, **said: Any) -> Row:
    """Durations that ended in the last week, or in the three weeks before it."""
    first_at = NOW - (7 if is_recent else 28) * DAY
    last_at = NOW if is_recent else NOW - 7 * DAY
    return {
        "step": "charge", "n": n, "durations_s": np.full(n, seconds), "longest_live_s": seconds,
        "lateness_s": 0.0, "first_at": first_at, "last_at": last_at, "is_recent": is_recent, **said,
    }  # fmt: skip


def test_where_the_last_week_is_poor_the_weeks_before_teach_as_well() -> None:
    few = far_enough([row(ENOUGH - 1, True), row(500, False, 9.0)])
    assert few is not None
    assert len(few["durations_s"]) == few["n"] == ENOUGH + 499
    assert not few["is_recent"]
    assert (few["first_at"], few["last_at"]) == (NOW - 28 * DAY, NOW)


def test_a_rich_week_stands_for_itself_but_remembers_the_longest() -> None:
    many = far_enough([row(500, False, 9.0), row(ENOUGH, True)])
    assert many is not None
    assert (many["n"], many["is_recent"], many["longest_live_s"]) == (ENOUGH, True, 9.0)
    assert set(many["durations_s"]) == {1.0}


def test_versions_are_together_rich() -> None:
    half = ENOUGH // 2
    every = far_enough([row(half, True), row(half, True, 2.0), row(500, False, 9.0)])
    assert every is not None
    assert (every["n"], every["longest_live_s"]) == (2 * half, 9.0)


def test_what_never_completed_teaches_nothing() -> None:
    open_now = row(0, True, censored=3, censored_s=[5.0, 6.0, 7.0])
    assert far_enough([open_now]) is None
    beside = far_enough([open_now, row(10, False)])
    assert beside is not None
    assert (beside["n"], beside["censored"]) == (10, 3)


def test_rows_of_one_place_stay_together() -> None:
    other = {**row(1, True), "step": "ship"}
    places = by_place([row(1, True), other, row(2, False)], ("step",))
    assert {place: len(rows) for place, rows in places.items()} == {("charge",): 2, ("ship",): 1}


def test_what_came_once_in_the_first_minutes_is_not_rare() -> None:
    once = {**row(1, True), "first_at": NOW - timedelta(minutes=5)}
    once["last_at"] = once["first_at"]
    young = Allowance.of(0.36, [once], NOW)
    a_week = 7 * 24 * 12
    assert young.watched_s == 300
    assert young.fleet == young.rate(once) == pytest.approx(a_week)
    assert young.alpha(once) == pytest.approx(0.36 / a_week)
    old = Allowance.of(0.36, [once, row(5, False)], NOW)
    assert old.rate(once) == pytest.approx(0.25)
    assert old.alpha(once) == ALPHA_MAX


def test_the_fleet_is_counted_over_its_last_week() -> None:
    rows = [row(100, True), row(9_000, False)]
    allowance = Allowance.of(1.0, rows, NOW)
    assert allowance.fleet == pytest.approx(100)
    assert allowance.watched_s == 28 * 86_400
    both = far_enough(rows)
    assert both is not None
    assert allowance.rate(both) == pytest.approx(9_100 / 4)
    # Alone it may have all of the budget, which is a hundredth of an attempt.
    assert allowance.alpha(both) == pytest.approx(max(1 / 100, RARE_STEP_BUDGET / (9_100 / 4)))
    assert allowance.expected(rows) == pytest.approx(1.0)


def test_without_rows_nothing_is_shared() -> None:
    assert Allowance.of(1.0, [], NOW) == Allowance(1.0, 0.0, 0.0)
