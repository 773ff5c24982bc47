"""The distributions of a scenario file, in seconds.

`{constant: T}` · `{uniform: {low, high}}` · `{exponential: {mean}}` ·
`{lognormal: {median, sigma}}` · `{pareto: {minimum, alpha}}` ·
`{mixture: [{weight, <distribution>}]}`; `T`, `low`, `high`, `mean`, `median` and `minimum` are
durations, `sigma`, `alpha` and `weight` numbers.
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stallwatch.simulator.spec import Spec, plain_spec

DRAW_MAX_S: Final = 30 * 86_400.0
"""No draw is longer: a heavy tail must not leave the calendar."""


class Distribution(Protocol):
    """Something that gives durations."""

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        """`size` independent draws in seconds, each ≥ 0."""
        ...


def draw_s(distribution: Distribution, rng: Generator) -> float:
    """One draw in seconds, at most DRAW_MAX_S."""
    return min(float(distribution.sample(rng, 1)[0]), DRAW_MAX_S)


@dataclass(frozen=True)
class Constant:
    value_s: float

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        return np.full(size, self.value_s, dtype=np.float64)


@dataclass(frozen=True)
class Uniform:
    low_s: float
    high_s: float

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        return rng.uniform(self.low_s, self.high_s, size)


@dataclass(frozen=True)
class Exponential:
    mean_s: float

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        return rng.exponential(self.mean_s, size)


@dataclass(frozen=True)
class Lognormal:
    median_s: float
    sigma: float

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        return rng.lognormal(math.log(self.median_s), self.sigma, size)


@dataclass(frozen=True)
class Pareto:
    """P(T > t) = (minimum / t)^alpha; numpy's `pareto` is the Lomax form, shifted to begin at 0."""

    minimum_s: float
    alpha: float

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        return self.minimum_s * (1.0 + rng.pareto(self.alpha, size))


@dataclass(frozen=True)
class Mixture:
    """Each draw comes from one of the parts, chosen by `weights` (which sum to 1)."""

    weights: tuple[float, ...]
    parts: tuple[Distribution, ...]

    def sample(self, rng: Generator, size: int) -> NDArray[np.float64]:
        chosen = rng.choice(len(self.parts), size=size, p=self.weights)
        draws = np.empty(size, dtype=np.float64)
        for index, part in enumerate(self.parts):
            here = chosen == index
            draws[here] = part.sample(rng, int(here.sum()))
        return draws


KINDS: Final = ("constant", "uniform", "exponential", "lognormal", "pareto", "mixture")


def distribution_from_data(data: object) -> Distribution:
    """A distribution from decoded data, as `{"constant": "2s"}`; InputError names what is wrong."""
    return parse_distribution(plain_spec(data))


def parse_distribution(spec: Spec) -> Distribution:
    """The distribution that `spec` describes; InputError names the place."""
    children = spec.mapping(KINDS)
    if len(children) != 1:
        raise spec.error(f"must name one distribution of {', '.join(KINDS)}")
    kind, body = next(iter(children.items()))
    match kind:
        case "constant":
            return Constant(body.duration_s())
        case "uniform":
            fields = body.mapping(("low", "high"), ("low", "high"))
            low_s, high_s = fields["low"].duration_s(), fields["high"].duration_s()
            if low_s > high_s:
                raise body.error("low must not be above high")
            return Uniform(low_s, high_s)
        case "exponential":
            return Exponential(_above_zero_s(body.mapping(("mean",), ("mean",))["mean"]))
        case "lognormal":
            fields = body.mapping(("median", "sigma"), ("median", "sigma"))
            return Lognormal(_above_zero_s(fields["median"]), fields["sigma"].number(0, 10))
        case "pareto":
            fields = body.mapping(("minimum", "alpha"), ("minimum", "alpha"))
            return Pareto(_above_zero_s(fields["minimum"]), fields["alpha"].number(0.01, 1000))
        case _:
            return _parse_mixture(body)


def _parse_mixture(spec: Spec) -> Mixture:
    weights, parts = [], []
    for item in spec.sequence():
        children = dict(item.mapping(("weight", *KINDS), ("weight",)))
        weights.append(children.pop("weight").number(0, 1e9))
        parts.append(parse_distribution(Spec(children, item.path, item.file, item.line)))
    total = sum(weights)
    if total <= 0:
        raise spec.error("needs at least one part with a weight above 0")
    return Mixture(tuple(weight / total for weight in weights), tuple(parts))


def _above_zero_s(spec: Spec) -> float:
    seconds = spec.duration_s()
    if seconds <= 0:
        raise spec.error("must be above 0")
    return seconds
