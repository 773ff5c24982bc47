"""What the spacing of retries says of the policy behind them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.backoff import (
    Backoff,
    Jitter,
    fano_factor,
    retry_pattern,
)


def delays(base: float, factor: float, jitter: float, n: int = 50) -> dict[int, list[float]]:
    """Delays of attempts 1 to 4, uniform between (1 - jitter) and 1 times the nominal backoff."""
    rng = np.random.RandomState(5)
    return {
        attempt: list(base * factor**attempt * (1 - jitter * rng.random_sample(n)))
        for attempt in range(1, 5)
    }


@pytest.mark.parametrize(
    ("factor", "backoff"),
    [(1.0, Backoff.FIXED), (1.4, Backoff.GROWING), (2.0, Backoff.EXPONENTIAL)],
)
@pytest.mark.parametrize(
    ("spread", "jitter"),
    [(0.0, Jitter.NONE), (0.2, Jitter.WEAK), (0.5, Jitter.EQUAL), (1.0, Jitter.FULL)],
)
def test_backoff_and_jitter_are_recognised(
    factor: float, backoff: Backoff, spread: float, jitter: Jitter
) -> None:
    pattern = retry_pattern(delays(2.0, factor, spread), [0])
    assert (pattern.backoff, pattern.jitter) == (backoff, jitter)


def test_too_little_is_said_to_be_unknown() -> None:
    pattern = retry_pattern({1: [2.0, 2.0], 2: []}, [])
    assert (pattern.backoff, pattern.jitter) == (Backoff.UNKNOWN, Jitter.UNKNOWN)
    assert (pattern.synchronised, pattern.medians_s) == (False, {})


def test_a_few_late_attempts_do_not_bend_the_slope() -> None:
    steady = {2: [1.0] * 50, 3: [1.0] * 50, 4: [60.0]}
    assert retry_pattern(steady, []).backoff is Backoff.FIXED


def test_no_pause_at_all_is_fixed() -> None:
    assert retry_pattern({2: [0.0] * 9, 3: [0.0] * 9}, []).backoff is Backoff.FIXED


def test_retries_in_step_are_told_from_independent_ones() -> None:
    rng = np.random.RandomState(2)
    assert fano_factor(rng.poisson(10.0, 400).astype(float)) == pytest.approx(1.0, abs=0.3)
    in_step = np.zeros(400)
    in_step[::20] = 200
    assert fano_factor(in_step) > 50
    assert retry_pattern(delays(1, 1, 0), in_step).synchronised


@given(
    st.floats(0.01, 100),
    st.floats(1.0, 3.0),
    st.floats(0.001, 1000),
    st.permutations([2, 3, 4, 5]),
)
def test_the_unit_and_the_order_do_not_matter(
    base: float, factor: float, unit: float, order: list[int]
) -> None:
    nominal = delays(base, factor, 0.5)
    shuffled = {number: [unit * one for one in nominal[number - 1]] for number in order}
    whole = retry_pattern({number: nominal[number - 1] for number in sorted(order)}, [])
    scaled = retry_pattern(shuffled, [])
    if min(min(one) for one in shuffled.values()) > 0.001 and min(nominal[1]) > 0.001:
        assert (scaled.backoff, scaled.jitter) == (whole.backoff, whole.jitter)
