import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.cascades import StepLimits

seconds = st.floats(0.01, 1e5)


def test_attempts_and_pauses_add_up() -> None:
    limits = StepLimits(timeout_s=30, max_attempts=4, backoff_s=2, backoff_rate=3, backoff_max_s=10)
    assert limits.pauses_s == 2 + 6 + 10
    assert limits.longest_s == 4 * 30 + 18


@pytest.mark.parametrize("most", [None, 0, 1, 2**31 - 1])
def test_without_a_limit_one_attempt_is_sure(most: int | None) -> None:
    limits = StepLimits(timeout_s=30, max_attempts=most, backoff_s=5)
    assert limits.longest_s == 30


def test_what_all_attempts_may_take_together_bounds_them() -> None:
    limits = StepLimits(timeout_s=30, max_attempts=4, schedule_to_close_timeout_s=70)
    assert (limits.longest_s, limits.caller_s) == (70, 30)
    assert StepLimits(schedule_to_close_timeout_s=70).longest_s == 70


def test_without_a_timeout_nothing_is_said() -> None:
    limits = StepLimits(max_attempts=3, backoff_s=5)
    assert limits.longest_s is None
    assert limits.caller_s is None


def test_a_rate_to_the_thousandth_power_is_no_overflow() -> None:
    limits = StepLimits(timeout_s=1, max_attempts=1000, backoff_s=1, backoff_rate=10)
    assert limits.pauses_s < 1e12


def test_what_counts_more_is_asked_first() -> None:
    said = StepLimits(timeout_s=5).over(StepLimits(timeout_s=9, max_attempts=3))
    assert said == StepLimits(timeout_s=5, max_attempts=3)


@given(seconds, st.integers(1, 50), seconds, st.floats(1, 4), seconds)
def test_more_attempts_never_take_less(
    timeout_s: float, attempts: int, backoff_s: float, rate: float, most_s: float
) -> None:
    def longest_s(n: int) -> float:
        return StepLimits(timeout_s, None, n, backoff_s, rate, most_s).longest_s or 0.0

    assert longest_s(attempts + 1) >= longest_s(attempts) + timeout_s
    assert longest_s(attempts) <= attempts * timeout_s + (attempts - 1) * most_s + 1e-6
