"""Detectors over history on a manual clock: scenario files (`check`) and a moment of the past
(`detect --at`). Both work in a scratch database and a state in memory: nothing is written that
anyone else reads, and no one is told."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from detectors.brain import Brain
from stallwatch.app.history_copy import PAST, HistoryCopy
from stallwatch.clock import Clock, SystemClock
from stallwatch.config import DetectorsConfig, load_detectors
from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, rfc3339
from stallwatch.model.findings import Finding, Status
from stallwatch.simulator.expectations import check_expectation
from stallwatch.simulator.scenario import Delivery, Scenario
from stallwatch.store import Store
from stallwatch.store.state import State

SENDER: Final = "scenario"
"""All events of a scenario come from one sender, so that its silence can be told."""
TICKS_BETWEEN: Final = 3
TICKS_BETWEEN_MAX: Final = 40
"""Ticks between a scenario's start and its last expectation beside those that it asks for: what
detectors say depends on the time they are asked for only, so idle ones can be skipped."""
CALIBRATION_EVERY: Final = timedelta(hours=1)
WARM_UP: Final = timedelta(hours=24)
WARM_UP_TICKS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (1440, 720, 360, 180, 60, 30, 10, 5, 1)
)
"""How long before the moment asked for the detectors are asked as well: when a finding began is
known that finely."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class ScenarioResult:
    """`problems`: what is not as expected, a sentence each. `firing`: what was firing at each
    expectation, in their order. `seconds`: how long the run took."""

    problems: list[str]
    firing: list[list[Finding]]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.problems


def run_scenario(
    store_root: Store, scenario: Scenario, clock: Clock | None = None
) -> ScenarioResult:
    """Run a scenario in a scratch database beside `store_root`.

    1. the past arrives as it happened; 2. from the start on, events are delivered by the time they
    are received; 3. detectors tick up to each expectation, and see what was received by then;
    4. what is firing is held against what is expected.

    `clock` measures the run, nothing else. Raises ConfigError for a wrong `policy`.
    """
    clock = clock or SystemClock()
    began_s = clock.monotonic_s()
    config = load_detectors(scenario.policy, f"{scenario.file}:{scenario.policy_line}: policy")
    problems: list[str] = []
    firing: list[list[Finding]] = []
    start = scenario.start
    with store_root.scratch(f"scenario_{next(_numbers)}", start) as store:
        past = scenario.past
        store.insert_events(past, [event.time for event in past], SENDER)
        store.fold(start)
        state = State(None)
        stage = _Stage(store, Brain(store, state, config, epoch=start), scenario.deliveries, start)
        for expectation in scenario.expectations:
            for at in _grid(start, scenario.expectations[-1].at, expectation.at, stage.at):
                stage.move_to(at)
            stage.move_to(expectation.at)
            found = [one for one in stage.brain.findings() if one.status is Status.FIRING]
            firing.append(found)
            problems += check_expectation(expectation, found)
        state.close()
    return ScenarioResult(problems, firing, clock.monotonic_s() - began_s)


class _Stage:
    """A scenario's play: the manual clock, what was delivered so far, the brain that watches."""

    def __init__(
        self, store: Store, brain: Brain, deliveries: Sequence[Delivery], start: datetime
    ) -> None:
        self._store = store
        self.brain = brain
        self._waiting = list(deliveries)
        self._delivered = 0
        self.at = start
        self._calibrated_at = start
        brain.calibrate(start)

    def move_to(self, at: datetime) -> None:
        """Deliver what is received up to `at` (inclusive) and tick there."""
        self._deliver(at)
        if at - self._calibrated_at >= CALIBRATION_EVERY:
            self.brain.calibrate(at)
            self._calibrated_at = at
        self.brain.tick(at)
        self.at = at

    def _deliver(self, upto: datetime) -> None:
        end = self._delivered
        while end < len(self._waiting) and self._waiting[end].received_at <= upto:
            end += 1
        batch = self._waiting[self._delivered : end]
        self._delivered = end
        self._store.insert_events(
            [one.event for one in batch], [one.received_at for one in batch], SENDER
        )
        self._store.fold(upto)


def _grid(start: datetime, end: datetime, upto: datetime, after: datetime) -> Iterable[datetime]:
    """The ticks strictly between `after` and `upto`: TICKS_BETWEEN over the whole run, and one an
    hour unless these are more than TICKS_BETWEEN_MAX."""
    step = min((end - start) / (TICKS_BETWEEN + 1), CALIBRATION_EVERY)
    step = max(step, (end - start) / (TICKS_BETWEEN_MAX + 1))
    if step <= timedelta(0):
        return
    number = (after - start) // step + 1
    while (at := start + number * step) < upto:
        yield at
        number += 1


def detect_at(
    store: Store,
    at: datetime,
    config: DetectorsConfig,
    only: Collection[str] | None = None,
    *,
    now: datetime,
    retention_s: float,
) -> list[Finding]:
    """What the detectors hold true of `at`, judged from what was received before it.

    1. copy the past up to the warm-up into a scratch database, receive times kept, and what definitions
    declare by now; 2. copy on and tick through the warm-up, so that it is known since when; 3. tick at `at`.

    `only`: these detectors. `retention_s`: how long events are kept; an `at` older than that, or
    later than `now`, is an InputError. Returns findings that are pending, firing or unknown.
    """
    if at > now:
        raise InputError(f"{rfc3339(at)} has not come yet")
    if now - at > timedelta(seconds=retention_s):
        kept = format_duration(retention_s)
        raise InputError(f"{rfc3339(at)} is beyond what is kept: events are deleted after {kept}")
    epoch = at - WARM_UP
    with store.scratch(f"detect_{next(_numbers)}", at) as scratch:
        copied = HistoryCopy(store, scratch, at - WARM_UP - PAST, at)
        copied.definitions()
        copied.move_to(epoch)
        state = State(None)
        brain = Brain(scratch, state, config, epoch)
        for until in (*(at - before for before in WARM_UP_TICKS if before < WARM_UP), at):
            copied.move_to(until)
            brain.calibrate(until)
            brain.tick(until, only)
        found = brain.findings()
        state.close()
    return [one for one in found if only is None or one.detector in only]
