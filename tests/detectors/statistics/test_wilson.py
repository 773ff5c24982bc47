"""Wilson's interval against values that can be looked up, and its limits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.wilson import wilson_lower, wilson_upper


def test_known_values() -> None:
    # 8 of 10 at 95 % (two-sided): 0.490 to 0.943.
    assert wilson_lower(8, 10, 1.96) == pytest.approx(0.4902, abs=1e-4)
    assert wilson_upper(8, 10, 1.96) == pytest.approx(0.9433, abs=1e-4)
    assert wilson_lower(20, 20) >= 0.9 > wilson_lower(19, 20)
    assert (wilson_lower(0, 0), wilson_upper(0, 0)) == (0.0, 1.0)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_it_holds_the_share(n: int, share: float) -> None:
    k = round(share * n)
    low, high = wilson_lower(k, n), wilson_upper(k, n)
    assert 0 <= low <= k / n + 1e-12
    assert k / n - 1e-12 <= high <= 1
