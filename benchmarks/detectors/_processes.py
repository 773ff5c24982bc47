"""Courses of executions of made-up processes, and of the scientific workflows that WfCommons describes.

A process is a random tree of sequences, choices, parallel parts, loops and steps that are sometimes left out, as
process miners draw them. Nothing here was looked at when the detectors' constants were chosen.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

import numpy as np
from numpy.random import Generator

Span = tuple[str, float, float]
"""step, beginning and end"""

KINDS: Final = ("sequence", "choice", "parallel", "loop", "option")
WORKERS: Final = 8
RECIPES: Final = tuple(
    (name, 60) for name in ("Blast", "Epigenomics", "Genome", "Montage", "Srasearch")
)
"""Recipes of WfCommons, with a number of tasks that they can build."""


@dataclass
class Node:
    """A step (`name`), or a part of a process with others inside. `shares`: of a choice, how often each is taken; of a
    loop, how often it goes round again; of an option, how often it is taken."""

    kind: str
    name: str = ""
    inside: list["Node"] = field(default_factory=list)
    shares: tuple[float, ...] = ()


def process(rng: Generator, steps: int) -> Node:
    """A random process of so many steps."""
    numbers = iter(range(steps))
    return _part(rng, steps, numbers, "sequence")


def _part(rng: Generator, steps: int, numbers: Iterator[int], kind: str = "") -> Node:
    if steps == 1:
        leaf = Node("step", f"s{next(numbers)}")
        if rng.random() < 0.1:
            return Node("option", inside=[leaf], shares=(float(rng.beta(1, 3)),))
        return leaf
    kind = kind or str(rng.choice(KINDS, p=[0.45, 0.2, 0.2, 0.1, 0.05]))
    if kind in ("loop", "option"):
        return Node(
            kind, inside=[_part(rng, steps, numbers)], shares=(float(rng.uniform(0.02, 0.5)),)
        )
    parts = int(rng.integers(2, min(steps, 4) + 1))
    cuts = sorted(rng.choice(np.arange(1, steps), parts - 1, replace=False))
    sizes = np.diff([0, *cuts, steps])
    inside = [_part(rng, int(size), numbers) for size in sizes]
    shares = tuple(float(share) for share in rng.dirichlet(np.ones(parts)))
    return Node(kind, inside=inside, shares=shares)


def played(node: Node, rng: Generator, at: float = 0.0) -> tuple[list[Span], float]:
    """One run of a part from `at` on: its steps, and when it ends."""
    if node.kind == "step":
        end = at + float(rng.weibull(0.7)) + 1e-3
        return [(node.name, at, end)], end
    if node.kind == "choice":
        return played(node.inside[int(rng.choice(len(node.inside), p=node.shares))], rng, at + 1e-3)
    if node.kind == "parallel":
        runs = [played(part, rng, at + 1e-3) for part in node.inside]
        return [span for spans, _ in runs for span in spans], max(end for _, end in runs)
    spans: list[Span] = []
    if node.kind == "option" and rng.random() >= node.shares[0]:
        return spans, at
    while True:
        for part in node.inside:
            more, at = played(part, rng, at + 1e-3)
            spans += more
        if node.kind != "loop" or rng.random() >= node.shares[0] or len(spans) > 100:
            return spans, at


def may_be(root: Node, times: Mapping[str, int]) -> bool:
    """Whether the process may run each of its steps so often: then such an execution is as healthy as any."""
    found = _rounds(root, times)
    return found is not None and found[0] <= 1 <= found[1]


def _rounds(node: Node, times: Mapping[str, int]) -> tuple[int, int] | None:
    """The least and the most times that a part ran, given how often its steps did; None: their numbers disagree."""
    if node.kind == "step":
        return times.get(node.name, 0), times.get(node.name, 0)
    inside = [_rounds(part, times) for part in node.inside]
    known = [one for one in inside if one is not None]
    if len(known) < len(inside):
        return None
    if node.kind == "choice":
        return sum(least for least, _ in known), sum(most for _, most in known)
    least, most = max(one[0] for one in known), min(one[1] for one in known)
    if least > most:
        return None
    if node.kind == "option":
        return least, sys.maxsize
    return (min(least, 1), most) if node.kind == "loop" else (least, most)


def course(spans: list[Span]) -> tuple[str, ...]:
    """As detectors see it, all steps having completed."""
    points = [(begin, f"+{step}") for step, begin, _ in spans]
    points += [(end, f"-{step}") for step, _, end in spans]
    return tuple(text for _, text in sorted(points))


def items(n: int, rng: Generator) -> list[Span]:
    """A list of so many items (or one) is read, each is fetched and stored, all at once, and they are merged."""
    spans, end = [("list", 0.0, 0.9)], 1.0
    for _ in range(max(n, 1)):
        fetch_s, store_s = rng.weibull(0.7, 2)
        begin = 1.0 + float(rng.uniform(0, 0.01))
        fetched, stored = begin + float(fetch_s), begin + float(fetch_s + store_s) + 0.01
        spans += [("fetch", begin, fetched), ("store", fetched + 0.005, stored)]
        end = max(end, stored)
    return [*spans, ("merge", end + 0.01, end + 1.0)]


def scientific(name: str, tasks: int, seed: int) -> Callable[[Generator], list[Span]]:
    """How one instance of a WfCommons recipe runs on a few workers, its tasks' durations drawn anew each time.

    Raises ImportError without the package.
    """
    import random

    from wfcommons import WorkflowGenerator
    from wfcommons.wfchef import recipes

    random.seed(seed)
    np.random.seed(seed)
    graph: Any = WorkflowGenerator(
        getattr(recipes, f"{name}Recipe").from_num_tasks(tasks)
    ).build_workflow()
    runtimes = {node: float(data["task"].runtime) for node, data in graph.nodes(data=True)}

    def run(rng: Generator) -> list[Span]:
        needed = {node: graph.in_degree(node) for node in graph}
        ready = [node for node in sorted(graph) if not needed[node]]
        busy: list[tuple[float, str]] = []
        spans, now = [], 0.0
        while ready or busy:
            while ready and len(busy) < WORKERS:
                node = ready.pop(0)
                end = now + max(runtimes[node], 1e-3) * float(rng.lognormal(0, 0.3))
                spans.append((re.sub(r"_?(ID)?\d+$", "", node), now, end))
                heappush(busy, (end, node))
            now, done = heappop(busy)
            for successor in sorted(graph.successors(done)):
                needed[successor] -= 1
                if not needed[successor]:
                    ready.append(successor)
        return spans

    return run
