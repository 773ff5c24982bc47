import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from detectors.statistics.calibrator import tau
from detectors.statistics.samples import Floats
from detectors.statistics.timeouts import (
    Rung,
    completions_needed,
    healthy_cut,
    ladder,
    quantile_interval,
    recommend,
    upper_q,
)
from tests.detectors.statistics.shapes import NAMES, isf, sample, sf

# From an independent, dense implementation, samples of seed 7.
GOLDEN_UPPER = [
    ("lognormal", 298, 0.99, 12.22375965),
    ("lognormal", 299, 0.99, 11.41782426),
    ("lognormal", 1000, 0.99, 11.41782426),
    ("lognormal", 2994, 0.999, 28.07969726),
    ("lognormal", 2995, 0.999, 33.58855327),
    ("lognormal", 5000, 0.999, 31.91605539),
    ("exponential", 298, 0.99, 5.289858552),
    ("exponential", 299, 0.99, 6.552264642),
    ("exponential", 5000, 0.999, 7.456564127),
    ("pareto", 298, 0.99, 13.96010745),
    ("pareto", 2994, 0.999, 39.12069222),
    ("pareto", 2995, 0.999, 73.53755678),
]
GOLDEN_LADDER = [
    ("lognormal", 0.8, 1.6),
    ("lognormal", 8.0, 16.0),
    ("lognormal", 20.0, 30.0),
    ("lognormal", 60.0, None),
    ("exponential", 4.0, 8.0),
    ("exponential", 8.0, 12.0),
    ("pareto", 8.0, 16.0),
    ("pareto", 20.0, 30.0),
    ("pareto", 60.0, None),
]


@pytest.mark.parametrize(("name", "n", "q", "expected_s"), GOLDEN_UPPER)
def test_upper_limits_agree_with_the_reference(
    name: str, n: int, q: float, expected_s: float
) -> None:
    assert upper_q(sample(name, n, seed=7), q) == pytest.approx(expected_s, rel=1e-4)


@pytest.mark.parametrize(("name", "timeout_s", "expected_s"), GOLDEN_LADDER)
def test_the_ladder_agrees_with_the_reference(
    name: str, timeout_s: float, expected_s: float | None
) -> None:
    ok, timed_out = censored(sample(name, 5000, seed=7), timeout_s)
    rung = ladder(ok, timed_out, timeout_s)
    if expected_s is None:
        assert rung is None
    else:
        assert rung is not None
        assert rung.kind == "raise"
        assert rung.timeout_s == pytest.approx(expected_s)


def censored(durations: Floats, timeout_s: float) -> tuple[Floats, int]:
    """What is seen of durations under a timeout: those completed, and how many were cut off."""
    ok = durations[durations <= timeout_s]
    return ok, len(durations) - len(ok)


def test_so_many_completions_are_needed() -> None:
    assert completions_needed(0.99) == 299
    assert completions_needed(0.999) == 2995


@given(st.integers(1, 4000), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_limits_are_the_binomial_order_statistics(n: int, q: float) -> None:
    ranks = np.arange(1.0, n + 1)
    low, high = quantile_interval(ranks, q)
    if low is not None:
        assert stats.binom.sf(low - 1, n, q) >= 0.95 - 1e-9
    next_rank = 1 if low is None else low + 1
    assert stats.binom.sf(next_rank - 1, n, q) < 0.95 + 1e-9
    k = int(stats.binom.ppf(0.95, n, q))
    if k < n:
        assert high == k + 1
    elif n < 100:
        assert high is None


@pytest.mark.parametrize("name", NAMES)
def test_limits_of_p99_cover(name: str) -> None:
    limits = [quantile_interval(sample(name, 600, seed), 0.99) for seed in range(200)]
    true_p99_s = float(isf(name, 0.01))
    assert np.mean([low is not None and low <= true_p99_s for low, _ in limits]) >= 0.91
    assert np.mean([high is not None and high >= true_p99_s for _, high in limits]) >= 0.91


@pytest.mark.parametrize("name", NAMES)
def test_climbing_the_ladder_ends_at_a_timeout_that_cuts_next_to_nothing(name: str) -> None:
    timeout_s = float(isf(name, 0.1))
    for week in range(12):
        ok, timed_out = censored(sample(name, 5000, seed=week), timeout_s)
        rung = ladder(ok, timed_out, timeout_s)
        if rung is None:
            break
        timeout_s = rung.timeout_s
    assert rung is None
    assert sf(name, timeout_s) <= 0.002


def test_a_healthy_step_is_ok_and_all_its_numbers_are_there() -> None:
    durations = sample("lognormal", 5000, seed=7)
    r = recommend(durations, 0, 60.0)
    assert (r.verdict, r.n, r.censored, r.missing_n) == ("ok", 5000, 0, 0)
    assert (r.p50_s, r.p95_s) == (np.sort(durations)[2499], np.sort(durations)[4749])
    assert r.p99_s is not None
    assert r.p99_low_s is not None
    assert r.p99_high_s is not None
    assert r.p999_s is not None
    assert r.recommended_timeout_s is not None
    assert r.p99_low_s < r.p99_s < r.p99_high_s
    assert r.recommended_timeout_s == upper_q(durations, 0.999)
    assert r.guidance_timeout_s == pytest.approx(r.p99_s * 1.3)
    assert r.buffer == pytest.approx(r.recommended_timeout_s / r.p99_s - 1)
    assert r.p999_s <= r.recommended_timeout_s
    assert r.recommended_cut is not None
    assert r.guidance_cut is not None
    assert r.recommended_cut < r.guidance_cut
    assert r.healthy_cut == 0


def test_too_tight_shows_although_all_that_completed_was_in_time() -> None:
    ok, timed_out = censored(sample("lognormal", 5000, seed=7), 8.0)
    r = recommend(ok, timed_out, 8.0)
    assert r.verdict == "too_tight"
    assert r.healthy_cut == pytest.approx(timed_out / 5000, rel=0.3)
    assert r.recommended_timeout_s == 16.0


def test_a_single_timeout_far_above_the_durations_is_a_hang() -> None:
    r = recommend(sample("exponential", 500, seed=7), 1, 300.0)
    assert r.verdict == "ok"
    assert r.recommended_timeout_s is not None
    assert r.recommended_timeout_s < 30
    assert r.stuck_s_saved == pytest.approx(300 - r.recommended_timeout_s)
    assert r.canary_timeout_s is None


def test_many_timeouts_far_above_the_durations_ask_for_a_canary() -> None:
    r = recommend(sample("exponential", 5000, seed=7), 200, 100.0)
    assert r.canary_timeout_s == 400.0
    assert r.recommended_timeout_s is not None
    assert r.recommended_timeout_s < 100


def test_a_canary_also_where_the_last_rungs_are_thin() -> None:
    ok = np.append(np.linspace(0.1, 1.0, 4000), 5.0)
    assert ladder(ok, 200, 10.0) == Rung("canary", 40.0)


def test_too_loose_needs_many_completions() -> None:
    assert recommend(sample("exponential", 3000, seed=7), 0, 3600.0).verdict == "too_loose"
    assert recommend(sample("exponential", 2999, seed=7), 0, 3600.0).verdict == "ok"


@pytest.mark.parametrize("current_s", [None, 0.0])
def test_no_timeout(current_s: float | None) -> None:
    r = recommend(sample("exponential", 400, seed=7), 0, current_s)
    assert (r.verdict, r.current_timeout_s, r.healthy_cut) == ("no_timeout", None, None)
    assert r.recommended_timeout_s == tau(sample("exponential", 400, seed=7), 0.0005)


def test_too_few_completions_are_said_to_be_too_few() -> None:
    tail = recommend(sample("exponential", 298, seed=7), 0, 5.0)
    assert (tail.verdict, tail.missing_n) == ("inconclusive", 1)
    assert tail.recommended_timeout_s is not None
    few = recommend(sample("exponential", 99, seed=7), 30, 5.0)
    assert (few.verdict, few.missing_n) == ("inconclusive", 200)
    assert few.p99_s is not None
    assert (few.recommended_timeout_s, few.guidance_timeout_s, few.p999_s) == (None, None, None)
    assert (few.p99_high_s, few.buffer, few.stuck_s_saved) == (None, None, None)


def test_no_completions_at_all() -> None:
    r = recommend(np.array([]), 7, 5.0)
    assert (r.verdict, r.n, r.censored, r.p50_s, r.missing_n) == ("inconclusive", 0, 7, None, 299)
    assert (r.p99_low_s, r.p99_high_s) == (None, None)
    assert recommend(np.array([]), 0, None).healthy_cut is None


def test_cuts_count_completed_and_cut_off_attempts() -> None:
    ok = np.arange(1.0, 101.0)
    assert healthy_cut(ok, 0, None, 90.0) == pytest.approx(0.10)
    assert healthy_cut(ok, 10, 100.0, 100.0) == pytest.approx(10 / 110)
    assert healthy_cut(ok, 10, 100.0, 101.0) == 0.0
    assert healthy_cut(np.array([]), 0, None, 1.0) == 0.0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="buffer"):
        recommend(np.ones(5), 0, None, buffer=0.6)
    with pytest.raises(ValueError, match="timed out"):
        recommend(np.ones(5), -1, None)
    with pytest.raises(ValueError, match="finite"):
        recommend(np.array([1.0, np.inf]), 0, None)
