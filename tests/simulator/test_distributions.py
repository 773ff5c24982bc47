from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.errors import InputError
from stallwatch.simulator.distributions import DRAW_MAX_S, distribution_from_data, draw_s

SHAPES: list[dict[str, Any]] = [
    {"constant": "250ms"},
    {"uniform": {"low": "1s", "high": "2s"}},
    {"exponential": {"mean": "3s"}},
    {"lognormal": {"median": "2s", "sigma": 0.5}},
    {"pareto": {"minimum": "1s", "alpha": 2.5}},
    {
        "mixture": [
            {"weight": 3, "constant": "1s"},
            {"weight": 1, "uniform": {"low": "10s", "high": "20s"}},
        ]
    },
]


@pytest.mark.parametrize(
    ("data", "median_s"),
    [
        ({"constant": "250ms"}, 0.25),
        ({"uniform": {"low": "1s", "high": "3s"}}, 2.0),
        ({"exponential": {"mean": "10s"}}, 10 * np.log(2)),
        ({"lognormal": {"median": "2s", "sigma": 0.5}}, 2.0),
        ({"pareto": {"minimum": "1s", "alpha": 2}}, np.sqrt(2)),
        ({"mixture": [{"weight": 9, "constant": 4}, {"weight": 1, "constant": "9s"}]}, 4.0),
    ],
)
def test_the_median_is_what_the_parameters_say(data: dict[str, Any], median_s: float) -> None:
    draws = distribution_from_data(data).sample(np.random.default_rng(1), 40_000)
    assert float(np.median(draws)) == pytest.approx(median_s, rel=0.03)


def test_a_mixture_draws_from_its_parts_by_weight() -> None:
    draws = distribution_from_data(SHAPES[-1]).sample(np.random.default_rng(1), 40_000)
    assert float((draws == 1.0).mean()) == pytest.approx(0.75, abs=0.01)
    assert draws.max() > 15


@given(data=st.sampled_from(SHAPES), seed=st.integers(0, 2**32))
def test_the_same_seed_draws_the_same_and_never_below_zero(data: object, seed: int) -> None:
    distribution = distribution_from_data(data)
    first = distribution.sample(np.random.default_rng(seed), 20)
    again = distribution.sample(np.random.default_rng(seed), 20)
    assert (first == again).all()
    assert (first >= 0).all()


def test_a_heavy_tail_stays_within_the_calendar() -> None:
    heavy = distribution_from_data({"pareto": {"minimum": "1s", "alpha": 0.01}})
    rng = np.random.default_rng(3)
    assert max(draw_s(heavy, rng) for _ in range(200)) == DRAW_MAX_S


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("2s", "must be a mapping"),
        ({}, "must name one distribution"),
        ({"constant": "1s", "exponential": {"mean": "1s"}}, "must name one distribution"),
        ({"gauss": {}}, "gauss: unknown key"),
        ({"constant": True}, "constant: a duration"),
        ({"uniform": {"low": "2s", "high": "1s"}}, "uniform: low must not be above high"),
        ({"uniform": {"low": "2s"}}, "uniform: high is required"),
        ({"exponential": {"mean": 0}}, "exponential.mean: must be above 0"),
        ({"lognormal": {"median": "1s", "sigma": "wide"}}, "lognormal.sigma: must be a number"),
        ({"pareto": {"minimum": "1s", "alpha": 0}}, "pareto.alpha: must be between"),
        ({"mixture": []}, "mixture: needs at least one part"),
        ({"mixture": [{"constant": "1s"}]}, r"mixture\[0\]: weight is required"),
        ({"mixture": [{"weight": 1}]}, r"mixture\[0\]: must name one distribution"),
    ],
)
def test_what_is_wrong_is_named(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distribution_from_data(data)
