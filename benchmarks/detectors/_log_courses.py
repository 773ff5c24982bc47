"""Lost and repeated events in public event logs: what the courses tell where nothing has a number."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.random import Generator

from benchmarks.detectors import table
from benchmarks.detectors._processes import Span, course
from benchmarks.detectors._public_logs import Case, Log
from benchmarks.detectors.models import (
    _back_row,
    _false_share,
    _gone_back,
    _judged,
    _learned,
    _missing_row,
    _missing_steps,
)
from detectors import missing_step, state_regression
from detectors.calibration.flows import EXECUTIONS_MAX, LONGEST
from detectors.detector import Context

TRIED_MAX: Final = 2_000
"""Executions of the later half that lose a step, and that repeat one."""

Course = tuple[str, ...]


def lost_and_repeated(logs: Sequence[Log], tried: int = TRIED_MAX) -> str:
    """A row for each log."""
    headings = (
        "log", "learned from", "courses", "seen before", "falsely missing", "dropped step found",
        "neither first nor last", "of a course never seen", "named right", "falsely back",
        "first step again found", "any step again found",
    )  # fmt: skip
    return table(headings, [_row(log, tried) for log in logs])


def _row(log: Log, tried: int) -> list[str]:
    rng = np.random.default_rng(23)
    half = len(log.cases) // 2
    runs = [spans(case, whole=log.source.spans) for case in log.cases]
    earlier = Counter(course(run) for run in runs[max(0, half - EXECUTIONS_MAX) : half])
    short = Counter({one: n for one, n in earlier.items() if len(one) <= LONGEST})
    later = [run for run in runs[half:] if 2 * len(run) <= LONGEST]
    healthy, context = [course(run) for run in later], _learned(short)
    chosen = rng.permutation(len(later))[:tried]
    drops = _Drops(short, context, [later[at] for at in chosen], rng)
    first_again = [_gone_back(later[at]) for at in chosen]
    any_again = [repeated(later[at], rng) for at in chosen]
    return [
        log.name, f"{earlier.total():,}", f"{len(earlier):,}",
        f"{np.mean([one in short for one in healthy]):.0%}",
        f"{_false_share(missing_step.judge, _missing_row, healthy, context):.2%}",
        _share(drops.found), _share(drops.found[drops.inside]),
        _share(drops.found[drops.inside & drops.unseen]), _share(drops.named[drops.found]),
        f"{_false_share(state_regression.judge, _back_row, healthy, context):.2%}",
        _share(_returns(first_again, context)), _share(_returns(any_again, context)),
    ]  # fmt: skip


class _Drops:
    """Executions that lose one step each, and what is said of them, an array element for each."""

    def __init__(
        self, known: Counter[Course], context: Context, runs: Sequence[list[Span]], rng: Generator
    ) -> None:
        found, named, inside, unseen = [], [], [], []
        for run in runs:
            if len(run) < 2:
                continue
            gone = int(rng.integers(len(run)))
            rest = course(run[:gone] + run[gone + 1 :])
            said = _judged(missing_step.judge, _missing_row, rest, context)
            told = {step for one in said for step in _missing_steps(one)}
            found.append(bool(told))
            named.append(run[gone][0] in told)
            ends = max(span[2] for span in run), min(span[1] for span in run)
            inside.append(run[gone][2] < ends[0] and run[gone][1] > ends[1])
            unseen.append(rest not in known)
        self.found, self.named = np.array(found, bool), np.array(named, bool)
        self.inside, self.unseen = np.array(inside, bool), np.array(unseen, bool)


def repeated(run: list[Span], rng: Generator) -> Course | None:
    """An execution in which a step that ran once and was followed by others runs again, right behind one of these;
    None if there is none."""
    times = Counter(step for step, _, _ in run)
    last = max(begin for _, begin, _ in run)
    once = [span for span in run if times[span[0]] == 1 and span[2] < last]
    if not once:
        return None
    step, _, end = once[int(rng.integers(len(once)))]
    behind = [span[2] for span in run if span[1] > end]
    at = behind[int(rng.integers(len(behind)))]
    return course([*run, (step, at + 0.25, at + 0.5)])


def _returns(runs: Sequence[Course | None], context: Context) -> "np.typing.NDArray[np.bool_]":
    judged = [one for one in runs if one is not None]
    return np.array(
        [bool(_judged(state_regression.judge, _back_row, one, context)) for one in judged], bool
    )


def spans(case: Case, whole: bool) -> list[Span]:
    """The steps of a case as the detectors see them, with places in the course instead of times: what ends goes before
    what begins at the same instant, unless it began then itself. `whole`: activities have a start; else, and without
    one, they begin when they complete. What never completes ends with the case."""
    points: list[tuple[float, int, int, int]] = []
    names: list[str] = []
    running: dict[str, int] = {}
    for event in case:
        name = event.activity
        if whole and event.transition == "start":
            running[name] = len(names)
            points.append((event.at, 1, len(names), 0))
            names.append(name)
        elif whole and event.transition == "complete" and name in running:
            number = running.pop(name)
            began_at = points_begin(points, number)
            points.append((event.at, 2 if event.at <= began_at else 0, number, 1))
        elif not (whole and event.transition == "schedule"):
            points += [(event.at, 1, len(names), 0), (event.at, 2, len(names), 1)]
            names.append(name)
    places: dict[tuple[int, int], float] = {}
    for place, (_, _, number, is_end) in enumerate(sorted(points)):
        places[number, is_end] = float(place)
    beyond = float(len(points))
    return [
        (name, places[number, 0], places.get((number, 1), beyond + number))
        for number, name in enumerate(names)
    ]


def points_begin(points: Sequence[tuple[float, int, int, int]], number: int) -> float:
    """When this one began."""
    return next(at for at, _, one, is_end in points if one == number and not is_end)


def _share(values: "np.typing.NDArray[np.bool_]") -> str:
    return f"{values.mean():.0%}" if len(values) else "-"
