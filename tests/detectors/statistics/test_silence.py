"""Hazards, silences and losses of throughput."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.samples import Floats
from detectors.statistics.silence import (
    EDGES_S,
    Hazard,
    Hazards,
    Spells,
    age_s,
    edge_mid_s,
    edge_of,
    free_s,
    hazard,
    is_degraded,
    last_s,
    limit,
    loss,
    may_be_degraded,
    most_ends,
    stop,
)
from detectors.statistics.survival import bin_of

WEEK_S = 7 * 86400.0
ALWAYS = 1e9
"""A pace that no group is held to."""


def learned(durations_s: Floats) -> Hazard:
    bins, closed = np.unique(bin_of(durations_s), return_counts=True)
    return hazard(bins, closed, np.zeros_like(closed))


def exponential(n: int = 20_000, mean_s: float = 2.0) -> Hazards:
    """H(age) = age ÷ mean, from a sample of quantiles."""
    return Hazards([learned(-mean_s * np.log1p(-(np.arange(n) + 0.5) / n))])


def spells(begun_s: list[float], until_s: float = 0.0) -> Spells:
    begun = np.asarray(begun_s, dtype=np.float64)
    shape = np.ones(len(begun))
    return Spells(np.zeros(len(begun), dtype=np.int64), begun, until_s * shape, shape)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=200))
def test_a_hazard_never_falls_and_ends_with_the_rank_of_one_more(durations: list[float]) -> None:
    found = learned(np.array(durations))
    assert (np.diff(found.cumulative) >= 0).all()
    assert found.cumulative[-1] == pytest.approx(math.log(len(durations) + 1))
    assert found.closes == len(durations)


def test_what_is_censored_ends_later() -> None:
    bins = np.array([0, 32, 64])
    known = hazard(bins, np.array([50, 0, 50]), np.array([0, 0, 0]))
    cut = hazard(bins, np.array([50, 0, 50]), np.array([0, 300, 0]))
    assert cut.cumulative[0] < known.cumulative[0]
    assert cut.cumulative[-1] > cut.cumulative[0]


def test_many_kinds_are_looked_up_at_once() -> None:
    quick, slow = learned(np.full(99, 1.0)), learned(np.full(9, 100.0))
    both = Hazards([quick, slow])
    kinds = np.array([0, 0, 0, 1, 1, 1])
    found = both.at(kinds, np.array([0.5, 1.2, 1e6, 90.0, 120.0, -1.0]))
    ends = math.log(100), math.log(10)
    assert found == pytest.approx([0.0, ends[0], ends[0], 0.0, ends[1], 0.0])


def test_an_age_counts_five_percent_less() -> None:
    constant = Hazards([learned(np.full(99, 2.0))])
    assert constant.at(np.array([0]), np.array([2.02]))[0] == 0.0


@given(st.floats(0.1, 50), st.floats(0, 20), st.floats(0, 20))
def test_what_is_expected_adds_up(begun_s: float, one_s: float, other_s: float) -> None:
    hazards = exponential(500)
    late, early = sorted((one_s, other_s))
    whole = spells([begun_s]).expected(hazards, early + 60)
    parts = (
        spells([begun_s]).expected(hazards, early + 60, early)
        + spells([begun_s]).expected(hazards, early, late)
        + spells([begun_s]).expected(hazards, late)
    )
    assert parts == pytest.approx(whole)


def test_the_expected_ends_of_exponential_durations_are_time_over_mean() -> None:
    open_ = spells([5.0, 60.0, 1.0])
    # Five seconds of two of them, one of the third; each at most ln(n+1).
    assert open_.expected(exponential(), 4.0).sum() * 1.05 == pytest.approx((4 + 1) / 2, rel=0.05)


def test_a_silence_of_ten_open_attempts() -> None:
    hazards = exponential()
    found = stop(spells([60.0] * 10), hazards, closed_s=0.0, peak_per_s=ALWAYS)
    assert (found.silent_s, found.score) == (0.0, 0.0)
    begun = [float(age) for age in np.linspace(0.1, 6, 10)]
    assert stop(spells(begun), hazards, 6.0, ALWAYS).score == pytest.approx(sum(begun) / 2, rel=0.1)


def test_nothing_is_silent_before_something_is_open() -> None:
    found = stop(spells([2.0, 1.0, 1.0]), exponential(), closed_s=9e5, peak_per_s=0.1)
    assert found.silent_s == 2.0
    assert found.score <= float(most_ends(0.1, 2.0))


def test_one_attempt_is_no_silence_however_old() -> None:
    alone = stop(spells([1e7]), exponential(20_000), closed_s=1e6, peak_per_s=ALWAYS)
    assert alone.score < limit(0.01 * WEEK_S, 1, 0.2)


def test_what_may_not_have_been_told_yet_is_not_expected() -> None:
    told_s = 3.0
    late = stop(spells([6.0] * 9, until_s=told_s), exponential(), 6.0, ALWAYS)
    assert late.silent_s == 3.0
    assert late.score == pytest.approx(9 * 3 / 2, rel=0.1)


def test_a_backlog_ends_no_quicker_than_workers_can() -> None:
    backlog = stop(spells([3.0] * 5000), exponential(), closed_s=1.0, peak_per_s=2.0)
    assert backlog.score < limit(2 * WEEK_S, 1, 0.2)


def test_the_limit_is_one_silence_of_the_budget() -> None:
    assert limit(1e6, 1, 1.0) == pytest.approx(math.log(1e6))
    assert limit(1e6, 4, 0.2) == pytest.approx(math.log(1e6 * 20))
    assert limit(3, 1, 1.0) == pytest.approx(math.log(50))


@given(st.floats(0, 1799))
def test_edges_hold_what_lies_between_them(ago_s: float) -> None:
    (edge,) = edge_of(np.array([ago_s]))
    assert EDGES_S[edge - 1] > ago_s >= EDGES_S[edge]
    assert EDGES_S[edge - 1] > edge_mid_s(np.array([edge]))[0] > EDGES_S[edge]


def run(lost_after_s: float, until_s: float, every_s: float = 1.0) -> tuple[Spells, Spells, Floats]:
    """One attempt of 2 s each second for ten minutes; from `lost_after_s` on every second one hangs."""
    begun = np.arange(0.5, 600.0, every_s)
    ends = begun + 2.0
    hang = (begun > lost_after_s) & (np.arange(len(begun)) % 2 == 0)
    ends[hang] = np.inf
    begun, ends = begun[begun < until_s], ends[begun < until_s]
    still = ends > until_s
    ago = until_s - ends[~still]
    ended = Spells(
        np.zeros(len(ago), dtype=np.int64), until_s - begun[~still], ago, np.ones(len(ago))
    )
    closes = np.bincount(edge_of(ago), minlength=len(EDGES_S)).astype(np.float64)
    return spells(list(until_s - begun[still])), ended, closes


def test_a_healthy_group_loses_nothing() -> None:
    hazards, h = exponential(), limit(WEEK_S, 1, 0.2)
    open_, ended, closes = run(lost_after_s=1e9, until_s=500.0)
    found = loss(open_, ended, closes, hazards, 1.5, h)
    assert found.score < 0.5 * h


def test_half_of_the_workers_lost() -> None:
    hazards, h = exponential(), limit(WEEK_S, 1, 0.2)
    open_, ended, closes = run(lost_after_s=440.0, until_s=500.0)
    found = loss(open_, ended, closes, hazards, 1.5, h)
    assert found.score >= h
    assert 50 <= found.began_s <= 130
    assert is_degraded(found, h, overdue=30, peak_per_s=1.5)
    assert may_be_degraded(closes, overdue=30, peak_per_s=1.5, limit=h)


def test_it_is_over_soon_after_it_is_over() -> None:
    hazards, h = exponential(), limit(WEEK_S, 1, 0.2)
    open_, ended, closes = run(lost_after_s=1e9, until_s=500.0)
    hung = Spells(
        np.concatenate([open_.kind, np.zeros(30, dtype=np.int64)]),
        np.concatenate([open_.begun_s, np.linspace(300, 400, 30)]),
        np.zeros(len(open_.kind) + 30),
        np.ones(len(open_.kind) + 30),
    )
    found = loss(hung, ended, closes, hazards, 1.5, h)
    assert not is_degraded(found, h, overdue=30, peak_per_s=1.0)
    assert not may_be_degraded(closes, overdue=30, peak_per_s=1.0, limit=h)


def test_a_few_that_hang_among_many_are_no_loss() -> None:
    hazards, h = exponential(), limit(WEEK_S, 1, 0.2)
    open_, ended, closes = run(lost_after_s=440.0, until_s=500.0)
    found = loss(open_, ended, closes, hazards, 1.5, h)
    assert not is_degraded(found, h, overdue=5, peak_per_s=1.5)
    # Ends come as quickly as they ever did: there is too much to do.
    assert not is_degraded(found, h, overdue=30, peak_per_s=0.5)


NEVER = np.inf


def free(running: list[float], waiting: list[float], **more: float) -> float:
    """Since when there was room, where what runs for longer than 100 s is lost; four ran at most."""
    known = {"usual_s": 0.1, "closed_s": 10.0, "ceiling": 4.0, **more}
    return free_s(spells(running), np.full(len(running), 100.0), spells(waiting), **known)


def test_what_waits_behind_as_many_as_ever_ran_cannot_start() -> None:
    assert free([9.0] * 4, [5.0] * 20) == 0.0
    assert free([9.0] * 3, [5.0] * 20) == NEVER
    assert free([], [5.0] * 20) == NEVER
    assert free([9.0], [5.0], ceiling=0.0) == 0.0


def test_who_was_passed_over_shows_that_there_is_no_room() -> None:
    assert free([9.0], [20.0] * 3, ceiling=9.0) == 0.0
    assert free([9.0], [20.0] * 2, ceiling=9.0) == NEVER
    # It is usual to wait so long; or something has ended since, and nothing was started in its place.
    assert free([9.0], [20.0] * 3, ceiling=9.0, usual_s=30.0) == NEVER
    assert free([9.0], [20.0] * 3, ceiling=9.0, closed_s=2.0) == NEVER


def test_what_is_lost_is_not_busy() -> None:
    assert free([130.0, 120.0], [50.0] * 9, ceiling=2.0) == 20.0
    assert free([130.0, 99.0], [50.0] * 9, ceiling=2.0) == 0.0


def test_what_waits_counts_only_since_there_is_room() -> None:
    hazards = exponential()
    open_ = spells([9.0] * 10)
    assert stop(open_, hazards, 8.0, ALWAYS, since_s=0.0).score == 0.0
    late = stop(open_, hazards, 8.0, ALWAYS, since_s=5.0)
    assert 0 < late.score < stop(open_, hazards, 8.0, ALWAYS).score
    assert late.silent_s == 8.0


@given(st.lists(st.floats(0.01, 1e4), min_size=50, max_size=200), st.floats(0, 3))
def test_ages_at_which_a_hazard_is_reached(durations: list[float], reached: float) -> None:
    found = learned(np.array(durations))
    hazards, kind = Hazards([found]), np.zeros(1, dtype=np.int64)
    before_s = age_s(found, reached) * 0.999
    assert hazards.at(kind, np.array([before_s]))[0] <= reached + 1e-9
    end = last_s(found)
    assert hazards.at(kind, np.array([end * 1.001]))[0] == pytest.approx(found.cumulative[-1])
    assert age_s(found, math.inf) == math.inf
