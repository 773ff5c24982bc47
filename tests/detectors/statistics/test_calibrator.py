import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.calibrator import NARROW, WIDE, fit_tail, model_for, tau
from detectors.statistics.samples import Floats
from tests.detectors.statistics.shapes import NAMES, isf, sample, sf

# From an independent, dense implementation of the same model, samples of seed 7.
GOLDEN = [
    ("lognormal", 300, 0.0001, 54.30982905),
    ("lognormal", 1000, 1e-05, 147.0373058),
    ("lognormal", 1000, 0.001, 23.97651429),
    ("lognormal", 5000, 0.01, 9.75636827),
    ("lognormal", 20000, 1e-05, 75.55340573),
    ("exponential", 300, 0.0001, 13.20759103),
    ("exponential", 1000, 1e-05, 27.17384086),
    ("exponential", 1000, 0.001, 8.448298047),
    ("exponential", 5000, 0.01, 4.796462448),
    ("exponential", 20000, 1e-05, 13.08491247),
    ("pareto", 300, 0.0001, 81.77743741),
    ("pareto", 1000, 1e-05, 587.565978),
    ("pareto", 1000, 0.001, 35.32714239),
    ("pareto", 5000, 0.01, 11.00369609),
    ("pareto", 20000, 1e-05, 387.2074765),
]


@pytest.mark.parametrize(("name", "n", "alpha", "expected_s"), GOLDEN)
def test_agrees_with_the_reference(name: str, n: int, alpha: float, expected_s: float) -> None:
    # The reference treats a shape of exactly 0 a little differently: 2e-5 at most.
    assert tau(sample(name, n, seed=7), alpha) == pytest.approx(expected_s, rel=1e-4)


def test_alone_it_overspends_on_power_laws_about_twice() -> None:
    # Known and pinned: this is why thresholds below one expected exceedance are taken at alpha/2.
    thresholds = [tau(sample("pareto", 1000, seed), 1e-4) for seed in range(300)]
    assert 1.5 < np.mean([sf("pareto", threshold) for threshold in thresholds]) / 1e-4 < 2.5


@pytest.mark.parametrize("name", NAMES)
def test_conformal_thresholds_use_the_budget_exactly(name: str) -> None:
    alpha = 0.01
    realised = [sf(name, tau(sample(name, 3000, seed), alpha)) / alpha for seed in range(60)]
    assert np.mean(realised) == pytest.approx(1.0, abs=0.08)


def test_a_conformal_threshold_is_an_order_statistic() -> None:
    durations = np.arange(1.0, 2001.0)
    assert tau(durations, 0.01) == 1981.0  # the 2001 * 0.99 = 1980.99th, rounded up


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000), st.floats(0.01, 100), st.sampled_from(NAMES), st.sampled_from([320, 900])
)
def test_a_smaller_alpha_waits_longer_and_units_do_not_matter(
    seed: int, unit: float, name: str, n: int
) -> None:
    durations = 1 + sample(name, n, seed)
    rare, common = tau(durations, 1e-5), tau(durations, 1e-3)
    assert rare > common > np.median(durations)
    assert tau(durations * unit, 1e-5) == pytest.approx(rare * unit, rel=1e-6)


def test_ties_zeros_and_clock_skew_are_survived() -> None:
    assert tau(np.full(500, 2.0), 1e-5) == pytest.approx(2.0, rel=1e-6)
    assert tau(np.zeros(500), 1e-5) == pytest.approx(1e-3, rel=1e-6)
    assert np.isfinite(tau(np.append(np.full(400, -1.0), np.ones(100)), 1e-5))


def test_the_posterior_is_a_distribution_and_inverts_itself() -> None:
    posterior = fit_tail(np.sort(sample("exponential", 200, seed=1)))
    assert posterior.weight.sum() == pytest.approx(1.0)
    for survival in (0.5, 1e-2, 1e-5):
        assert posterior.survival(posterior.quantile(survival)) == pytest.approx(survival)


@pytest.mark.parametrize(
    ("durations", "alpha"),
    [(np.ones(19), 0.01), (np.array([1.0] * 400 + [np.nan]), 0.01), (np.ones(400), 0.0)],
)
def test_what_cannot_be_judged_is_refused(durations: Floats, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"durations|duration|alpha"):
        tau(durations, alpha)


def test_few_durations_are_fitted_narrowly_and_many_widely() -> None:
    assert [model_for(n) for n in (0, 300, 500)] == [NARROW] * 3
    assert [model_for(n) for n in (1000, 20_000)] == [WIDE] * 2
    half = model_for(700)
    assert NARROW.per_root_n < half.per_root_n < WIDE.per_root_n
    assert NARROW.shape_sd < half.shape_sd < WIDE.shape_sd


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [400, 3000])
def test_attempts_that_hung_for_hours_hardly_move_the_threshold(name: str, n: int) -> None:
    ratios = []
    for seed in range(10):
        durations = sample(name, n, seed)
        hangs = np.linspace(3600.0, 36_000.0, n // 100)
        plain = tau(durations, 1e-5, model_for(n))
        ratios.append(tau(durations, 1e-5, model_for(n), hangs) / plain)
    assert 1.0 < np.median(ratios) < 1.25
    assert max(ratios) < 1.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("survival", [0.1, 0.01])
def test_what_a_timeout_cut_off_says_that_the_tail_goes_on(name: str, survival: float) -> None:
    timeout_s = float(isf(name, survival))
    durations = sample(name, 3000, seed=1)
    ok = durations[durations <= timeout_s]
    blind = tau(ok, 1e-5, WIDE)
    seeing = tau(ok, 1e-5, WIDE, np.full(3000 - len(ok), timeout_s))
    assert seeing > 1.05 * blind
    assert seeing > timeout_s


def test_what_was_cut_off_stretches_the_tail_and_what_hung_does_not() -> None:
    whole = np.sort(sample("exponential", 300, seed=3))
    seen, cut_s = whole[whole < 1.5], 1.5
    blind = fit_tail(seen, WIDE).quantile(0.01)
    told = fit_tail(seen, WIDE, np.full(300 - len(seen), cut_s)).quantile(0.01)
    assert told > 1.2 * blind
    hangs = np.linspace(8.0, 10.0, 3)
    assert fit_tail(whole, WIDE, hangs).quantile(0.01) < 1.2 * fit_tail(whole, WIDE).quantile(0.01)


def test_beside_censored_ones_the_order_statistic_is_kaplan_and_meiers() -> None:
    durations = np.arange(1.0, 4001.0)
    assert tau(durations, 0.01) == tau(durations, 0.01, censored_s=np.zeros(100))
    later = tau(durations, 0.01, censored_s=np.full(20, 3900.0))
    assert tau(durations, 0.01) < later <= 4000.0
    # So many that no order statistic is left: the tail model, which takes them for hangs.
    assert np.isfinite(tau(durations, 0.01, censored_s=np.full(80, 1e6)))
