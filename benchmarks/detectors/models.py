"""`missing_step` and `state_regression` on processes that they were not made for, out of time.

Learned from the earlier half of each log, judged on the later by the detectors' own judges. Goal: without sequence
numbers at most 2 % of healthy executions are called to miss a step. Then, in executions of the later half, one step is
dropped (is it found, and named right?), and an earlier step begins again behind a later one (is it found?).

Each execution with a dropped step is judged by itself, so that no three of them make a way usual; for those that are
not found it is told why.

The logs are made up: random processes with choices, parallel parts, loops and options, steps without branch labels;
steps done for each item of a list; and, where `wfcommons` is installed, runs of scientific workflows on eight workers.
Real logs have a section of their own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from benchmarks.detectors import table
from benchmarks.detectors._made_up_logs import Log, lists, processes, workflows
from benchmarks.detectors._processes import Span, course
from detectors import missing_step, state_regression
from detectors.calibration import Calibration
from detectors.calibration.flows import COURSES_MAX, flows_of, with_rosters
from detectors.detector import Context, Row
from detectors.missing_step import SOURCE_MIN, TOLD_MIN
from detectors.statistics.flow_model import SIGHTINGS
from detectors.statistics.rosters import SURER, roster_of
from stallwatch.config import load_detectors
from stallwatch.model.findings import Observation
from stallwatch.model.ticks import Tick

NAME: Final = "Missing steps and ways back, without sequence numbers"
EPOCH: Final = datetime(2026, 3, 2, tzinfo=UTC)
AT: Final = EPOCH + timedelta(hours=1)
NOTICED: Final = AT - timedelta(minutes=15)
LATER_MIN: Final = 2000
"""Executions that are judged, so that shares are known where few were learned from."""
WORKFLOW: Final = {"namespace": "default", "engine": "custom", "workflow": "w"}

Judge = Callable[[Tick, Sequence[Row], Context], list[Observation]]


@dataclass(frozen=True)
class Scores:
    """Of one log: executions and different courses of the earlier half, and shares of the later half's executions.

    `unfound`: by reason, the executions with a dropped step that were not told; of them none can tell those that are
    as healthy ones are.
    """

    n: int
    courses: int
    false_missing: float
    dropped: int
    found: int
    named: int
    unfound: Counter[str]
    false_back: float
    back_found: float


HEALTHY, SEEN, FEW, OUTER, FREE, VARIED = (
    "as healthy ones are",
    "seen before",
    "alike too seldom",
    "at an end of a short one",
    "nothing demands it",
    "courses too varied",
)


def measure(quick: bool) -> str:
    n, few = (200, 100) if quick else (5000, 100)
    logs = [*processes(quick), *lists(quick)]
    scores = [(log.name, _scores(log, n, seed)) for seed, log in enumerate(logs)]
    scores += [(log.name, _scores(log, few, seed)) for seed, log in enumerate(logs)]
    try:
        for seed, log in enumerate(workflows(quick)):
            scores.append((log.name, _scores(log, n // 10, 100 + seed)))
        note = ""
    except ImportError:
        note = "\n\n`wfcommons` is not installed: no scientific workflows."
    return f"{_shares(scores)}{note}\n\n{REASONS}\n\n{_reasons(scores)}"


def _shares(scores: Sequence[tuple[str, Scores]]) -> str:
    rows = [
        [
            name,
            f"{one.n:,}",
            f"{one.courses:,}",
            f"{one.false_missing:.2%}",
            _percent(one.found, one.dropped),
            _percent(one.found, one.dropped - one.unfound[HEALTHY]),
            _percent(one.named, one.found),
            f"{one.false_back:.2%}",
            "-" if np.isnan(one.back_found) else f"{one.back_found:.0%}",
        ]
        for name, one in scores
    ]
    headings = ("log", "learned from", "courses", "falsely missing", "dropped step found", "of those that can be",
                "of the found named right", "falsely back", "way back found")  # fmt: skip
    return table(headings, rows)


REASONS: Final = f"""\
Why a dropped step was not found, of all that were dropped. *{HEALTHY.capitalize()}*: the process may run so too (what
is optional was left out, a loop went round once less); *{SEEN}*: an execution with the same steps was learned from;
*{FEW}*: fewer than {SOURCE_MIN} executions show that it belongs there (of further runs: {SURER * SOURCE_MIN});
*{OUTER}*: fewer than {TOLD_MIN} ran for each that is absent before or behind them: the execution may be told in part;
*{FREE}*: no step that ran is always beside it, and no {SOURCE_MIN} executions were the same but for one run."""


def _reasons(scores: Sequence[tuple[str, Scores]]) -> str:
    reasons = (HEALTHY, SEEN, FEW, OUTER, FREE, VARIED)
    rows = [
        [
            name,
            f"{one.n:,}",
            f"{one.dropped:,}",
            *(_percent(one.unfound[it], one.dropped) for it in reasons),
        ]
        for name, one in scores
    ]
    return table(("log", "learned from", "dropped", *reasons), rows)


def _scores(log: Log, n: int, seed: int) -> Scores:
    rng = np.random.default_rng([11, seed])
    earlier = Counter(course(log.run(rng)) for _ in range(n))
    later = [log.run(rng) for _ in range(max(n, LATER_MIN))]
    context = _learned(earlier)
    healthy = [course(spans) for spans in later]
    dropped, back = [], []
    for spans in later[: max(len(later) // 5, 1)]:
        if len(spans) > 1:
            gone = int(rng.integers(len(spans)))
            dropped.append((spans[gone][0], spans[:gone] + spans[gone + 1 :]))
        once_more = _gone_back(spans)
        if once_more is not None:
            back.append(once_more)
    found = named = 0
    unfound: Counter[str] = Counter()
    for step, rest in dropped:
        told = _judged(missing_step.judge, _missing_row, course(rest), context)
        found += bool(told)
        named += any(step in _missing_steps(one) for one in told)
        if not told:
            unfound[_reason(log, rest, context)] += 1
    returned = [bool(_judged(state_regression.judge, _back_row, one, context)) for one in back]
    return Scores(
        n,
        len(earlier),
        _false_share(missing_step.judge, _missing_row, healthy, context),
        len(dropped),
        found,
        named,
        unfound,
        _false_share(state_regression.judge, _back_row, healthy, context),
        _mean(returned),
    )


def _missing_steps(found: Observation) -> Sequence[str]:
    missing = found.evidence["missing"]
    return [missing] if isinstance(missing, str) else missing


def _reason(log: Log, rest: list[Span], context: Context) -> str:
    """Why nothing was told of an execution that lost a step."""
    (flow,) = context.calibration.flows.values()
    if log.may_be(Counter(step for step, _, _ in rest)):
        return HEALTHY
    if flow.varied and not flow.rosters:
        return VARIED
    roster = roster_of(course(rest))
    rosters = flow.rosters.get(0)
    if roster is None or rosters is None:
        return FEW
    if rosters.absence(roster, "", AT, SOURCE_MIN) is not None:
        return OUTER
    if rosters.absence(roster, "", AT, 1) is not None:
        return FEW
    return SEEN if rosters.is_known(roster, AT) else FREE


def _learned(earlier: Counter[tuple[str, ...]]) -> Context:
    """As calibration learns: the most frequent courses, and whether there are too many."""
    flows = flows_of(_rows(earlier))
    if any(flow.varied for flow in flows.values()):
        unordered: Counter[tuple[str, ...]] = Counter()
        for one, times in earlier.items():
            unordered[tuple(sorted(text for text in one if text[0] == "+"))] += times
        flows = with_rosters(flows, _rows(unordered))
    return Context(load_detectors({}, "benchmark"), Calibration(at=EPOCH, flows=flows))


def _rows(courses: Counter[tuple[str, ...]]) -> list[Row]:
    return [
        {
            **WORKFLOW, "workflow_version": "", "depth": 0, "course": one, "completed": True, "n": times,
            "first_at": EPOCH - timedelta(days=1), "executions": ("a", "b", "c")[:times],
        }
        for one, times in courses.most_common(COURSES_MAX)
    ]  # fmt: skip


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
        "whole": True,
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


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")
