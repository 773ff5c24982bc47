"""When detectors are asked in a scenario: at its expectations, and before them where that can matter. Pure.

What detectors hold true depends on the store and the time alone, so idle ticks are left out. Two things remember: the
calibration, learned anew every hour, and the brain, which expects a step to take longer from then on when an attempt
that was called late completes after all.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from detectors.brain import LEARN_EVERY
from stallwatch.model.events import StepEvent
from stallwatch.simulator.scenario import Scenario

_YOUNG: Final = [timedelta(minutes=2**power) for power in range(6)]
"""Without a past it is also learned after so long, as a service does that knows nothing."""
CALIBRATIONS_MAX: Final = 40
"""Of a story of days the calibrations are further apart, and so many."""
TICK: Final = timedelta(seconds=1)
"""How often the service looks for late steps: so long before one completed it last did."""
_ENDS: Final = frozenset({"step.completed", "step.cancelled", "step.skipped"})

_Step = tuple[str, str, str, str]
"""namespace, engine, workflow, step"""


@dataclass(frozen=True)
class _Call:
    """A call of a step: when it began, when its end was received (None: never), and whether it completed."""

    begun_at: datetime
    ended_at: datetime | None
    completed: bool

    def age(self, at: datetime) -> timedelta:
        """How old it is at that time, or was when it ended."""
        return (at if self.ended_at is None else min(at, self.ended_at)) - self.begun_at

    def is_over(self, at: datetime) -> bool:
        return self.ended_at is not None and self.ended_at < at


def ticks_of(scenario: Scenario) -> list[datetime]:
    """Every moment at which the detectors are asked, ascending; the last is the last expectation's."""
    expected = [one.at for one in scenario.expectations]
    ticks = {*expected, *calibrations(scenario)}
    for completed_at in _lessons(scenario):
        # The first calls it late if it is, the second learns that it was healthy.
        ticks |= {max(scenario.start, completed_at - TICK), completed_at}
    return sorted(ticks)


def calibrations(scenario: Scenario) -> list[datetime]:
    """When to learn anew after the start: every hour in which something came, and before each expectation, since what
    was learned grows old."""
    start, end = scenario.start, scenario.expectations[-1].at
    every = max(LEARN_EVERY, (end - start) / CALIBRATIONS_MAX)
    received = sorted(one.received_at for one in scenario.deliveries)
    young = [] if scenario.past else [start + age for age in _YOUNG if start + age <= end]
    later = [start + number * every for number in range(1, (end - start) // every + 1)]
    kept: list[datetime] = []
    for at in young + later:
        news = bisect_right(received, at) - bisect_right(received, kept[-1] if kept else start)
        old = at not in young and any(at <= one.at < at + every for one in scenario.expectations)
        if news or old:
            kept.append(at)
    return kept


def _lessons(scenario: Scenario) -> Iterator[datetime]:
    """For each expectation at which a call of a step is open that is older than any was in the past: when the longest
    such call before it completed, which may have been called late."""
    past = _calls((event, event.time) for event in scenario.past)
    told = _calls((one.event, one.received_at) for one in scenario.deliveries)
    end = scenario.expectations[-1].at
    for step, calls in told.items():
        usual = TICK + max((one.age(end) for one in past[step] if one.completed), default=TICK)
        long = [call for call in calls if call.age(end) > usual]
        for at in (one.at for one in scenario.expectations):
            if any(call.age(at) > usual and not call.is_over(at) for call in long):
                healthy = [call for call in long if call.completed and call.is_over(at)]
                longest = max(healthy, key=lambda call: call.age(end), default=None)
                if longest is not None and longest.ended_at is not None:
                    yield longest.ended_at


def _calls(events: Iterable[tuple[StepEvent, datetime]]) -> defaultdict[_Step, list[_Call]]:
    """The calls of each step, from its events in the order in which they are received. What is tried again is one call;
    what ended before anyone heard of it was never open."""
    open_: dict[tuple[_Step, str, str, str], datetime] = {}
    calls: defaultdict[_Step, list[_Call]] = defaultdict(list)
    for event, received_at in events:
        if not event.step:
            continue
        step = (event.namespace, event.engine, event.workflow, event.step)
        key = (step, event.execution_id, event.run_id, event.branch)
        if event.event not in _ENDS:
            open_.setdefault(key, event.time)
        elif (begun_at := open_.pop(key, None)) is not None:
            calls[step].append(_Call(begun_at, received_at, event.event == "step.completed"))
    for (step, *_), begun_at in open_.items():
        calls[step].append(_Call(begun_at, None, False))
    return calls
