"""Detectors over stored history, tick by tick, and what they called when."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from opentelemetry.metrics import NoOpMeter

from detectors.brain import Brain
from detectors.calibration import Calibration
from detectors.pace import Pace
from detectors.registry import DETECTORS
from stallwatch.app.history_copy import HistoryCopy
from stallwatch.clock import SystemClock
from stallwatch.config import DetectorsConfig
from stallwatch.errors import InputError
from stallwatch.model.durations import format_duration, rfc3339
from stallwatch.model.findings import Finding, Status
from stallwatch.simulator.expectations import Expectation, check_expectation, parse_expectation
from stallwatch.simulator.spec import parse_yaml
from stallwatch.store import Store
from stallwatch.store.state import State

TICKS_USUAL: Final = 300
TICKS_MAX: Final = 20_000
TICK_MIN: Final = timedelta(seconds=5)


@dataclass
class Episode:
    """A finding from when it first fired to when it no longer did. `flagged`: when it first named each execution;
    `ended_at` None: it still fired at the end of the replay."""

    finding: Finding
    fired_at: datetime
    ended_at: datetime | None = None
    flagged: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Played:
    """What a replay saw. `problems`: expectations that did not hold, a sentence each."""

    since: datetime
    until: datetime
    tick: timedelta
    asked: frozenset[str]
    episodes: Sequence[Episode]
    calibration: Calibration
    problems: Sequence[str]


def tick_length(since: datetime, until: datetime, every_s: float | None) -> timedelta:
    """How far apart the ticks are: as asked, else about TICKS_USUAL of them."""
    span = until - since
    if every_s is None:
        return max(TICK_MIN, span / TICKS_USUAL)
    every = timedelta(seconds=every_s)
    if span / every > TICKS_MAX:
        least = format_duration(span / timedelta(seconds=1) / TICKS_MAX)
        raise InputError(
            f"--every: {format_duration(every_s)} is too often for so long a time: {least} or more"
        )
    return every


def parse_expectations(text: str, file: str, since: datetime) -> list[Expectation]:
    """The `expect` of a file as in a scenario, offsets counted from `since`; InputError names file and line."""
    children = parse_yaml(text, file).mapping(("name", "expect"), ("expect",))
    found = [parse_expectation(item, since) for item in children["expect"].sequence()]
    return sorted(found, key=lambda expectation: expectation.at)


def play(
    store: Store,
    config: DetectorsConfig,
    since: datetime,
    until: datetime,
    every: timedelta,
    only: Collection[str] | None = None,
    expectations: Sequence[Expectation] = (),
    progress: Callable[[datetime], None] = lambda at: None,
) -> Played:
    """Receive the stored history again in a scratch database, and ask the detectors at each tick in (since, until].

    Each is asked by its own tick length; at the end and where something is expected all are.
    What was received before `since` only teaches. `progress` is told how far it came, and may
    raise to end it. Raises InputError for an expectation outside the time.
    """
    for expectation in expectations:
        if not since <= expectation.at <= until:
            raise InputError(f"line {expectation.line}: {rfc3339(expectation.at)} is not replayed")
    episodes = _Episodes()
    problems: list[str] = []
    with store.scratch(f"replay_{token_hex(4)}", since) as scratch, closing(State(None)) as state:
        copied = HistoryCopy(store, scratch, since, until)
        copied.definitions()
        copied.move_to(since)
        progress(since)
        brain = Brain(scratch, state, config, epoch=since)
        calibration = brain.calibrate(since)
        progress(since)
        pace = Pace(SystemClock(), NoOpMeter("replay"))
        expected = {until, *(one.at for one in expectations)}
        for at in _ticks(since, until, every, expected):
            copied.move_to(at)
            if brain.has_to_learn(at):
                calibration = brain.calibrate(at)
            due = [one.id for one in DETECTORS] if at in expected else pace.due(at)
            brain.tick(at, [one for one in due if only is None or one in only])
            pace.asked(due, at)
            firing = [one for one in brain.findings() if one.status is Status.FIRING]
            told = [one for one in firing if only is None or one.detector in only]
            episodes.see(at, told)
            for expectation in expectations:
                if expectation.at == at:
                    problems += check_expectation(expectation, told)
            progress(at)
    asked = {
        one.id for one in DETECTORS if config.wants(one.id) and (only is None or one.id in only)
    }
    return Played(since, until, every, frozenset(asked), episodes.all, calibration, problems)


def _ticks(
    since: datetime, until: datetime, every: timedelta, also: Collection[datetime]
) -> list[datetime]:
    number = int((until - since) / every)
    regular = {since + (place + 1) * every for place in range(number)}
    return sorted({*regular, until, *also})


class _Episodes:
    """Follows the findings that fire from tick to tick."""

    def __init__(self) -> None:
        self.all: list[Episode] = []
        self._open: dict[str, Episode] = {}

    def see(self, at: datetime, firing: Sequence[Finding]) -> None:
        present = {finding.fingerprint: finding for finding in firing}
        for fingerprint in [one for one in self._open if one not in present]:
            self._open.pop(fingerprint).ended_at = at
        for fingerprint, finding in present.items():
            episode = self._open.get(fingerprint)
            if episode is None:
                episode = self._open[fingerprint] = Episode(finding, at)
                self.all.append(episode)
            episode.finding = finding
            for execution in finding.executions:
                episode.flagged.setdefault(execution, at)
