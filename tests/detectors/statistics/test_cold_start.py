import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.cold_start import archetypes, cold_start_tau, donor_table
from tests.detectors.statistics.shapes import NAMES, sample, sf

# From an independent, dense implementation of the same model, samples of seed 7.
GOLDEN = [
    ("lognormal", 1, 0.001, 117.8779724),
    ("lognormal", 5, 0.0001, 3616.155151),
    ("lognormal", 30, 0.001, 29.39323298),
    ("lognormal", 99, 1e-05, 64.35802522),
    ("lognormal", 99, 0.05, 14.98482775),
    ("exponential", 1, 0.001, 1267.830326),
    ("exponential", 5, 0.0001, 1513.334435),
    ("exponential", 30, 0.001, 19.06243014),
    ("exponential", 99, 1e-05, 29.19916511),
    ("exponential", 99, 0.05, 13.10452928),
    ("pareto", 1, 0.001, 1783.774408),
    ("pareto", 5, 0.0001, 1740.367248),
    ("pareto", 30, 0.001, 36.03798436),
    ("pareto", 99, 1e-05, 235.321618),
    ("pareto", 99, 0.05, 52.94636932),
]


@pytest.mark.parametrize(("name", "n", "alpha", "expected_s"), GOLDEN)
def test_agrees_with_the_reference(name: str, n: int, alpha: float, expected_s: float) -> None:
    assert cold_start_tau(sample(name, n, seed=7), alpha) == pytest.approx(expected_s, rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [5, 30, 99])
def test_realised_false_alarms_stay_within_the_budget(name: str, n: int) -> None:
    alpha = 1e-3
    thresholds = [cold_start_tau(sample(name, n, seed), alpha) for seed in range(100)]
    assert np.mean([sf(name, threshold) for threshold in thresholds]) / alpha < 2.0


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=99), st.sampled_from([1e-6, 1e-4, 1e-2]))
@settings(deadline=None)
def test_what_healthy_attempts_took_is_never_a_stall(durations: list[float], alpha: float) -> None:
    assert cold_start_tau(np.array(durations), alpha) > max(durations)


def test_an_exceeded_threshold_becomes_twice_the_longest() -> None:
    assert cold_start_tau(np.array([1.0] * 30 + [5000.0]), 0.05) == 10_000.0


def test_units_do_not_matter() -> None:
    durations = sample("lognormal", 20, seed=3)
    expected = pytest.approx(60 * cold_start_tau(durations, 1e-4))
    assert cold_start_tau(durations * 60, 1e-4) == expected


def test_donors_are_survival_functions_relative_to_their_medians() -> None:
    donors = donor_table()
    assert len(donors.survival) == len(archetypes()) == 43
    assert (np.diff(donors.survival, axis=1) <= 1e-15).all()
    median = 50  # the lattice begins 25 steps of 2 points before ln(T / median) = 0
    assert donors.survival[:, median] == pytest.approx(0.5)


def test_no_durations_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        cold_start_tau(np.array([]), 0.01)
