import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.correlation import correlation_factor
from detectors.statistics.samples import Floats

ALPHA = 1e-4


def executions(
    seed: int, count: int, runs: int, between: float, inside: float = 0.3
) -> list[Floats]:
    """Lognormal durations of several runs in each execution; `between` executions they differ so much."""
    random = np.random.RandomState(seed)
    logs = between * random.standard_normal((count, 1)) + inside * random.standard_normal(
        (count, runs)
    )
    return list(np.exp(logs))


@pytest.mark.parametrize("seed", range(10))
def test_durations_that_have_nothing_to_do_with_their_executions_need_no_help(seed: int) -> None:
    assert correlation_factor(executions(seed, 20, 30, between=0.0), ALPHA) == 1.0


@pytest.mark.parametrize("seed", range(10))
def test_executions_of_different_sizes_ask_for_patience(seed: int) -> None:
    assert 1.1 < correlation_factor(executions(seed, 10, 30, between=0.6), ALPHA) < 10


def test_many_executions_need_no_help() -> None:
    assert correlation_factor(executions(1, 301, 5, between=0.6), ALPHA) == 1.0
    assert correlation_factor(executions(1, 200, 5, between=0.6), ALPHA) > 1.0
    # A hundred that are a little alike are worth more than a hundred independent durations.
    assert correlation_factor(executions(1, 90, 10, between=0.1), ALPHA) == 1.0


def test_a_few_executions_can_tell_nothing() -> None:
    assert correlation_factor(executions(1, 3, 100, between=1.0), ALPHA) == 1.0
    assert correlation_factor([], ALPHA) == 1.0
    assert correlation_factor([np.array([1.0])] * 50, ALPHA) == 1.0
    assert correlation_factor([np.full(10, 2.0)] * 50, ALPHA) == 1.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.floats(0.01, 100))
def test_units_do_not_matter(seed: int, unit: float) -> None:
    groups = executions(seed, 6, 20, between=0.6)
    moved = [1 + unit * group for group in groups]
    assert correlation_factor(moved, ALPHA) >= 1.0
    same = correlation_factor([1000 * group for group in groups], ALPHA)
    assert same == pytest.approx(correlation_factor(groups, ALPHA))
