import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.remaining import SHARES, whole_s

UNIFORM = tuple(100 * share for share in SHARES)


def test_at_the_beginning_it_is_the_median() -> None:
    assert whole_s(UNIFORM, 0.0) == pytest.approx(50.0)


@given(st.floats(5.0, 97.0))
def test_of_what_lasted_so_long_half_last_half_of_the_rest(elapsed_s: float) -> None:
    assert whole_s(UNIFORM, elapsed_s) == pytest.approx((elapsed_s + 100) / 2)


def test_what_took_hardly_anybody_so_long_has_no_known_end() -> None:
    assert whole_s(UNIFORM, 99.0) is None
    assert whole_s(UNIFORM, 1e9) is None
    assert whole_s((), 1.0) is None


@given(st.floats(0.0, 20.0))
def test_what_has_no_memory_lasts_as_long_again(elapsed_s: float) -> None:
    percentiles = tuple(-10 * np.log(1 - share) for share in SHARES)
    end_s = whole_s(percentiles, elapsed_s)
    assert end_s is not None
    assert end_s - elapsed_s == pytest.approx(10 * np.log(2), rel=0.1)
