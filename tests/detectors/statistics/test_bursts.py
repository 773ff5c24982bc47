"""The statistics of bursts: tails, dispersions, corrections, discoveries."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from detectors.statistics.bursts import (
    DISPERSION_MAX,
    WINDOWS_MIN,
    BurstHabits,
    burst_evidence,
    change_point,
    discoveries,
    dispersion_by_moments,
    learn_correction,
    level_of,
    log_tail,
    rate_of,
    recalibrated,
    widened,
    window_evidence,
    worth_telling,
)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 5_000),
    share=st.floats(0.0, 1.0),
    log_rate=st.floats(-4.0, -0.2),
    log_weight=st.floats(0.4, 4.0),
)
def test_the_tail_is_that_of_the_beta_binomial(
    n: int, share: float, log_rate: float, log_weight: float
) -> None:
    p, weight = 10**log_rate, 10**log_weight
    errors = round(n * (p + share * (1 - p)))
    a, b = p * weight, (1 - p) * weight
    masses = stats.betabinom.logpmf(np.arange(errors, n + 1), n, a, b)
    told = log_tail(np.array([errors]), np.array([n]), np.array([a]), np.array([b]))
    assert told[0] == pytest.approx(min(special.logsumexp(masses), 0.0), abs=0.03)


def test_far_tails_keep_their_digits() -> None:
    (told,) = log_tail(np.array([60.0]), np.array([60.0]), np.array([5.0]), np.array([495.0]))
    assert -230 < told < -100


def test_evidence_is_as_rare_as_it_says() -> None:
    """Of windows drawn from the model, no more than e^-5 have evidence beyond 5; and not many fewer."""
    random = np.random.default_rng(3)
    size, p, rho = 200_000, 0.05, 0.02
    weight = 1 / (rho + 1 / 1e6) - 1
    rates = random.beta(p * weight, (1 - p) * weight, size)
    attempts = np.full(size, 200.0)
    errors = random.binomial(200, rates).astype(float)
    evidence = window_evidence(
        errors, attempts, np.full(size, p), np.full(size, 1e6), np.full(size, rho)
    )
    assert 0.6 * np.exp(-5) < (evidence > 5).mean() < 1.1 * np.exp(-5)


def sums(errors: Any, attempts: Any) -> list[Any]:
    e, n = np.asarray(errors, dtype=float), np.asarray(attempts, dtype=float)
    columns = (e, n, n * n, n * (n - 1), e * n, e * e)
    return [np.array([one.sum()]) for one in columns]


@pytest.mark.parametrize("rho", [0.0, 0.01, 0.1])
def test_the_dispersion_is_found_again(rho: float) -> None:
    random = np.random.default_rng(4)
    attempts = random.poisson(100, 5000)
    weight = 1 / max(rho, 1e-9) - 1
    rates = random.beta(0.1 * weight, 0.9 * weight, 5000)
    (found,) = dispersion_by_moments(*sums(random.binomial(attempts, rates), attempts))
    assert found == pytest.approx(rho, abs=0.002 + 0.1 * rho)


def test_a_dispersion_is_known_the_worse_the_fewer_windows_taught_it() -> None:
    wide = widened(np.array([0.01, 0.01, 0.2]), np.array([2.0, 800.0, 2.0]))
    assert wide == pytest.approx([0.03, 0.011, DISPERSION_MAX])


def test_none_in_a_hundred_is_not_never() -> None:
    assert 0 < rate_of(np.array([0.0]), np.array([100.0]))[0] < 0.01


def windows(*minutes: tuple[float, float]) -> tuple[Any, Any]:
    """(errors, attempts) of the windows of one thing, the shortest first."""
    assert len(minutes) == len(WINDOWS_MIN)
    e, n = np.array([minutes], dtype=float).transpose(2, 0, 1)
    return e, n


def test_few_errors_and_small_rises_are_not_worth_telling() -> None:
    rate = np.array([0.02])
    assert worth_telling(*windows((3, 10), (3, 20), (3, 50), (3, 150), (3, 600)), rate)[0, 0]
    assert not worth_telling(*windows((2, 10), (2, 20), (2, 50), (2, 150), (2, 600)), rate).any()
    # 4 % are no more than twice 2 %.
    assert not worth_telling(
        *windows((4, 100), (8, 200), (20, 500), (60, 1500), (240, 6000)), rate
    ).any()
    # With next to no errors as a rule a percentage point more is the least.
    assert not worth_telling(
        *windows((9, 1000), (18, 2000), (45, 5000), (135, 15000), (540, 60000)), np.array([1e-4])
    ).any()


def test_a_long_window_full_of_what_is_over_is_not_told() -> None:
    rate = np.array([0.02])
    going_on = windows((30, 60), (60, 120), (150, 300), (300, 900), (340, 3600))
    assert worth_telling(*going_on, rate).all()
    # Twenty minutes later errors are as usual: a last minute with two of sixty is nothing.
    over = windows((2, 60), (3, 120), (6, 300), (20, 900), (340, 3600))
    assert not worth_telling(*over, rate).any()
    # Nor is one without any.
    quiet = windows((0, 6), (0, 12), (1, 30), (20, 90), (40, 360))
    assert not worth_telling(*quiet, rate).any()


def test_evidence_beyond_common_is_shrunk_to_what_the_past_had() -> None:
    told = recalibrated(np.array([2.0, 3.0, 13.0]), np.array([2.0] * 3), np.array([1.0] * 3))
    assert told == pytest.approx([2.0, 3.0, 3 + 5 - 1])


def test_the_correction_is_what_the_past_exceeded() -> None:
    counts, excesses = np.array([0.0, 500.0, 500.0]), np.array([0.0, 500.0, 2000.0])
    windows = np.array([1000.0, 10_000.0, 1000.0])
    stretch, surplus = learn_correction(counts, excesses, np.zeros(3), windows)
    # The fleet has 2500 in the 1050 windows that may have some; nothing seen is a little less than that.
    fleet = 2500 / 1050
    assert stretch[0] == pytest.approx(1.1 * max(10 * fleet / 60, 1))
    assert stretch[1] == pytest.approx(1.1 * (500 + 10 * fleet) / 510)
    assert stretch[2] == pytest.approx(1.1 * (2000 + 10 * fleet) / 510)
    # One window in twenty is usual, one in two is ten times that.
    assert surplus == pytest.approx([0.0, 0.0, np.log(10)])


def test_two_rare_spikes_are_a_habit_one_is_not() -> None:
    windows, counts, excesses = np.full(2, 1440.0), np.array([2.0, 1.0]), np.array([60.0, 30.0])
    stretch, surplus = learn_correction(counts, excesses, np.array([30.0, 0.0]), windows)
    assert stretch == pytest.approx([1.1 * 30 / np.log(36), 1.1])
    assert surplus.tolist() == [0.0, 0.0]


def test_evidence_that_comes_in_large_steps_is_not_too_much() -> None:
    """Three errors among a few attempts are rare, and what they say is true."""
    stretch, _ = learn_correction(
        np.array([2.0]), np.array([6.0]), np.array([2.5]), np.array([1440.0])
    )
    assert stretch == pytest.approx([1.1])


def test_discoveries_follow_benjamini_and_hochberg() -> None:
    p = np.array([0.001, 0.008, 0.039, 0.041, 0.6])
    found = discoveries(-np.log(p), 5, 0.05)
    assert found.tolist() == [True, True, False, False, False]
    # The fourth passes and takes the third along.
    q = np.array([0.001, 0.02, 0.039, 0.039, 0.6])
    assert discoveries(-np.log(q), 5, 0.05).tolist() == [True, True, True, True, False]
    # Twenty thousand that are not listed count.
    assert not discoveries(-np.log(p), 20_000, 0.05).any()
    assert discoveries(np.empty(0), 10, 0.05).tolist() == []


def habits(rate: float, known: float = 5000.0, rho: float = 0.0) -> BurstHabits:
    shape = (1, len(WINDOWS_MIN))
    return BurstHabits(
        np.array([rate]), np.array([known]), np.full(shape, rho), np.ones(shape), np.zeros(shape)
    )


def test_half_of_ten_errors_is_a_discovery_among_two_thousand_steps() -> None:
    half = windows((6, 10), (6, 20), (6, 40), (6, 140), (6, 590))
    evidence = burst_evidence(*half, habits(0.002))
    assert discoveries(evidence, 2000, level_of(0.1)).all()
    # Not where a step's rate wavers, or is hardly known.
    for unsure in (habits(0.002, rho=0.2), habits(0.002, known=50.0)):
        assert burst_evidence(*half, unsure) < evidence
        assert not discoveries(burst_evidence(*half, unsure), 2000, level_of(0.1)).any()


def test_few_attempts_are_judged_by_two_minutes_where_one_has_too_few_errors() -> None:
    """Five of ten in two minutes: the minute has two, and five minutes are mostly of before."""
    told = windows((2, 5), (5, 10), (5, 25), (5, 75), (5, 300))
    assert discoveries(burst_evidence(*told, habits(0.01)), 1, level_of(0.1)).all()
    without = windows((2, 5), (2, 10), (5, 25), (5, 75), (5, 300))
    assert not discoveries(burst_evidence(*without, habits(0.01)), 1, level_of(0.1)).any()


def test_a_burst_began_where_errors_became_likelier() -> None:
    attempts = np.full(100, 10.0)
    errors = np.zeros(100)
    errors[[5, 30]] = 1
    errors[70:] = 5
    assert change_point(errors, attempts, 0.01) == 70
