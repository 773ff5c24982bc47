"""Detectors over history on a manual clock: scenario files (`check`) and a moment of the past
(`detect --at`). Both work in a database and a state of their own: nothing is written that anyone
else reads, and no one is told."""

from collections import deque
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from detectors.brain import Brain
from stallwatch.app.history_copy import HistoryCopy
from stallwatch.app.scenario_ticks import calibrations, ticks_of
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
WARM_UP: Final = timedelta(hours=24)
WARM_UP_TICKS: Final = tuple(
    timedelta(minutes=minutes) for minutes in (1440, 720, 360, 180, 60, 30, 10, 5, 1)
)
"""How long before the moment asked for the detectors are asked as well: when a finding began is
known that finely."""


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


def run_scenario(store: Store, scenario: Scenario, clock: Clock | None = None) -> ScenarioResult:
    """Run a scenario in `store`, which is empty before and afterwards.

    1. the past arrives as it happened; 2. from the start on, events are delivered by the time they
    are received; 3. detectors are asked up to each expectation, and see what was received by then;
    4. what is firing is held against what is expected.

    `clock` measures the run, nothing else. Raises ConfigError for a wrong `policy`.
    """
    clock = clock or SystemClock()
    began_s = clock.monotonic_s()
    config = load_detectors(scenario.policy, f"{scenario.file}:{scenario.policy_line}: policy")
    if store.select("SELECT 1 FROM step_event_log LIMIT 1"):
        raise ValueError("a scenario is played in an empty store")
    try:
        problems, firing = _play(store, scenario, config)
    finally:
        store.empty()
    return ScenarioResult(problems, firing, clock.monotonic_s() - began_s)


def _play(
    store: Store, scenario: Scenario, config: DetectorsConfig
) -> tuple[list[str], list[list[Finding]]]:
    """Problems, and what was firing at each expectation."""
    start, past = scenario.start, scenario.past
    store.insert_events(past, [event.time for event in past], SENDER)
    store.fold(start)
    state = State(None)
    brain = Brain(store, state, config, epoch=start)
    brain.calibrate(start)
    relearned = frozenset(calibrations(scenario))
    expectations, deliveries = deque(scenario.expectations), deque(scenario.deliveries)
    problems: list[str] = []
    firing: list[list[Finding]] = []
    for at in ticks_of(scenario):
        _deliver(store, deliveries, at)
        if at in relearned:
            brain.calibrate(at)
        brain.tick(at)
        while expectations and expectations[0].at == at:
            found = [one for one in brain.findings() if one.status is Status.FIRING]
            firing.append(found)
            problems += check_expectation(expectations.popleft(), found)
    state.close()
    return problems, firing


def _deliver(store: Store, waiting: deque[Delivery], upto: datetime) -> None:
    """What is received up to then (inclusive) arrives."""
    batch = []
    while waiting and waiting[0].received_at <= upto:
        batch.append(waiting.popleft())
    store.insert_events([one.event for one in batch], [one.received_at for one in batch], SENDER)
    store.fold(upto)


def detect_at(
    store: Store,
    at: datetime,
    config: DetectorsConfig,
    only: Collection[str] | None = None,
    *,
    now: datetime,
    retention_s: float,
    go_on: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """What the detectors hold true of `at`, judged from what was received before it.

    1. copy the past up to the warm-up into a scratch database, receive times kept, and what definitions
    declare by now; 2. copy on and tick through the warm-up, so that it is known since when; 3. tick at `at`.

    `only`: these detectors. `retention_s`: how long events are kept; an `at` older than that, or
    later than `now`, is an InputError. `go_on` is asked between the steps, and raises where this is to be given up.
    Returns findings that are pending, firing or unknown.
    """
    if at > now:
        raise InputError(f"{rfc3339(at)} has not come yet")
    if now - at > timedelta(seconds=retention_s):
        kept = format_duration(retention_s)
        raise InputError(f"{rfc3339(at)} is beyond what is kept: events are deleted after {kept}")
    epoch = at - WARM_UP
    with store.scratch(f"detect_{token_hex(4)}", at) as scratch, closing(State(None)) as state:
        copied = HistoryCopy(store, scratch, epoch, at)
        copied.definitions()
        copied.move_to(epoch)
        brain = Brain(scratch, state, config, epoch)
        for until in (*(at - before for before in WARM_UP_TICKS if before < WARM_UP), at):
            go_on()
            copied.move_to(until)
            if brain.has_to_learn(until):
                brain.calibrate(until)
            go_on()
            brain.tick(until, only)
        found = brain.findings()
    return [one for one in found if only is None or one.detector in only]
