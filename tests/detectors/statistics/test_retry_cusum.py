import numpy as np
import pytest

from detectors.statistics.retry_cusum import (
    BINS_PER_WEEK,
    CHARTS,
    DISPERSION_MAX,
    RetryCusum,
    RetryLoad,
    are_many,
    dispersion_by_moments,
)

RETRIES = [0, 1, 0, 2, 9, 14, 20, 17, 25, 30, 2, 0, 0, 0]
# From an independent, dense implementation: k = 2, 1.5 expected per bin, 60 first attempts in 60 s.
SCORES = [0.0, 0.0, 0.0, 0.0, 0.97938887, 2.721734913, 5.379629564, 7.579749911, 11.000601735]
SCORES += [15.184410732, 15.09565956, 14.701725518, 14.307791476, 13.913857434]


def test_agrees_with_the_reference() -> None:
    chart = RetryCusum(dispersion=2.0)
    loads, scores = [], []
    for retries in RETRIES:
        loads.append(chart.tick(retries, 1.5, are_many(6 * retries, 60)))
        scores.append(chart.score)
    assert scores == pytest.approx(SCORES, abs=1e-8)
    assert [load is RetryLoad.STORM for load in loads] == [False] * 9 + [True] * 2 + [False] * 3
    assert loads[-1] is RetryLoad.RAISED_BUT_SMALL


@pytest.mark.parametrize("dispersion", [1.0, 3.0, 20.0])
def test_a_healthy_week_is_quiet(dispersion: float) -> None:
    rng = np.random.RandomState(0)
    counts = rng.poisson(rng.gamma(dispersion, 3.0 / dispersion, 8640 + 60480))
    retries = counts.astype(np.float64)
    k = dispersion_by_moments(retries[:8640], np.full(8640, 3.0))
    assert k == pytest.approx(dispersion, rel=0.25)
    chart = RetryCusum(k)
    last_60s = np.convolve(retries, np.ones(6))
    loads = [chart.tick(retries[i], 3.0, are_many(last_60s[i], 180)) for i in range(8640, 69120)]
    assert RetryLoad.STORM not in loads


def test_a_storm_is_told_within_a_minute_and_over_soon_after() -> None:
    chart = RetryCusum(dispersion=3.0)
    storm = [chart.tick(30, 2, are_many(150, 600)) for _ in range(60)]
    assert storm.index(RetryLoad.STORM) < 6
    calm = [chart.tick(1, 2, are_many(6, 600)) for _ in range(60)]
    assert RetryLoad.STORM not in calm
    assert calm[-1] is RetryLoad.USUAL


def test_without_any_past_retries_the_first_few_are_no_storm() -> None:
    chart = RetryCusum(dispersion_by_moments(np.zeros(8640), np.zeros(8640)))
    assert [chart.tick(2, 0, are_many(2, 600)) for _ in range(5)] == [RetryLoad.USUAL] * 5


def test_more_groups_or_a_smaller_budget_raise_the_limit() -> None:
    plain = RetryCusum(2.0).limit
    assert RetryCusum(2.0, groups=10).limit == pytest.approx(plain + np.log(10))
    assert RetryCusum(2.0, budget_per_week=0.2).limit == pytest.approx(plain + np.log(5))


def test_a_chart_can_be_continued() -> None:
    whole, first = RetryCusum(2.0), RetryCusum(2.0)
    for retries in RETRIES:
        whole.tick(retries, 1.5, True)
    for retries in RETRIES[:7]:
        first.tick(retries, 1.5, True)
    second = RetryCusum(2.0, score=first.score)
    for retries in RETRIES[7:]:
        second.tick(retries, 1.5, True)
    assert second.score == whole.score


def test_no_bin_counts_more_than_it_may() -> None:
    chart = RetryCusum(dispersion=3.0, evidence_max=2.4)
    scores = []
    for _ in range(5):
        chart.tick(500, 2, True)
        scores.append(chart.score)
    assert scores == pytest.approx([2.4, 4.8, 7.2, 9.6, 12.0])


@pytest.mark.parametrize(("rate", "usual"), [(0.3, 0.02), (1.0, 0.15), (10.0, 0.03)])
def test_independent_noise_takes_a_quarter_of_what_the_limit_allows(
    rate: float, usual: float
) -> None:
    """At a limit so low that it is crossed."""
    rng = np.random.RandomState(1)
    firsts = rng.poisson(10 * rate, BINS_PER_WEEK)
    retries = rng.poisson(usual * firsts)
    charts = [RetryCusum(DISPERSION_MAX, ratio=ratio) for ratio in CHARTS]
    limit, crossed, at = 5.0, 0, -60
    for i in range(len(firsts)):
        for chart in charts:
            chart.tick(retries[i], usual * firsts[i], True)
        if max(chart.score for chart in charts) > limit:
            crossed += i - at > 30
            at = i
    assert 0 < crossed <= 0.25 * np.exp(-limit) * len(firsts)
