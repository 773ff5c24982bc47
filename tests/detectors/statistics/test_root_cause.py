"""Which of the things that are called makes its callers try again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.root_cause import Z_MAX, Z_MIN, excess, likeliest, stouffer


def test_a_busy_caller_with_a_trouble_of_its_own_does_not_point_at_what_it_calls() -> None:
    # By raw counts `busy` would win: 5,000 retries against 40.
    busy = [excess(5000, 100, 1e6), excess(3, 3, 1e6), excess(2, 3, 1e6), excess(4, 3, 1e6)]
    small = [excess(10, 2, 1e6)] * 4
    found = likeliest({"busy": busy, "small": small})
    assert found is not None
    assert found[0] == "small"


def test_nothing_called_is_nobodys_fault() -> None:
    assert likeliest({}) is None
    assert stouffer([]) == 0.0


def test_what_was_never_retried_may_be_once() -> None:
    assert excess(1, 0.0, 1e6) < 4
    assert excess(0, 0.0, 1e6) == pytest.approx(-0.1 / math.sqrt(0.1), abs=1e-3)


def test_bursty_callers_are_believed_less() -> None:
    assert excess(20, 10, 0.5) < excess(20, 10, 1e6)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.5, 1e6))
def test_one_caller_can_neither_acquit_nor_convict(
    count: float, expected: float, dispersion: float
) -> None:
    assert Z_MIN <= excess(count, expected, dispersion) <= Z_MAX


@given(st.lists(st.floats(Z_MIN, Z_MAX), min_size=1, max_size=20))
def test_agreement_counts(scores: list[float]) -> None:
    assert stouffer(scores * 4) == pytest.approx(2 * stouffer(scores))
