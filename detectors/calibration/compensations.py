"""Which step undoes which when an execution fails: as events declare, or as earlier failures showed."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.statistics.flow_model import Flow
from detectors.statistics.samples import sorted_durations
from detectors.statistics.threshold import stall_threshold
from detectors.statistics.wilson import wilson_lower
from stallwatch.store import Store

FAILURES_MIN: Final = 20
SHARE_MIN: Final = 0.9
"""Failures with a completed step, and the share of them after which another began, from which on that one is its
compensation."""
DELAY_MIN_S: Final = 60.0
DELAY_MAX_S: Final = 86_400.0
"""Within what detectors look back at."""
ALPHA: Final = 1e-3
"""The probability with which a compensation may be called missing that comes after all: failures are few, so with
it a workflow that fails a hundred times a week is mistaken about once in ten weeks."""
EXECUTIONS_MAX: Final = 2_000
EXECUTIONS_OF_ALL_MAX: Final = 50_000
CLOCKS_AHEAD: Final = timedelta(minutes=10)
_SQL: Final = (
    (files("detectors.calibration") / "compensations.sql").read_text(encoding="utf-8").strip()
)

Row = Mapping[str, Any]
WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""


@dataclass(frozen=True)
class Compensation:
    """`step` is undone by any of `by`, which begins within `limit_s` of the execution's failure.

    `declared` by events; else `shown` in so many of `failures`.
    """

    step: str
    by: frozenset[str]
    limit_s: float
    declared: bool
    shown: int = 0
    failures: int = 0


def learn_compensations(
    store: Store, since: datetime, until: datetime, flows: Mapping[WorkflowKey, Flow]
) -> dict[WorkflowKey, tuple[Compensation, ...]]:
    """From executions that failed in (since, until]. `flows` tell what runs when all goes well."""
    parameters = {
        "from": since,
        "until": until,
        "folded_from": max(0, int((since - CLOCKS_AHEAD).timestamp() * 1e6)),
        "most": EXECUTIONS_MAX,
        "most_of_all": EXECUTIONS_OF_ALL_MAX,
    }
    return compensations_of(store.select(_SQL, parameters), flows)


def compensations_of(
    rows: Iterable[Row], flows: Mapping[WorkflowKey, Flow]
) -> dict[WorkflowKey, tuple[Compensation, ...]]:
    """From rows of `compensations.sql`, by workflow; those without any are left out."""
    by_workflow: defaultdict[WorkflowKey, list[Row]] = defaultdict(list)
    for row in rows:
        by_workflow[(row["namespace"], row["engine"], row["workflow"])].append(row)
    found = {key: _of_workflow(ones, flows.get(key, Flow())) for key, ones in by_workflow.items()}
    return {key: ones for key, ones in found.items() if ones}


def _of_workflow(rows: Sequence[Row], flow: Flow) -> tuple[Compensation, ...]:
    """The declared ones, and those that the failures show of steps that declare nothing."""
    declared: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        for step, undone in row["begun"]:
            if undone:
                declared[undone].add(step)
    known = [
        Compensation(step, frozenset(by), _limit_s(rows, by), declared=True)
        for step, by in sorted(declared.items())
    ]
    undoing = {step for by in declared.values() for step in by}
    failures = [row for row in rows if row["failed"]]
    # A step that runs when all goes well undoes nothing; one that declares what it undoes, nothing else.
    only_then = {
        step for row in failures for step, _ in row["begun"] if step not in flow.ran
    } - undoing
    for by_step in sorted(only_then):
        shown = _shown(failures, by_step, flow)
        if shown is not None and shown.step not in declared:
            known.append(shown)
    return tuple(known)


def _shown(failures: Sequence[Row], by_step: str, flow: Flow) -> Compensation | None:
    """The step that `by_step` undoes, by the failures alone.

    Of the steps after whose completion it practically always began, the one without which it began least; among
    equals the one that completed last: what is undone is what was done last. Steps that themselves only run in
    failing executions are undone by nobody.
    """
    with_step: Counter[str] = Counter()
    followed: Counter[str] = Counter()
    order: dict[str, float] = {}
    began_in = 0
    for row in failures:
        began = any(step == by_step for step, _ in row["begun"])
        began_in += row["n"] if began else 0
        for place, step in enumerate(row["done"]):
            if step == by_step or step not in flow.ran:
                continue
            with_step[step] += row["n"]
            followed[step] += row["n"] if began else 0
            order[step] = max(order.get(step, 0.0), place)
    fitting = [
        step
        for step, n in with_step.items()
        if n >= FAILURES_MIN and wilson_lower(followed[step], n) >= SHARE_MIN
    ]
    if not fitting:
        return None
    best = min(fitting, key=lambda step: (began_in - followed[step], -order[step], step))
    return Compensation(
        best,
        frozenset({by_step}),
        _limit_s(failures, {by_step}),
        declared=False,
        shown=followed[best],
        failures=with_step[best],
    )


def _limit_s(rows: Sequence[Row], by: Collection[str]) -> float:
    """max(τ of the delay behind the execution's end, 60 s); at most a day."""
    delays = [
        delay_s
        for row in rows
        if row["failed"]
        for sampled in row["delays"]
        for step, _, delay_s in sampled
        if step in by and delay_s > 0
    ]
    if not delays:
        return DELAY_MIN_S
    threshold = stall_threshold(sorted_durations(np.asarray(delays, dtype=np.float64)), ALPHA)
    return min(max(threshold.seconds or 0.0, DELAY_MIN_S), DELAY_MAX_S)
