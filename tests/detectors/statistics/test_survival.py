import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.survival import (
    bin_mid_s,
    bin_of,
    hist_quantile,
    km_bins,
    km_curve,
    km_quantile,
)


@given(st.floats(1e-3, 1e7))
def test_a_bins_middle_is_within_1_1_percent(seconds: float) -> None:
    middle = float(bin_mid_s(bin_of(np.array([seconds])))[0])
    assert abs(middle / seconds - 1) <= 0.011


def test_bins_are_those_of_the_store() -> None:
    seconds = np.array([0.0, 1e-3, 0.5, 1.0, 1.0219, 2.0, 86400.0])
    assert bin_of(seconds).tolist() == [-319, -319, -32, 0, 1, 32, 524]


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=300), st.floats(0, 1))
def test_a_histogram_quantile_is_within_1_1_percent_of_the_exact_one(
    durations: list[float], q: float
) -> None:
    bins, counts = np.unique(bin_of(np.array(durations)), return_counts=True)
    exact = sorted(durations)[max(math.ceil(len(durations) * q), 1) - 1]
    assert abs(hist_quantile(bins, counts, q) / exact - 1) <= 0.011


def test_bins_may_come_unsorted_and_repeated() -> None:
    assert hist_quantile(np.array([64, 0, 64, 32]), np.array([1, 5, 1, 3]), 0.8) == pytest.approx(
        2 * 2 ** (0.5 / 32)
    )


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_an_empty_histogram_has_no_quantile(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        hist_quantile(np.arange(len(counts)), np.array(counts, dtype=np.int64), 0.5)


def test_kaplan_meier_by_hand() -> None:
    completed = np.array([3, 0, 5, 2, 1])
    censored = np.array([0, 2, 1, 0, 1])
    survival = np.exp(-km_bins(completed, censored))
    at_risk = (15, 12, 10, 4, 2)
    expected = np.cumprod([1 - d / r for d, r in zip(completed, at_risk, strict=True)])
    assert survival == pytest.approx(expected)


def test_hazard_stays_finite_where_everyone_completed() -> None:
    hazard = km_bins(np.array([1, 2]), np.array([0, 0]))
    assert np.isfinite(hazard).all()
    assert hazard[-1] > 10


@given(st.integers(1, 200))
def test_without_censored_ones_survival_counts_who_lasted_longer(n: int) -> None:
    durations = np.arange(1.0, n + 1)
    for censored in (np.array([]), np.array([n + 1.0])):
        others = n + 1 + len(censored)
        expected = (others - 1 - np.arange(n)) / others
        assert km_curve(durations, censored) == pytest.approx(expected)


def test_who_was_last_seen_early_counts_as_one_of_the_others() -> None:
    durations, censored = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5])
    # At risk: 3 + 2 + the one that never ends; after 1.5 and 2 four and so on.
    expected = np.cumprod([1 - 1 / 6, 1 - 1 / 4, 1 - 1 / 2])
    assert km_curve(durations, censored) == pytest.approx(expected)


def test_a_quantile_that_too_many_cut_off_ones_hide_is_not_known() -> None:
    durations = np.arange(1.0, 1001.0)
    assert km_quantile(durations, np.array([]), 0.01) == 991.0
    hangs = np.full(50, 1e6)
    assert km_quantile(durations, hangs, 0.01) is None
    early = km_quantile(durations, np.full(50, 0.5), 0.01)
    assert early == 991.0
