import numpy as np
import pytest

from detectors.statistics.calibrator import model_for, tau
from detectors.statistics.cold_start import cold_start_tau
from detectors.statistics.samples import Floats
from detectors.statistics.threshold import (
    Threshold,
    alpha_for,
    exceeded_share,
    per_week,
    stall_threshold,
    version_threshold,
)
from tests.detectors.statistics.shapes import NAMES, isf, sample, sf

NOTHING: Floats = np.array([])


def durations(n: int) -> Floats:
    return sample("lognormal", n, seed=11)


def test_each_rule_has_its_range() -> None:
    alpha = 1e-2
    rules = {n: stall_threshold(durations(n), alpha).rule for n in (1, 99, 100, 299, 300, 1999)}
    assert rules == {
        1: "cold_start",
        99: "cold_start",
        100: "interpolated",
        299: "interpolated",
        300: "gpd",
        1999: "gpd",
    }
    assert stall_threshold(durations(2000), alpha).rule == "conformal"
    assert stall_threshold(durations(200), 0.1).rule == "conformal"


def test_below_one_expected_exceedance_the_tail_is_taken_at_half_alpha() -> None:
    x = durations(1000)
    assert stall_threshold(x, 1e-4).seconds == tau(x, 5e-5, model_for(1000))
    assert stall_threshold(x, 2e-3).seconds == tau(x, 2e-3, model_for(1000))
    assert stall_threshold(x[:50], 1e-3).seconds == cold_start_tau(x[:50], 5e-4)
    assert stall_threshold(x, 1e-4).alpha == 1e-4


@pytest.mark.parametrize("alpha", [1e-4, 1e-5])
@pytest.mark.parametrize("name", NAMES)
def test_realised_false_alarms_stay_within_one_and_a_half_times_the_budget(
    name: str, alpha: float
) -> None:
    ages = [stall_threshold(sample(name, 1000, seed), alpha).seconds for seed in range(300)]
    realised = np.mean([sf(name, age) for age in ages if age is not None]) / alpha
    assert realised < 1.5
    best_possible_s = float(isf(name, alpha))
    assert np.median([age for age in ages if age is not None]) < 3 * best_possible_s


def test_between_100_and_300_the_neighbours_are_blended() -> None:
    alpha = 1e-3
    x = durations(173)  # √3 · 100: half way on the logarithm
    cold, tail = cold_start_tau(x, alpha / 2), tau(x, alpha / 2)
    blended = stall_threshold(x, alpha).seconds
    assert blended == pytest.approx((cold * tail) ** 0.5, rel=1e-2)
    assert stall_threshold(x[:100], alpha).seconds == pytest.approx(
        cold_start_tau(x[:100], alpha / 2)
    )


def two_modes(n: int, share: float, seed: int) -> Floats:
    """Two seconds, but so many wait for about an hour."""
    random = np.random.RandomState(seed)
    slow = random.random_sample(n) < share
    fast_s = 2 * np.exp(0.5 * random.standard_normal(n))
    return np.asarray(np.where(slow, 3600 * np.exp(random.standard_normal(n)), fast_s))


@pytest.mark.parametrize(("n", "share"), [(300, 0.05), (1000, 0.01), (10_000, 0.001)])
def test_a_few_slow_ones_are_a_sample_of_their_own(n: int, share: float) -> None:
    limits = [stall_threshold(two_modes(n, share, seed), 1e-5) for seed in range(10)]
    assert [limit.rule for limit in limits].count("slow_mode") >= 9
    # A tail model across the gap would say centuries.
    assert np.median([limit.seconds for limit in limits if limit.seconds]) < 30 * 86400
    assert all(limit.seconds is not None and limit.seconds > 3600 for limit in limits)


@pytest.mark.parametrize("name", NAMES)
def test_one_mode_is_not_taken_for_two(name: str) -> None:
    rules = [stall_threshold(sample(name, 400, seed), 1e-5).rule for seed in range(40)]
    assert rules.count("slow_mode") <= 2


def test_without_a_past_only_the_declared_timeout_counts() -> None:
    assert stall_threshold(NOTHING, 1e-3) == Threshold(None, "none", 0, 1e-3)
    assert stall_threshold(NOTHING, 1e-3, ratchet_s=9) == Threshold(None, "none", 0, 1e-3)
    assert stall_threshold(NOTHING, 1e-3, 30, lateness_s=2) == Threshold(32, "declared", 0, 1e-3)
    assert stall_threshold(NOTHING, 1e-3, declared_timeout_s=0).seconds is None


@pytest.mark.parametrize("n", [5, 50, 200, 1000, 3000])
def test_the_declared_timeout_bounds_every_rule(n: int) -> None:
    bound = stall_threshold(durations(n), 1e-2, declared_timeout_s=3.0, lateness_s=0.5)
    assert (bound.seconds, bound.rule, bound.n) == (3.5, "declared", n)
    free = stall_threshold(durations(n), 1e-2)
    assert stall_threshold(durations(n), 1e-2, declared_timeout_s=1e9) == free


def test_the_ratchet_raises_but_not_beyond_the_declared_timeout() -> None:
    learned = stall_threshold(durations(1000), 1e-3)
    assert learned.seconds is not None
    raised = stall_threshold(durations(1000), 1e-3, ratchet_s=learned.seconds * 3)
    assert (raised.seconds, raised.rule) == (learned.seconds * 3, "gpd")
    assert stall_threshold(durations(1000), 1e-3, ratchet_s=0.1) == learned
    assert stall_threshold(durations(1000), 1e-3, 60, ratchet_s=1e6).seconds == 60


@pytest.mark.parametrize(
    ("n", "factor"), [(20, 1.6), (100, 1.3), (500, 1.1), (5000, 1.1), (45, (1.6 * 1.3) ** 0.5)]
)
def test_a_new_version_moves_the_threshold_with_its_median(n: int, factor: float) -> None:
    moved = version_threshold(tau_old_s=60, median_old_s=2, new_durations_s=np.full(n, 4.0))
    assert moved == pytest.approx(60 * 2 * factor, rel=2e-3)


def test_a_version_hardly_seen_gets_eight_times_the_old_threshold() -> None:
    assert version_threshold(60, 2, np.full(19, 4.0)) == 480
    assert version_threshold(60, 2, NOTHING) == 480


def test_what_was_observed_is_extrapolated_to_a_week() -> None:
    assert per_week(10, 86400) == 70
    assert per_week(10, 28 * 86400) == 2.5
    assert per_week(10, 0) == 10


def test_alpha_shares_the_budget_relieves_the_rare_and_is_bounded() -> None:
    assert alpha_for(0.4, 10_000, 10_000) == pytest.approx(4e-5)
    assert alpha_for(0.4, 10_000, 50) == pytest.approx(0.02 / 50)
    assert alpha_for(0.4, 1e9, 1e8) == 1e-6
    assert alpha_for(0.4, 0, 0) == 0.05


def test_exceeded_share_counts_what_had_ended_by_then() -> None:
    assert exceeded_share(np.array([1.0, 2.0, 3.0, 4.0]), 3.5) == 0.75
    assert exceeded_share(NOTHING, 3.5) is None


def test_a_few_odd_ones_do_not_end_all_patience() -> None:
    """Ends that follow at once, and a few that were told late: such a tail has no bound of its own."""
    odd = np.concatenate([np.full(290, 0.001), [3.0, 5.0, 9.0, 14.0, 18.0, 19.0]])
    alpha = 1e-6
    seconds = stall_threshold(odd, alpha).seconds
    assert seconds is not None
    assert 19.0 < seconds <= 19.0 / (len(odd) * alpha)
