"""Timeouts over the weeks, and what they cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.steadiness import Week, change_of, spread_of, steady_s
from detectors.statistics.timeouts import recommend, upper_q
from detectors.statistics.trade_off import cheapest_s, trade_off

weekly = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=12)


def test_the_first_week_stands_for_itself() -> None:
    assert steady_s([7.3]) == 7.3


def test_median_of_four_weeks_and_a_deviation_over_eight() -> None:
    uppers = [1, 1, 1, 1, 1, 1, 1, 1, np.e, np.e, np.e, 1.0]
    # Of the last eight: five ones and three e; of the last four: three e and a one.
    spread = np.std([0, 0, 0, 0, 1, 1, 1, 0], ddof=1)
    assert steady_s(uppers) == pytest.approx(np.exp(1 + spread))


@given(weekly, st.floats(0.1, 10))
def test_in_other_units_it_is_the_same(uppers: list[float], factor: float) -> None:
    assert steady_s([factor * one for one in uppers]) == pytest.approx(factor * steady_s(uppers))


@given(weekly)
def test_never_below_the_middle_of_the_last_weeks(uppers: list[float]) -> None:
    assert steady_s(uppers) >= np.exp(np.median(np.log(uppers[-4:]))) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("current_s", "recommended_s", "earlier", "cut", "change"),
    [
        (None, 10, [], 0.0, "due"),
        (10, 12.4, [], 0.0, "keep"),
        (10, 12.6, [], 0.0, "due"),
        (10, 12.6, [12.0], 0.0, "wait"),
        (10, 12.6, [12.0, 12.6], 0.0, "due"),
        (10, 12.6, [6.0], 0.0, "wait"),
        (10, 6.7, [], 0.0, "keep"),
        (10, 6.6, [6.6], 0.0, "due"),
        (10, 6.6, [7.0], 0.0, "wait"),
        (10, 10, [10], 0.006, "at_once"),
        (10, 10, [10], 0.005, "keep"),
    ],
)
def test_a_timeout_changes_when_it_is_worth_it(
    current_s: float | None, recommended_s: float, earlier: list[float], cut: float, change: str
) -> None:
    weeks = [Week(8.0, one) for one in earlier]
    assert change_of(current_s, recommended_s, 8.0, weeks, cut) == change


def test_the_spread_is_that_of_chance_and_hardly_sees_a_shift() -> None:
    random = np.random.default_rng(4)
    weeks = np.exp(random.normal(3, 0.4, (2000, 8)))
    assert np.mean([spread_of(list(one)) for one in weeks]) == pytest.approx(0.4, rel=0.03)
    assert spread_of([5.0]) == 0.0
    shifted = [5.0] * 4 + [10.0] * 4
    assert spread_of(shifted) < np.log(2) / 7
    assert np.std(np.log(shifted), ddof=1) > 3 * spread_of(shifted)


@pytest.mark.parametrize(
    ("recommended_s", "change"), [(16, "keep"), (18, "due"), (5.7, "keep"), (4.7, "due")]
)
def test_where_weeks_differ_a_timeout_is_changed_for_more_than_that(
    recommended_s: float, change: str
) -> None:
    # By 0.5 in ln from week to week: a spread of 0.44, so up to 1.74 times as long or half as long is kept.
    weeks = [Week(8.0 * np.exp(0.5 * (week % 2)), recommended_s) for week in range(7)]
    assert change_of(10, recommended_s, 8.0 * np.exp(0.5), weeks, 0.0) == change
    assert change_of(10, recommended_s, 8.0, [Week(8.0, recommended_s)] * 7, 0.0) == "due"
    assert change_of(10, recommended_s, 8.0 * np.exp(0.5), weeks, 0.006) == "at_once"


def test_few_durations_a_week_are_no_reason_to_change_and_a_shift_is() -> None:
    """500 a week of a power law, for two years, and then three times as long."""
    random = np.random.default_rng(11)
    earlier: list[Week] = []
    current_s = None
    changes: list[int] = []
    for week in range(120):
        durations = (3.0 if week >= 112 else 1.0) * (1 + random.pareto(2, 500))
        cut = 0 if current_s is None else int((durations > current_s).sum())
        completed = durations if current_s is None else durations[durations <= current_s]
        advice = recommend(completed, cut, current_s, earlier=earlier[-7:])
        assert advice.weekly_upper_s is not None
        assert advice.recommended_timeout_s is not None
        earlier.append(Week(advice.weekly_upper_s, advice.recommended_timeout_s))
        if advice.change in ("at_once", "due"):
            current_s = advice.recommended_timeout_s
            changes.append(week)
    assert len([week for week in changes if 8 <= week < 112]) <= 8
    assert any(week >= 112 for week in changes)


def test_a_quiet_week_lowers_the_recommendation_little() -> None:
    durations = np.random.default_rng(4).lognormal(0, 0.5, 4000)
    alone = recommend(durations, 0, 6.0)
    with_past = recommend(durations, 0, 6.0, earlier=[Week(8.0, 8.0)] * 7)
    assert alone.recommended_timeout_s == alone.weekly_upper_s == upper_q(durations, 0.999)
    assert with_past.weekly_upper_s == alone.weekly_upper_s
    assert with_past.recommended_timeout_s is not None
    assert with_past.recommended_timeout_s > 8.0
    assert with_past.change == "due"


def test_too_little_data_asks_for_no_change() -> None:
    assert recommend(np.ones(298), 0, 60.0).change is None
    assert recommend(np.ones(299), 0, 60.0).change == "due"


def test_what_is_stuck_costs_the_timeout_and_what_is_cut_costs_twice() -> None:
    durations = np.array([1.0, 1.0, 1.0, 3.0])
    curve = dict(trade_off(durations, stuck_share=0.2, penalty_s=0.5, points=2))
    # At 1 s a quarter is cut, each wasting 1 s and taking 1.5 s and the penalty again; at 12 s none.
    assert curve[1.0] == pytest.approx(0.2 * 1 + 0.8 * 0.25 * (1 + 1.5 + 0.5))
    assert curve[12.0] == pytest.approx(0.2 * 12)


def test_the_more_hangs_the_shorter_the_cheapest_timeout() -> None:
    durations = np.random.default_rng(4).lognormal(0, 1, 5000)
    cheapest = [cheapest_s(trade_off(durations, share)) or 0.0 for share in (0.0001, 0.01, 0.3)]
    assert cheapest == sorted(cheapest, reverse=True)
    assert cheapest[0] > 2 * cheapest[-1]


def test_without_durations_there_is_no_curve_and_a_share_is_a_share() -> None:
    assert trade_off(np.array([]), 0.1) == ()
    assert cheapest_s(()) is None
    with pytest.raises(ValueError, match="share"):
        trade_off(np.ones(3), 1.2)
