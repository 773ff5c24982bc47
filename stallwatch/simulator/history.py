"""Step events of synthetic workflows: the past of a scenario, and its healthy continuation.

Every execution draws from its own generator, seeded by (history's seed, past or live, its number):
the same seed gives the same events, whatever else is generated.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from numpy.random import Generator

from stallwatch.errors import UsageError
from stallwatch.model.events import StepEvent, content_id
from stallwatch.simulator.distributions import draw_s
from stallwatch.simulator.workflows import (
    DECLARED,
    DEFAULT_GAP_S,
    EVERYWHERE,
    EXECUTIONS_MAX,
    History,
    Parallel,
    Stage,
    Step,
)

ERROR_TYPE: Final = "SimulatedError"
CLOSED_BEFORE_S: Final = 0.001
"""How long before the scenario's start the last event of the past happened."""
_PAST, _LIVE, _FAILURES = 0, 1, 2
_NUMBER = "{i}"


def past_events(history: History, start: datetime, names: str = "past-{i}") -> list[StepEvent]:
    """The `n` executions of `history`, by time; the last event is just before `start`.

    Exactly the share `fail` of them (rounded to whole executions) fails. `{i}` in `names` is the
    execution's number from 0.
    """
    doomed = _doomed(history)
    courses = []
    for number in range(history.n):
        course = _Course(history, _rng(history, _PAST, number), doomed.get(number))
        name = names.replace(_NUMBER, str(number))
        courses.append((name, number * history.every_s, course.run()))
    last_s = max((begin_s + facts[-1].offset_s for _, begin_s, facts in courses), default=0.0)
    shift_s = -last_s - CLOSED_BEFORE_S
    events = [
        event
        for execution_id, begin_s, facts in courses
        for event in _events(history, start, begin_s + shift_s, execution_id, facts)
    ]
    return sorted(events, key=lambda event: event.time)


def executions_between(
    history: History,
    start: datetime,
    since_s: float,
    until_s: float,
    names: str = "bg-{i}",
    first: int = 0,
) -> list[StepEvent]:
    """Executions as those of `history`, none failing, by time.

    One starts every `every_s` from `start` + `since_s` on, the last before `start` + `until_s`;
    each runs to its end. `{i}` in `names` is its number, from `first` on. UsageError for too many of them.
    """
    n = max(0, math.ceil((until_s - since_s) / history.every_s - 1e-9))
    if n > EXECUTIONS_MAX:
        raise UsageError(f"{n} executions are more than {EXECUTIONS_MAX}")
    events: list[StepEvent] = []
    for number in range(first, first + n):
        facts = _Course(history, _rng(history, _LIVE, number), None).run()
        begin_s = since_s + (number - first) * history.every_s
        execution_id = names.replace(_NUMBER, str(number))
        events.extend(_events(history, start, begin_s, execution_id, facts))
    return sorted(events, key=lambda event: event.time)


def emit_json(events: Iterable[StepEvent]) -> bytes:
    """NDJSON of `events`, as `/v1/events` takes it: one object a line, empty fields left out."""
    return msgspec.json.Encoder().encode_lines(events)


@dataclass(frozen=True)
class _Fact:
    """An event before it has a date; `offset_s` counts from its execution's start."""

    offset_s: float
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


class _Course:
    """One run through a history's steps."""

    def __init__(self, history: History, rng: Generator, doomed: Step | None) -> None:
        self._history = history
        self._rng = rng
        self._doomed = doomed
        self._facts: list[_Fact] = []

    def run(self) -> list[_Fact]:
        """All events by time; the last one closes the execution."""
        self._facts.append(_Fact(0.0, "workflow.started"))
        end_s, healthy = self._run_stages(self._history.stages, 0.0, "")
        closing: dict[str, Any] = {}
        if not healthy:
            closing = {"error_type": ERROR_TYPE}
            end_s, _ = self._run_stages(self._history.on_failure, end_s, "")
        event = "workflow.completed" if healthy else "workflow.failed"
        self._facts.append(_Fact(end_s + DEFAULT_GAP_S, event, closing))
        return sorted(self._facts, key=lambda fact: fact.offset_s)

    def _run_stages(
        self, stages: tuple[Stage, ...], now_s: float, branch: str
    ) -> tuple[float, bool]:
        """When the last of `stages` ended, and whether all went well; a failure ends them."""
        for stage in stages:
            if isinstance(stage, Parallel):
                ends = []
                for number, inner in enumerate(stage.branches):
                    label = f"{branch}.{number}" if branch else str(number)
                    ends.append(self._run_stages(inner, now_s, label))
                now_s = max(end_s for end_s, _ in ends)
                healthy = all(well for _, well in ends)
            else:
                now_s, healthy = self._run_step(stage, now_s, branch)
            if not healthy:
                return now_s, False
        return now_s, True

    def _run_step(self, step: Step, now_s: float, branch: str) -> tuple[float, bool]:
        """When the step run ended, and whether it completed.

        A doomed step fails in every attempt that its retry policy allows.
        """
        everywhere = {key: step.fields[key] for key in EVERYWHERE if key in step.fields}
        everywhere |= {"step": step.name} | ({"branch": branch} if branch else {})
        declared = {key: step.fields[key] for key in DECLARED if key in step.fields}
        last_attempt = step.retry.max_attempts if step.retry else 1
        attempt = 1

        def tell(event: str, offset_s: float, **more: Any) -> None:
            said = {"attempt": attempt} if step.retry else {}
            self._facts.append(_Fact(offset_s, event, everywhere | said | more))

        now_s += draw_s(step.gap, self._rng)
        if step.queue_wait:
            tell("step.scheduled", now_s, **declared)
            now_s += draw_s(step.queue_wait, self._rng)
        while True:
            tell("step.started", now_s, **declared)
            duration_s = draw_s(step.duration, self._rng)
            if "waiting_on" in declared:
                wait_from_s = now_s + min(DEFAULT_GAP_S, duration_s / 2)
                tell("step.waiting", wait_from_s, waiting_on=declared["waiting_on"])
            now_s += duration_s
            fails = step is self._doomed or self._fails_first(step)
            if not fails or (attempt == last_attempt and step is not self._doomed):
                tell("step.completed", now_s)
                return now_s, True
            if attempt == last_attempt:
                tell("step.failed", now_s, error_type=ERROR_TYPE)
                return now_s, False
            tell("step.retrying", now_s, error_type=ERROR_TYPE)
            now_s += step.retry.backoff_s if step.retry else 0.0
            attempt += 1

    def _fails_first(self, step: Step) -> bool:
        return step.retry is not None and bool(self._rng.random() < step.retry.share)


def _doomed(history: History) -> dict[int, Step]:
    """Which executions of the past fail, and at which step."""
    candidates = [step for step in history.steps if step.may_fail]
    rng = _rng(history, _FAILURES, 0)
    numbers = rng.choice(history.n, size=round(history.fail * history.n), replace=False)
    return {int(number): candidates[int(rng.integers(len(candidates)))] for number in numbers}


def _rng(history: History, stream: int, number: int) -> Generator:
    return np.random.default_rng([history.seed, stream, number])


def _events(
    history: History, start: datetime, begin_s: float, execution_id: str, facts: list[_Fact]
) -> list[StepEvent]:
    """Complete events, as an ingested one is complete: with namespace and event id."""
    events = []
    for fact in facts:
        event = StepEvent(
            event=fact.event,
            time=start + timedelta(seconds=begin_s + fact.offset_s),
            workflow=history.workflow,
            execution_id=execution_id,
            **{"namespace": "default"} | history.common | fact.fields,
        )
        events.append(msgspec.structs.replace(event, event_id=content_id(event)))
    return events
