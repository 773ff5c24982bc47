"""How long whole executions of a workflow take, beyond what was seen: a Monte Carlo of its step graph.

The graph is learned from the past. A step run waits for those that had ended when it began, except where the two are in
different branches or are at times under way together: then their order was chance. Durations, failures, the
pauses before retries and the gaps between steps are drawn independently of each other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from detectors.statistics.samples import Floats, empirical_quantile
from detectors.statistics.step_laws import Attempt, Law, StepLaw, learn_laws

DRAWS: Final = 20_000
BATCHES: Final = 5
"""20 of a batch lie beyond the p99.9; the five together tell it to within about 1 %."""
WORKFLOW_Q: Final = 0.999
WORKFLOW_FACTOR: Final = 1.2
"""The timeout of a workflow is so many times the p99.9 of its executions."""
TOGETHER_SHARE: Final = 0.05
"""Steps that are under way together in so many executions do not wait for each other."""
STEP_RUNS_MAX: Final = 200
"""A loop of more is not taken apart."""
PATH_SHARE: Final = 0.9
"""The critical path is as long as that of this share of executions: a rare, long loop is not the rule."""


class _Node(NamedTuple):
    """A step run: when its first attempt began, when its last one ended."""

    step: str
    branch: str
    begin_s: float
    end_s: float


class Shape(NamedTuple):
    """The step runs of an execution in the order of their beginnings, and the indices of those that each waits for."""

    steps: tuple[str, ...]
    after: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class StepGraph:
    """A workflow as its past shows it. `longest_s` is the longest execution seen of `n`."""

    n: int
    longest_s: float
    shapes: Mapping[Shape, int]
    laws: Mapping[str, StepLaw]
    gaps: Mapping[str, Law]
    """How long a step begins after what it waits for; the empty step: how long an execution ends after its last one."""

    def draw(self, size: int = DRAWS, seed: int = 0) -> Floats:
        """Durations of executions, shape (about `size`,), seconds."""
        random = np.random.default_rng(seed)
        return np.concatenate(
            [
                self._draw_shape(shape, max(1, round(size * count / self.n)), random)
                for shape, count in self.shapes.items()
            ]
        )

    @cached_property
    def drawn_s(self) -> Floats:
        """Durations of BATCHES · DRAWS executions, ascending; always the same."""
        return self.drawn(0)

    def drawn(self, seed: int) -> Floats:
        """The same; another `seed`, another sample."""
        seeds = range(seed * BATCHES, (seed + 1) * BATCHES)
        return np.sort(np.concatenate([self.draw(seed=one) for one in seeds]))

    @property
    def p999_s(self) -> float:
        """The p99.9 of executions that complete."""
        return empirical_quantile(self.drawn_s, WORKFLOW_Q)

    def share_beyond(self, timeout_s: float) -> float:
        """The share of executions that take longer."""
        return float((self.drawn_s > timeout_s).mean())

    def _draw_shape(self, shape: Shape, size: int, random: np.random.Generator) -> Floats:
        ends: list[Floats] = []
        for step, after in zip(shape.steps, shape.after, strict=True):
            begin_s = np.zeros(size)
            for before in after:
                np.maximum(begin_s, ends[before], out=begin_s)
            begin_s += self.gaps[step].draw(size, random)
            ends.append(begin_s + self.laws[step].draw(size, random))
        last_s = np.max(ends, axis=0) if ends else np.zeros(size)
        return np.asarray(last_s + self.gaps[""].draw(size, random))

    def critical_path(self, weights: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
        """The longest path where each run of a step takes its weight (seconds), and its steps with a weight in order;
        of all shapes the one that PATH_SHARE of executions do not exceed."""
        paths = sorted((_longest(shape, weights), count) for shape, count in self.shapes.items())
        seen = 0
        for path, count in paths:
            seen += count
            if seen >= PATH_SHARE * self.n:
                return path
        return (0.0, ())


def _longest(shape: Shape, weights: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    best: list[tuple[float, tuple[str, ...]]] = []
    for step, after in zip(shape.steps, shape.after, strict=True):
        before_s, path = max((best[index] for index in after), default=(0.0, ()))
        weight = weights.get(step, 0.0)
        best.append((before_s + weight, (*path, step) if weight else path))
    return max(best, default=(0.0, ()))


def learn_graph(
    executions: Sequence[tuple[float, Sequence[Attempt]]], beyond_seen: bool = False
) -> StepGraph | None:
    """From completed executions: how many seconds each took, and its attempts. None where nothing can be learned:
    no execution, or only ones with more step runs than STEP_RUNS_MAX. `beyond_seen`: as in `Law`."""
    runs = [(took_s, _nodes(attempts)) for took_s, attempts in executions]
    kept = [index for index, (_, nodes) in enumerate(runs) if 0 < len(nodes) <= STEP_RUNS_MAX]
    if not kept:
        return None
    together = _together([runs[index][1] for index in kept])
    shapes: Counter[Shape] = Counter()
    gaps: defaultdict[str, list[float]] = defaultdict(list)
    for index in kept:
        took_s, nodes = runs[index]
        after = _waits(nodes, together)
        shapes[_shape(nodes, after)] += 1
        for node, awaited in zip(nodes, after, strict=True):
            ready_s = max((nodes[before].end_s for before in awaited), default=0.0)
            gaps[node.step].append(node.begin_s - ready_s)
        gaps[""].append(took_s - max(node.end_s for node in nodes))
    return StepGraph(
        n=len(kept),
        longest_s=max(runs[index][0] for index in kept),
        shapes=shapes,
        laws=learn_laws([executions[index][1] for index in kept], beyond_seen),
        gaps={step: Law(np.array(seen)) for step, seen in gaps.items()},
    )


def _nodes(attempts: Iterable[Attempt]) -> list[_Node]:
    calls: dict[tuple[str, str, str], _Node] = {}
    for one in attempts:
        key = (one.step, one.branch, one.step_run_id)
        before = calls.get(key)
        calls[key] = _Node(
            one.step,
            one.branch,
            one.begin_s if before is None else min(before.begin_s, one.begin_s),
            one.end_s if before is None else max(before.end_s, one.end_s),
        )
    return sorted(calls.values(), key=lambda node: (node.begin_s, node.end_s, node.step))


def _together(runs: Sequence[Sequence[_Node]]) -> set[frozenset[str]]:
    """Pairs of steps (or a step alone: with itself) that do not wait for each other."""
    both: Counter[frozenset[str]] = Counter()
    overlapping: Counter[frozenset[str]] = Counter()
    for nodes in runs:
        seen = set()
        steps = Counter(node.step for node in nodes)
        for index, node in enumerate(nodes):
            for later in nodes[index + 1 :]:
                if later.begin_s >= node.end_s:
                    break
                seen.add(frozenset((node.step, later.step)))
        overlapping.update(seen)
        names = sorted(steps)
        both.update(
            frozenset((one, other))
            for index, one in enumerate(names)
            for other in names[index:]
            if one != other or steps[one] > 1
        )
    return {pair for pair, times in overlapping.items() if times >= TOGETHER_SHARE * both[pair]}


def _waits(nodes: Sequence[_Node], together: set[frozenset[str]]) -> list[list[int]]:
    """What each step run waits for, as indices of `nodes`."""
    n = len(nodes)
    waits = np.zeros((n, n), dtype=bool)
    for later in range(n):
        for earlier in range(later):
            one, other = nodes[earlier], nodes[later]
            waits[later, earlier] = (
                one.end_s <= other.begin_s
                and _in_line(one.branch, other.branch)
                and frozenset((one.step, other.step)) not in together
            )
    # What is waited for through another need not be said.
    through = (waits.astype(np.float32) @ waits.astype(np.float32)) > 0
    return [[int(index) for index in np.flatnonzero(row)] for row in waits & ~through]


def _shape(nodes: Sequence[_Node], after: Sequence[Sequence[int]]) -> Shape:
    """The same for all executions that differ only in which of their branches was faster."""
    depths: list[int] = []
    for before in after:
        depths.append(max((depths[index] + 1 for index in before), default=0))
    order = sorted(
        range(len(nodes)), key=lambda index: (depths[index], nodes[index].step, nodes[index].branch)
    )
    place = {index: new for new, index in enumerate(order)}
    return Shape(
        tuple(nodes[index].step for index in order),
        tuple(tuple(sorted(place[one] for one in after[index])) for index in order),
    )


def _in_line(one: str, other: str) -> bool:
    """Whether one branch is the other, or around it."""
    parts, others = one.split(".") if one else [], other.split(".") if other else []
    shorter = min(len(parts), len(others))
    return parts[:shorter] == others[:shorter]
