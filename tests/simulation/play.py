"""Worlds played on a manual clock against the real store, brain, state and alerts, with crashes and an outage.

What must hold, whatever the seed:

1. Each fault is called, by its threshold and a tick after what tells of it was there.
2. What is healthy is not called: each exception is a false alarm, and counted.
3. A finding's transitions are numbered without a gap and without a repetition, also over crashes.
4. Each alert is told once, in order, and what was told as firing and is over was told as resolved.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from alerts.dispatcher import Dispatcher
from alerts.ledger import Address
from alerts.message import Message
from detectors.brain import Brain
from detectors.calibration import Calibration
from stallwatch.app.alive import Alive
from stallwatch.clock import ManualClock
from stallwatch.config import Settings
from stallwatch.errors import StoreUnavailable, Transient
from stallwatch.model.findings import Finding, Status
from stallwatch.store import EventRow, Store
from stallwatch.store.state import State
from tests.simulation import outage
from tests.simulation.outage import Outage
from tests.simulation.world import AFTER_S, LIVE_S, START, Delivery, Harm, Harmed, World

TICK: Final = timedelta(seconds=20)
GAP_CONFIRM: Final = timedelta(seconds=60)
IDLE_MIN_S: Final = 30.0
"""No standstill between steps is told before (docs/detectors.md)."""
PATIENCE_MAX_S: Final = 86_400.0
"""Steps here take seconds: whoever learns to wait a day for one has learned nothing."""
CRASH_SHARE: Final = 0.1
FRESH_MAX: Final = timedelta(seconds=40)
"""Worlds have news at least so often."""
SETTINGS: Final = Settings.model_validate(
    {
        "detectors": {"gap_confirm": "60s"},
        "alerts": {"receivers": [{"name": "console", "console_configs": [{}]}]},
    }
)
CALLS: Final = {
    Harm.HUNG: frozenset({"stalled_step", "dead_queue"}),
    Harm.LOST_CHECKPOINT: frozenset({"stalled_execution", "overdue_execution"}),
    Harm.LOST_EVENT: frozenset({"event_gap"}),
    Harm.RAN_TWICE: frozenset({"duplicate_step"}),
}


@dataclass
class Outcome:
    """`problems`: what must not be, each with its world's seed. `false_alarms`: healthy executions that were called.
    `delays_s`: how long after the moment it could be known each fault was called."""

    worlds: int
    executions: int
    faults: int
    ticks: int
    crashes: int
    problems: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)


class Recorder:
    """A target that now and then is away, and remembers what it was told."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.told: list[Message] = []

    def send(self, message: Message) -> None:
        if self._rng.random() < 0.2:
            raise Transient("away")
        self.told.append(message)


class CrashingStore:
    """The store as the brain sees it; a copy of findings may fail, as when the process ends before it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails = False
        self.select = store.select

    def write_findings(self, findings: Sequence[Finding], now: datetime) -> None:
        if self.fails and findings:
            raise StoreUnavailable("the process ends here")
        self._store.write_findings(findings, now)


class Process:
    """What a crash takes away: all but the store and the state file."""

    def __init__(self, store: Store, folder: Path, clock: ManualClock, recorder: Recorder) -> None:
        self._parts = (store, folder, clock, recorder)
        self.store = CrashingStore(store)
        self.state = State(folder / "state.sqlite")
        self.alive = Alive(store, self.state, clock)
        self.alive.begin()
        self.brain = Brain(self.store, self.state, SETTINGS.detectors, START)  # type: ignore[arg-type]
        targets = {Address("console", "console[0]"): recorder}
        self.alerts = Dispatcher(
            self.state, SETTINGS.alerts, clock, CollectorRegistry(), targets=targets
        )

    def again(self) -> "Process":
        """After a crash."""
        self.alerts.close()
        self.state.close()
        return Process(*self._parts)


def play(
    store: Store,
    folder: Path,
    worlds: Sequence[World],
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Outcome:
    """Play the worlds side by side; `seed` draws the crashes. `folder`: for the state file."""
    rng = random.Random(seed)
    clock = ManualClock(START)
    recorder = Recorder(rng)
    for world in worlds:
        store.insert_event_rows([_row(world, one) for one in world.past])
    store.fold(START)
    away = outage.drawn(rng, TICK)
    caught_up_at = {world.namespace: outage.held_back(world, away, rng) for world in worlds}
    process = Process(store, folder, clock, recorder)
    first = process.brain.calibrate(START)
    waiting = sorted(
        ((one, world) for world in worlds for one in world.deliveries),
        key=lambda pair: pair[0].received_at,
    )
    count = int((LIVE_S + AFTER_S) / TICK.total_seconds())
    outcome = Outcome(len(worlds), 0, sum(len(w.harmed) for w in worlds), count, 0)
    outcome.executions = len({(w.seed, d.event.execution_id) for d, w in waiting})
    watch = Watch(worlds, outcome, away, caught_up_at)
    watch.learned(first)
    position = 0
    for number in range(1, count + 1):
        now = clock.advance(TICK.total_seconds())
        if not away.over(now):
            continue
        if now == away.ended_at:
            process = process.again()
            watch.learned(process.brain.calibrate(now))
        process.alive.note()
        upto = position
        while upto < len(waiting) and waiting[upto][0].received_at <= now:
            upto += 1
        batch = waiting[position:upto]
        position = upto
        store.insert_event_rows([_row(world, one) for one, world in batch])
        if rng.random() < CRASH_SHARE:
            outcome.crashes += 1
            process = _crash(rng, process, store, now)
            watch.learned(process.brain.calibrate(now))
        store.fold(now)
        process.brain.tick(now)
        process.alerts.tick()
        watch.see(now, process.brain.findings())
        progress(number / count)
    watch.end(now)
    outcome.problems += _misnumbered(store)
    outcome.problems += _mistold(process, recorder, clock)
    process.alerts.close()
    process.state.close()
    return outcome


def _row(world: World, sent: Delivery) -> EventRow:
    return EventRow(sent.event, sent.received_at, world.namespace, "event", False)


def _crash(rng: random.Random, process: Process, store: Store, now: datetime) -> Process:
    """End the process at a moment that is drawn: before a tick, or in it between the commit and the copy, or after an
    alert was planned and before it was told."""
    moment = rng.randrange(3)
    if moment:
        store.fold(now)
        process.store.fails = moment == 1
        try:
            process.brain.tick(now)
        except StoreUnavailable:
            pass
        else:
            process.alerts.plan()
    return process.again()


class Watch:
    """Holds what fires against what the worlds know."""

    def __init__(
        self,
        worlds: Sequence[World],
        outcome: Outcome,
        away: Outage,
        caught_up_at: Mapping[str, datetime],
    ) -> None:
        """`caught_up_at`: by namespace, when the outage is over for who sends."""
        self._worlds = {world.namespace: world for world in worlds}
        self._away = away
        self._caught_up_at = caught_up_at
        self._calibrations: list[Calibration] = []
        self._outcome = outcome
        self._called: dict[tuple[str, str], datetime] = {}
        self._alarmed: set[tuple[str, str, str]] = set()

    def learned(self, calibration: Calibration) -> None:
        """What a process that begins has learned; what was learned before may count as well."""
        self._calibrations.append(calibration)

    def see(self, now: datetime, findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding.status is not Status.FIRING:
                continue
            world = self._worlds.get(finding.namespace)
            if world is None:
                self._outcome.problems.append(
                    f"at {now:%H:%M:%S}: {finding.detector}: {finding.title}"
                )
                continue
            for execution in finding.executions:
                harmed = world.harmed.get(execution)
                if harmed is None:
                    self._false_alarm(world, execution, finding)
                elif finding.detector in CALLS[harmed.harm]:
                    self._called.setdefault((world.namespace, execution), now)
            if not finding.executions:
                self._false_alarm(world, "", finding)

    def _false_alarm(self, world: World, execution: str, finding: Finding) -> None:
        key = (world.namespace, execution, finding.detector)
        if key not in self._alarmed:
            self._alarmed.add(key)
            self._outcome.false_alarms.append(
                f"seed {world.seed}: {execution} is healthy, but {finding.detector}: {finding.title}"
            )

    def end(self, now: datetime) -> None:
        for world in self._worlds.values():
            for execution, harmed in world.harmed.items():
                due = self._due(world, harmed) + TICK
                if self._away.began_at <= due <= self._caught_up_at[world.namespace] + TICK:
                    # Until something fresh came, nobody can know.
                    due = self._caught_up_at[world.namespace] + FRESH_MAX + TICK
                called_at = self._called.get((world.namespace, execution))
                if called_at is not None and called_at <= due:
                    self._outcome.delays_s.append((called_at - due + TICK).total_seconds())
                elif due <= now:
                    when = "never" if called_at is None else f"only at {called_at:%H:%M:%S}"
                    self._outcome.problems.append(
                        f"seed {world.seed}: {execution} was {harmed.harm} in {harmed.step}, to be called by "
                        f"{due:%H:%M:%S}, and was called {when}"
                    )

    def _due(self, world: World, harmed: Harmed) -> datetime:
        """From when on the fault can be known."""
        if harmed.harm is Harm.LOST_EVENT:
            return harmed.told_at + GAP_CONFIRM
        if harmed.harm is Harm.RAN_TWICE:
            return harmed.told_at
        place = (world.namespace, "custom", world.workflow, harmed.step)
        limits_s = []
        for calibration in self._calibrations:
            hung = harmed.harm is Harm.HUNG
            learned = (
                calibration.step(place, harmed.version) if hung else calibration.gaps.get(place)
            )
            assert learned is not None
            assert learned.limit_s is not None
            limits_s.append(learned.limit_s if hung else max(learned.limit_s, IDLE_MIN_S))
        if max(limits_s) > PATIENCE_MAX_S:
            self._outcome.problems.append(
                f"seed {world.seed}: {harmed} may last {max(limits_s):.3g} s"
            )
            return datetime.max.replace(tzinfo=UTC) - TICK
        return max(harmed.at + timedelta(seconds=max(limits_s)), harmed.told_at)


def _misnumbered(store: Store) -> list[str]:
    """Findings whose copies in the store have a gap in their numbers, or two states with one number."""
    rows = store.select(
        "SELECT fingerprint, any(title) AS title, max(number) AS last, uniqExact(status, number) AS states "
        "FROM finding_log GROUP BY fingerprint"
    )
    return [
        f"{row['title']}: {row['last']} transitions, {row['states']} in the store"
        for row in rows
        if row["states"] != row["last"]
    ]


def _mistold(process: Process, recorder: Recorder, clock: ManualClock) -> list[str]:
    """Tell what is left, then look at what every incident's messages were."""
    for _ in range(60):
        clock.advance(60)
        process.alerts.deliver()
    told: dict[str, list[Message]] = defaultdict(list)
    for message in recorder.told:
        told[message.dedup_key].append(message)
    problems = []
    for key, messages in told.items():
        numbers = [message.number for message in messages]
        # A message that nobody took before it was over is replaced by the one that says so.
        if numbers != sorted(set(numbers)):
            problems.append(f"incident {key} was told {[(m.number, m.status) for m in messages]}")
    with process.state.transaction() as db:
        rows = db.execute("SELECT id, closed_at FROM incidents").fetchall()
    for row in rows:
        messages = told.get(row["id"], [])
        if not messages:
            problems.append(f"incident {row['id']} was told nobody")
        elif row["closed_at"] is not None and messages[-1].status != "resolved":
            problems.append(f"incident {row['id']} is over and was not told so")
    return problems
