"""Which step follows which in a workflow, learned by exact counting from many courses; no clock is read."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from detectors.statistics.courses import BEGAN, COMPLETED, Course, follows, given_up
from detectors.statistics.rosters import Rosters, Seen, roster_of

Edge = tuple[int, str, str]
"""depth of the branch (0: none), the step before (empty: the beginning), the step behind (empty: the end)"""

WHOLE: Final = 255
"""In place of a depth: the whole execution, of which only what ran once is known, whatever the branch."""
RAN_SHARE_MAX: Final = 0.5
SIGHTINGS: Final = 3
"""Executions that show an edge, or a roster, make it part of the model."""


@dataclass(frozen=True)
class Sighting:
    """In how many executions something was seen, when the first of them ended, and the first few of them."""

    n: int
    first_at: datetime
    executions: frozenset[str]
    usual: bool = True

    def and_more(self, other: "Sighting") -> "Sighting":
        few = sorted(self.executions | other.executions)[:SIGHTINGS]
        return Sighting(
            self.n + other.n,
            min(self.first_at, other.first_at),
            frozenset(few),
            self.usual or other.usual,
        )


@dataclass(frozen=True)
class Observed:
    """One course that `n` closed executions of a version took; `first_at`: when the first of them ended."""

    version: str
    depth: int
    course: Course
    completed: bool
    n: int
    first_at: datetime
    executions: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """What is known of one workflow's courses.

    `edges` by what follows what; `sources`: in how many executions of a version a step completed (the empty step:
    how many began), by depth and step; `ran` and `given_up`: completed executions in which a step began, and
    failed for good; `rosters`: which steps ran together in them, by depth or WHOLE; `around`: by depth and
    step those that began before it did, and those that ended after it. `varied`: executions differ too much for all of
    their courses to be known; their rosters may be.
    """

    edges: Mapping[Edge, Sighting] = field(default_factory=dict)
    sources: Mapping[tuple[int, str], Mapping[str, int]] = field(default_factory=dict)
    ran: Mapping[str, int] = field(default_factory=dict)
    given_up: Mapping[str, Sighting] = field(default_factory=dict)
    rosters: Mapping[int, Rosters] = field(default_factory=dict)
    around: Mapping[tuple[int, str], tuple[frozenset[str], frozenset[str]]] = field(
        default_factory=dict
    )
    varied: bool = False

    def times(self, depth: int, step: str, version: str) -> int:
        """In how many executions of this version the step was seen to complete."""
        return self.sources.get((depth, step), {}).get(version, 0)

    @property
    def has_branches(self) -> bool:
        """Whether executions have labelled branches."""
        return any(depth > 0 for depth, _ in self.sources)

    @cached_property
    def inner_steps(self) -> frozenset[str]:
        """The steps that completed in branches more often than outside of all."""
        inside: Counter[str] = Counter()
        for (depth, step), versions in self.sources.items():
            inside[step] += sum(versions.values()) * (1 if depth else -1)
        return frozenset(step for step, more in inside.items() if more > 0)

    def may_end(self, depth: int, step: str) -> bool:
        """Whether a branch was seen to end with this step; of a step that is not known it may be so."""
        if (depth, step) not in self.sources:
            return True
        seen = self.edges.get((depth, step, ""))
        return seen is not None and seen.usual

    def knows(self, edge: Edge, before: datetime) -> bool:
        """Whether the edge was seen in an execution that ended before then, or in three."""
        seen = self.edges.get(edge)
        return seen is not None and (seen.first_at < before or seen.n >= SIGHTINGS)

    def missing(
        self, edge: Edge, ran: Collection[str], before: datetime
    ) -> tuple[str, float] | None:
        """The step x that most likely belongs in between and is not among those that ran there, argmax of
        p(x|a)·p(b|x), and its share of that sum over all x.

        None if no step ever stood there, or if what ran has more than half of the sum: then what belongs in between
        is there, and overlapped.
        """
        depth, after, step = edge
        weights = {
            x: share * self._shares(depth, x, before).get(step, 0.0)
            for x, share in self._shares(depth, after, before).items()
            if x
        }
        total = sum(weights.values())
        absent = {x: weight for x, weight in weights.items() if weight > 0 and x not in ran}
        if not absent or sum(absent.values()) < RAN_SHARE_MAX * total:
            return None
        best = max(absent, key=lambda x: (absent[x], x))
        return best, absent[best] / total

    def reaches(self, depth: int, start: str, goal: str, before: datetime) -> bool:
        """Whether a way of known edges leads from a step to another (or back to itself)."""
        onwards: dict[str, list[str]] = {}
        for (its_depth, after, step), seen in self.edges.items():
            inner = its_depth == depth and after and step and seen.usual
            if inner and self.knows((its_depth, after, step), before):
                onwards.setdefault(after, []).append(step)
        reached: set[str] = set()
        waiting = [start]
        while waiting:
            fresh = [step for step in onwards.get(waiting.pop(), ()) if step not in reached]
            reached.update(fresh)
            waiting.extend(fresh)
        return goal in reached

    def lies_among(self, depth: int, step: str, others: Iterable[str]) -> bool:
        """Whether some of the others were seen to begin before it did, and some to end after it."""
        before, after = self.around.get((depth, step), (frozenset(), frozenset()))
        return not before.isdisjoint(others) and not after.isdisjoint(others)

    def _shares(self, depth: int, after: str, before: datetime) -> dict[str, float]:
        """p(·|after): how often each known step follows, as a share."""
        counts = {
            step: seen.n
            for (its_depth, source, step), seen in self.edges.items()
            if (its_depth, source) == (depth, after) and self.knows((depth, after, step), before)
        }
        return {step: n / sum(counts.values()) for step, n in counts.items()}


def learned_flow(observed: Iterable[Observed], varied: bool = False) -> Flow:
    """What the courses of one workflow's closed executions teach."""
    edges: dict[Edge, Sighting] = {}
    sources: dict[tuple[int, str], dict[str, int]] = {}
    ran: dict[str, int] = {}
    failed: dict[str, Sighting] = {}
    courses = list(observed)
    for one in courses:
        seen = Sighting(one.n, one.first_at, frozenset(one.executions[:SIGHTINGS]))
        found = follows(one.course, one.completed)
        usual = {(one.depth, it.after, it.step) for it in found if it.usual}
        for edge in {(one.depth, it.after, it.step) for it in found}:
            this = (
                seen if edge in usual else Sighting(seen.n, seen.first_at, seen.executions, False)
            )
            edges[edge] = this.and_more(edges[edge]) if edge in edges else this
        completed = {text[1:] for text in one.course if text[0] == COMPLETED}
        for step in completed | {""}:
            versions = sources.setdefault((one.depth, step), {})
            versions[one.version] = versions.get(one.version, 0) + one.n
        if one.completed:
            for step in {text[1:] for text in one.course if text[0] in BEGAN}:
                ran[step] = ran.get(step, 0) + one.n
            for step in given_up(one.course):
                failed[step] = seen.and_more(failed[step]) if step in failed else seen
    rosters = {} if varied else learned_rosters(courses)
    return Flow(edges, sources, ran, failed, rosters, _around(courses), varied)


def _around(
    observed: Iterable[Observed],
) -> dict[tuple[int, str], tuple[frozenset[str], frozenset[str]]]:
    """`Flow.around`."""
    found: dict[tuple[int, str], tuple[set[str], set[str]]] = {}
    for depth, course in {(one.depth, one.course) for one in observed}:
        for side, texts in enumerate((course, course[::-1])):
            passed: set[str] = set()
            for text in texts:
                step, began = text[1:], text[0] in BEGAN
                if began is (side == 0):
                    found.setdefault((depth, step), (set(), set()))[side].update(passed)
                    passed.add(step)
    return {key: (frozenset(before), frozenset(after)) for key, (before, after) in found.items()}


def learned_rosters(observed: Iterable[Observed]) -> dict[int, Rosters]:
    """Which steps ran together in the executions that completed, by the depth of the branch."""
    together: defaultdict[int, list[Seen]] = defaultdict(list)
    for one in observed:
        roster = roster_of(one.course) if one.completed else None
        if roster is not None:
            seen = Seen(roster, one.version, one.n, one.first_at, one.executions)
            together[one.depth].append(seen)
    return {depth: Rosters(ones, SIGHTINGS) for depth, ones in together.items()}
