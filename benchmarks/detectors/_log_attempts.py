"""How long things took in a public event log, told as the detectors are told of attempts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors._public_logs import Event, Log
from detectors.calibration.learned import Learned
from detectors.calibration.learning import SAMPLE
from detectors.calibration.steps import CENSORED_SAMPLE, learned_from
from detectors.statistics.correlation import GROUPS_MAX
from detectors.statistics.samples import Floats

ALIKE_SAMPLE: Final = 2000
"""As `steps.sql` takes of runs in one execution."""

Interval = tuple[str, Event, Event]
"""the step, and the events that begin and end it"""


@dataclass(frozen=True)
class Attempts:
    """Of one step, in the order in which they ended; `case` tells executions apart. `hour` and `weekday` of the
    beginning, `end_hour` of the end, by the local clock."""

    step: str
    begin: Floats
    end: Floats
    hour: Floats
    weekday: NDArray[np.int64]
    case: NDArray[np.int64]
    end_hour: Floats

    @property
    def durations_s(self) -> Floats:
        return self.end - self.begin

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Attempts":
        """Some of them."""
        return Attempts(
            self.step,
            self.begin[chosen],
            self.end[chosen],
            self.hour[chosen],
            self.weekday[chosen],
            self.case[chosen],
            self.end_hour[chosen],
        )


def works(log: Log) -> list[Attempts]:
    """From the start of an activity to its completion."""
    return _attempts(log, lambda case: _pairs(case, "start", "complete"))


def waits(log: Log) -> list[Attempts]:
    """From the scheduling of an activity to its start."""
    return _attempts(log, lambda case: _pairs(case, "schedule", "start"))


def gaps_before(log: Log) -> list[Attempts]:
    """What precedes an event, as if its step had begun with the event before: most logs tell of completions only."""
    return _attempts(log, lambda case: ((_name(b), a, b) for a, b in _idle(log, case)))


def gaps_behind(log: Log) -> list[Attempts]:
    """What follows an event, as `stalled_execution` looks at it."""
    return _attempts(log, lambda case: ((_name(a), a, b) for a, b in _idle(log, case)))


def _pairs(case: list[Event], first: str, last: str) -> Iterator[Interval]:
    begun: dict[str, Event] = {}
    for event in case:
        if event.transition == first:
            begun[event.activity] = event
        elif event.transition == last and event.activity in begun:
            yield event.activity, begun.pop(event.activity), event


def _idle(log: Log, case: list[Event]) -> Iterator[tuple[Event, Event]]:
    """Neighbouring events with no activity running in between."""
    running: set[str] = set()
    for event, following in pairwise(case):
        if event.transition == "start":
            running.add(event.activity)
        else:
            running.discard(event.activity)
        if not (log.source.spans and running):
            yield event, following


def _name(event: Event) -> str:
    return f"{event.activity} ({event.transition})" if event.transition else event.activity


def _attempts(log: Log, intervals: Any) -> list[Attempts]:
    columns: defaultdict[str, list[tuple[float, float, float, int, int, float]]] = defaultdict(list)
    for number, case in enumerate(log.cases):
        for step, a, b in intervals(case):
            columns[step].append((a.at, b.at, a.hour, a.weekday, number, b.hour))
    found = []
    for step in sorted(columns):
        every = Attempts(step, *map(np.array, zip(*columns[step], strict=True)))
        found.append(every.where(np.argsort(every.end, kind="stable")))
    return found


def learned(past: Attempts, at: float, alpha: float, ratchet: bool = False) -> Learned | None:
    """What the calibration learns by that time of all that had begun before; None if nothing had ended.

    `ratchet`: what already took longer than the threshold would have raised it.
    """
    begun = past.where(past.begin < at)
    over = begun.end <= at
    if not over.any():
        return None
    row = row_of(begun, at, np.random.default_rng(17))
    longest_s = row["longest_live_s"] if ratchet else 0.0
    return learned_from({**row, "longest_live_s": longest_s}, alpha)


def row_of(begun: Attempts, at: float, random: np.random.Generator) -> Mapping[str, Any]:
    """A row as `steps.sql` has it, of attempts of which some had ended by then."""
    over = begun.end <= at
    done = begun.where(over)
    durations_s, open_s = done.durations_s, at - begun.begin[~over]
    executions = len(np.unique(done.case))
    alike = executions <= GROUPS_MAX and len(durations_s) >= 2 * executions
    some = _sample(np.arange(len(durations_s)), ALIKE_SAMPLE, random)
    return {
        "n": len(durations_s),
        "durations_s": _sample(durations_s, SAMPLE, random),
        "censored": len(open_s),
        "censored_s": _sample(open_s, CENSORED_SAMPLE, random),
        "by_execution": list(zip(done.case[some], durations_s[some], strict=True)) if alike else [],
        "longest_live_s": float(durations_s.max()),
        "lateness_s": 0.0,
        "first_at": datetime.fromtimestamp(float(done.end[0]), UTC),
        "last_at": datetime.fromtimestamp(float(done.end[-1]), UTC),
    }


def _sample(values: Any, most: int, random: np.random.Generator) -> Any:
    return values if len(values) <= most else random.choice(values, most, replace=False)
