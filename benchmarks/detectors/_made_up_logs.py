"""Made-up logs that learned flows are measured on: each tells how one execution runs. Real ones: `_public_logs`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.random import Generator

from benchmarks.detectors._processes import (
    RECIPES,
    Node,
    Span,
    items,
    may_be,
    played,
    process,
    scientific,
)

STEPS: Final = (6, 8, 10, 12, 15, 20, 25, 30)
Run = Callable[[Generator], list[Span]]


@dataclass(frozen=True)
class Log:
    """`may_be`: whether an execution may be healthy that runs each of its steps so often."""

    name: str
    run: Run
    may_be: Callable[[Mapping[str, int]], bool]


def processes(quick: bool) -> Iterator[Log]:
    for seed, steps in enumerate(STEPS if not quick else (6, 12)):
        root = process(np.random.default_rng([7, seed]), steps)
        yield Log(f"process {seed + 1}, {steps} steps", partial(_one, root), partial(may_be, root))


def _one(root: Node, rng: Generator) -> list[Span]:
    return played(root, rng)[0]


def lists(quick: bool) -> Iterator[Log]:
    """Each item of a list is fetched and stored, and all are merged."""
    for name, law in list(LAWS.items())[: 1 if quick else None]:
        yield Log(name, partial(_listed, law), _may_be_listed)


def _listed(law: Callable[[Generator], int], rng: Generator) -> list[Span]:
    return items(law(rng), rng)


def _may_be_listed(times: Mapping[str, int]) -> bool:
    once = times.get("list", 0) == times.get("merge", 0) == 1
    return once and times.get("fetch", 0) == times.get("store", 0)


LAWS: Final[dict[str, Callable[[Generator], int]]] = {
    "list of 8": lambda rng: 8,
    "list of 8, rarely 7": lambda rng: 7 if rng.random() < 0.003 else 8,
    "list of Poisson(8)": lambda rng: int(rng.poisson(8)),
    "list of 20 to 60": lambda rng: int(rng.integers(20, 61)),
}


def workflows(quick: bool) -> Iterator[Log]:
    """Raises ImportError without `wfcommons`. Any of their tasks is always needed."""
    for seed, (name, tasks) in enumerate(RECIPES if not quick else RECIPES[:1]):
        yield Log(f"{name}, {tasks} tasks", scientific(name, tasks, seed), _never)


def _never(times: Mapping[str, int]) -> bool:
    return False
