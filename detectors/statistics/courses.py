"""What follows what in an execution, and where it goes back.

A course is what happened in one branch of an execution, in order: texts of a mark and a step's name. `+` the
step began, `*` it began and undoes another, `-` it completed, `!` it failed for good, `/` it was cancelled or
skipped, `^` (without a name) the execution began anew.

b follows a directly if a had completed when b began, and nothing ran wholly in between (an interval order, so
that steps which overlap are in no order). The empty name stands for the branch's beginning and its end.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

Course = tuple[str, ...]

BEGAN: Final = "+*"
COMPLETED, FAILED, DROPPED, ANEW = "-", "!", "/", "^"
CACHED: Final = 20_000
"""Courses whose account is kept: of many executions with the same one is looked at."""


class Follow(NamedTuple):
    """`step` follows `after`. `at`: the place in the course where it begins; its length for the end.

    `usual`: nothing had failed before, and nothing is undone: on other ways other steps follow. `between`: the
    steps of other runs that were open between the beginning of `after` and the end of `step`.
    """

    after: str
    step: str
    at: int
    usual: bool
    between: frozenset[str]


class Reentry(NamedTuple):
    """`step` begins again at `at`, after it had completed, and after `later` ran wholly in between."""

    step: str
    later: frozenset[str]
    at: int


@dataclass
class _Run:
    step: str
    begin: int
    end: int
    completed: bool = False


def _runs(course: Course) -> list[_Run]:
    """The runs of a course in the order of their beginnings; one that never ends, ends behind it."""
    runs: list[_Run] = []
    open_runs: dict[str, list[_Run]] = {}
    for at, (mark, step) in enumerate((text[:1], text[1:]) for text in course):
        if mark in BEGAN:
            run = _Run(step, at, len(course) + 1)
            runs.append(run)
            open_runs.setdefault(step, []).append(run)
        elif open_runs.get(step):
            run = open_runs[step].pop(0)
            run.end, run.completed = at, mark == COMPLETED
    return runs


@lru_cache(maxsize=CACHED)
def follows(course: Course, ended: bool) -> tuple[Follow, ...]:
    """What follows what in a course; `ended`: its execution completed, so that its end is one."""
    runs = _runs(course)
    beginning = _Run("", -2, -1, completed=True)
    end = _Run("", len(course), len(course))
    first_failure = next((at for at, text in enumerate(course) if text[0] == FAILED), len(course))
    found = []
    for run in (*runs, end) if ended else runs:
        before = [one for one in (beginning, *runs) if one.completed and one.end < run.begin]
        latest = max(one.begin for one in before)
        undoes = run is not end and course[run.begin][0] == "*"
        for one in before:
            if one.end > latest:
                between = frozenset(
                    other.step
                    for other in runs
                    if one.begin < other.end and other.begin < run.end and other not in (one, run)
                )
                usual = run.begin <= first_failure and not undoes
                found.append(Follow(one.step, run.step, run.begin, usual, between))
    return tuple(found)


@lru_cache(maxsize=CACHED)
def reentries(course: Course) -> tuple[Reentry, ...]:
    """Steps that began again after they and others had completed, with neither a failure nor a new beginning of
    the execution since: retries, redrives and what follows an error are none."""
    runs = _runs(course)
    found = []
    for run in runs:
        earlier = [
            one for one in runs if one.step == run.step and one.completed and one.end < run.begin
        ]
        if not earlier or course[run.begin][0] == "*":
            continue
        last = max(earlier, key=lambda one: one.end)
        if any(text[0] in (FAILED, ANEW) for text in course[last.end : run.begin]):
            continue
        later = frozenset(
            one.step
            for one in runs
            if one.completed and one.begin > last.end and one.end < run.begin
        )
        if later:
            found.append(Reentry(run.step, later, run.begin))
    return tuple(found)


def given_up(course: Course) -> frozenset[str]:
    """The steps whose last run failed for good."""
    last = {text[1:]: text[0] for text in course if text[0] in (COMPLETED, FAILED, DROPPED)}
    return frozenset(step for step, mark in last.items() if mark == FAILED)
