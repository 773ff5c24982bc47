"""The words about a step, and which steps come first."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.report.sentences import advice, counts, in_order, name_of, rounded_up_s
from stallwatch.model.recommendations import StepRecommendation
from tests.dashboards.report.samples import a_step, every_verdict

EXPECTED = {
    "pack": "6s cuts off an estimated 1.2 % of attempts that would have completed (58 of 4,870 "
    "timed out). Set 9s, and measure again: how long the cut-off attempts would have taken is not "
    "known yet.",
    "ship": "No timeout is declared in the telemetry: an attempt that hangs may never be given up. "
    "Set 8.1s; at that value 0 of 4,812 completed attempts would have been cut, and 3h 12m of "
    "waiting saved.",
    "charge": "5m allows 43 times its p99.9 (7s). Set 8.1s; at that value 0 of 4,812 completed "
    "attempts would have been cut, and 3h 12m of waiting saved.",
    "reserve": "10s is fine: 0 % of attempts are cut off, and 8.04s would do.",
    "notify": "Insufficient data: 212 more completions needed (87 so far, 0 timed out).",
}


@pytest.mark.parametrize("step", every_verdict(), ids=lambda step: step.verdict)
def test_each_verdict_has_its_sentence(step: StepRecommendation) -> None:
    assert advice(step) == EXPECTED[step.step]


def test_long_but_not_yet_sure() -> None:
    step = a_step(verdict="ok", n=800, censored=0)
    assert advice(step) == (
        "5m looks too long for what was seen so far (8.04s would do), but 800 completions are too "
        "few to be sure."
    )


def test_a_change_that_is_due_is_advised_where_nothing_is_wrong_too() -> None:
    said = {
        change: advice(a_step(verdict="ok", current_timeout_s=14.0, change=change))
        for change in ("due", "wait", "keep")
    }
    assert said["due"].startswith("14s is fine: ")
    assert "a change is due all the same. Set 8.1s;" in said["due"]
    assert said["wait"] == said["keep"]
    assert "Set" not in said["keep"]


def test_too_tight_although_the_recommendation_is_no_longer() -> None:
    step = a_step(verdict="too_tight", current_timeout_s=9.0, healthy_cut=0.006)
    assert "Set 8.1s; at that value" in advice(step)


def test_waiting_that_would_be_lost_is_not_called_saved() -> None:
    assert "saved" not in advice(a_step(stuck_s_saved=-5.0))
    assert "saved" not in advice(a_step(stuck_s_saved=None))


def test_the_steps_to_change_come_first() -> None:
    ordered = [step.step for step in in_order(every_verdict())]
    assert ordered == ["pack", "ship", "charge", "reserve", "notify"]


def test_within_a_verdict_the_most_harmful_comes_first() -> None:
    loose = [a_step("a", stuck_s_saved=10.0), a_step("b", stuck_s_saved=1e6)]
    tight = [
        a_step("c", verdict="too_tight", healthy_cut=0.5, n=100, censored=0),
        a_step("d", verdict="too_tight", healthy_cut=0.01, n=100_000, censored=0),
    ]
    assert [step.step for step in in_order([*loose, *tight])] == ["d", "c", "b", "a"]


def test_names_say_only_what_sets_them_apart() -> None:
    assert name_of(a_step()) == "order / charge"
    assert name_of(a_step(namespace="eu", engine="temporal")) == "eu / temporal / order / charge"


def test_counts() -> None:
    assert counts([]) == "No step had an attempt that came to an end in this window."
    assert counts([a_step()]) == "1 step: 1 too loose."
    assert counts(every_verdict()) == (
        "5 steps: 1 too tight, 1 no timeout, 1 too loose, 1 ok, 1 insufficient data."
    )


@pytest.mark.parametrize(
    ("timeout_s", "typed_s"),
    [(44.7, 45), (0.123, 0.13), (8.0, 8), (120, 120), (433, 440), (0.1, 0.1)],
)
def test_a_timeout_as_a_person_would_type_it(timeout_s: float, typed_s: float) -> None:
    assert rounded_up_s(timeout_s) == typed_s


@given(st.floats(0.001, 1e8))
def test_rounding_never_shortens_and_never_adds_more_than_a_tenth(timeout_s: float) -> None:
    rounded = rounded_up_s(timeout_s)
    assert rounded >= timeout_s or math.isclose(rounded, timeout_s, rel_tol=1e-9)
    assert rounded <= timeout_s * 1.1000001
