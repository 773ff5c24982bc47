"""`missing_step` and `state_regression` on processes that they were not made for, out of time.

Learned from the earlier half of each log, judged on the later by the detectors' own judges. Goal: without sequence
numbers at most 2 % of healthy executions are called to miss a step. Then, in executions of the later half, one step is
dropped (is it found, and named right?), and an earlier step begins again behind a later one (is it found?).

The logs are made up: random processes with choices, parallel parts, loops and options, steps without branch labels;
and, where `wfcommons` is installed, runs of scientific workflows on eight workers. Real logs come with no package:
pm4py's wheel and source have none.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from benchmarks.detectors import table
from benchmarks.detectors._processes import RECIPES, Span, course, played, process, scientific
from detectors import missing_step, state_regression
from detectors.calibration import Calibration
from detectors.calibration.flows import COURSES_MAX
from detectors.detector import Context, Row
from detectors.statistics.flow_model import SIGHTINGS, Observed, learned_flow
from stallwatch.config import load_detectors
from stallwatch.model.findings import Observation
from stallwatch.model.ticks import Tick

NAME: Final = "Missing steps and ways back, without sequence numbers"
EPOCH: Final = datetime(2026, 3, 2, tzinfo=UTC)
AT: Final = EPOCH + timedelta(hours=1)
NOTICED: Final = AT - timedelta(minutes=15)
WORKFLOW: Final = {"namespace": "default", "engine": "custom", "workflow": "w"}

Judge = Callable[[Tick, Sequence[Row], Context], list[Observation]]


@dataclass(frozen=True)
class Scores:
    """Of one log: executions and different courses of the earlier half, and shares of the later half's executions."""

    n: int
    courses: int
    false_missing: float
    found: float
    named: float
    false_back: float
    back_found: float


def measure(quick: bool) -> str:
    n = 200 if quick else 5000
    logs: list[tuple[str, Scores]] = []
    for seed, steps in enumerate((6, 8, 10, 12, 15, 20, 25, 30) if not quick else (6, 12)):
        root = process(np.random.default_rng([7, seed]), steps)

        def run(rng: Generator, root: Any = root) -> list[Span]:
            return played(root, rng)[0]

        logs.append((f"process {seed + 1}, {steps} steps", _scores(run, n, seed)))
    try:
        for seed, (name, tasks) in enumerate(RECIPES if not quick else RECIPES[:1]):
            logs.append(
                (
                    f"{name}, {tasks} tasks",
                    _scores(scientific(name, tasks, seed), n // 10, 100 + seed),
                )
            )
        note = ""
    except ImportError:
        note = "\n\n`wfcommons` is not installed: no scientific workflows."
    rows = [
        [
            name,
            f"{one.n:,}",
            f"{one.courses:,}",
            f"{one.false_missing:.2%}",
            _percent(one.found),
            _percent(one.named),
            f"{one.false_back:.2%}",
            _percent(one.back_found),
        ]
        for name, one in logs
    ]
    headings = ("log", "learned from", "courses", "falsely missing", "dropped step found", "of these named right",
                "falsely back", "way back found")  # fmt: skip
    return table(headings, rows) + note


def _scores(run: Callable[[Generator], list[Span]], n: int, seed: int) -> Scores:
    rng = np.random.default_rng([11, seed])
    earlier = Counter(course(run(rng)) for _ in range(n))
    later = [run(rng) for _ in range(n)]
    context = _learned(earlier)
    healthy = [course(spans) for spans in later]
    dropped, back = [], []
    for spans in later[: max(n // 5, 1)]:
        if len(spans) > 1:
            gone = int(rng.integers(len(spans)))
            dropped.append((spans[gone][0], course(spans[:gone] + spans[gone + 1 :])))
        once_more = _gone_back(spans)
        if once_more is not None:
            back.append(once_more)
    missed = [
        {found.step for found in _judged(missing_step.judge, _missing_row, one, context)}
        for _, one in dropped
    ]
    found = [bool(steps) for steps in missed]
    named = [step in steps for (step, _), steps in zip(dropped, missed, strict=True) if steps]
    returned = [bool(_judged(state_regression.judge, _back_row, one, context)) for one in back]
    return Scores(
        n,
        len(earlier),
        _false_share(missing_step.judge, _missing_row, healthy, context),
        _mean(found),
        _mean(named),
        _false_share(state_regression.judge, _back_row, healthy, context),
        _mean(returned),
    )


def _learned(earlier: Counter[tuple[str, ...]]) -> Context:
    """As calibration learns: the most frequent courses, and whether there are too many."""
    known = earlier.most_common(COURSES_MAX)
    observed = [
        Observed("", 0, one, True, times, EPOCH - timedelta(days=1), ("a", "b", "c")[:times])
        for one, times in known
    ]
    flow = learned_flow(observed, varied=len(known) >= COURSES_MAX)
    return Context(
        load_detectors({}, "benchmark"),
        Calibration(at=EPOCH, flows={("default", "custom", "w"): flow}),
    )


def _gone_back(spans: list[Span]) -> tuple[str, ...] | None:
    """The execution with its first step once more behind its last one; None if that ran twice anyway."""
    by_begin = sorted(spans, key=lambda span: span[1])
    first = by_begin[0][0]
    end = max(span[2] for span in spans)
    if sum(step == first for step, _, _ in spans) != 1 or by_begin[-1][1] <= by_begin[0][2]:
        return None
    return course([*spans, (first, end + 1, end + 2)])


def _false_share(
    judge: Judge,
    row: Callable[[tuple[str, ...]], Row],
    healthy: Sequence[tuple[str, ...]],
    context: Context,
) -> float:
    """The share of healthy executions that are told, each new way until three have shown it."""
    told: Counter[str] = Counter()
    false = 0
    for one in healthy:
        fresh = {
            found.fingerprint
            for found in _judged(judge, row, one, context)
            if told[found.fingerprint] < SIGHTINGS - 1
        }
        told.update(fresh)
        false += bool(fresh)
    return false / len(healthy)


def _judged(
    judge: Judge, row: Callable[[tuple[str, ...]], Row], one: tuple[str, ...], context: Context
) -> list[Observation]:
    return judge(Tick(EPOCH, AT, EPOCH), [row(one)], context)


def _missing_row(one: tuple[str, ...]) -> Row:
    times = [NOTICED] * (len(one) + 1)
    seen = [(NOTICED, "o-1", times, times)]
    return {
        **WORKFLOW,
        "workflow_version": "",
        "depth": 0,
        "course": one,
        "completed": True,
        "n": 1,
        "seen": seen,
    }


def _back_row(one: tuple[str, ...]) -> Row:
    times = [NOTICED] * (len(one) + 1)
    return {
        **WORKFLOW,
        "workflow_version": "",
        "depth": 0,
        "course": one,
        "seen": [("o-1", times, times)],
        "kind": "reentry",
        "step": "",
        "later": "",
    }


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.0%}"


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")
