"""Detectors over history on a manual clock: scenario files (`check`) and a moment of the past
(`detect --at`). Both work in a scratch database and a state in memory: nothing is written that
anyone else reads, and no one is told."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from detectors.brain import Brain
from stallwatch.clock import Clock, SystemClock
from stallwatch.config import load_detectors
from stallwatch.model.findings import Finding, Status
from stallwatch.simulator.expectations import check_expectation
from stallwatch.simulator.scenario import Delivery, Scenario
from stallwatch.store import Store
from stallwatch.store.state import State

SENDER: Final = "scenario"
"""All events of a scenario come from one sender, so that its silence can be told."""
TICKS_BETWEEN: Final = 3
"""Ticks between a scenario's start and its last expectation beside those that it asks for: what
detectors say depends on the time they are asked for only, so idle ones can be skipped."""
CALIBRATION_EVERY: Final = timedelta(hours=1)
WARM_UP: Final = timedelta(hours=24)
WARM_UP_TICKS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (1440, 720, 360, 180, 60, 30, 10, 5, 1)
)
"""How long before the moment asked for the detectors are asked as well: when a finding began is
known that finely."""
PAST: Final = timedelta(days=7)
"""What detectors learn from, before the warm-up."""

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
    """The ticks strictly between `after` and `upto`: TICKS_BETWEEN over the whole run, at least one
    an hour."""
    step = min((end - start) / (TICKS_BETWEEN + 1), CALIBRATION_EVERY)
    if step <= timedelta(0):
        return
    number = (after - start) // step + 1
    while (at := start + number * step) < upto:
        yield at
        number += 1
