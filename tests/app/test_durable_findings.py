"""What a user is told of a real task hub in which things go wrong: the right findings, and no others.

Real orchestrations of the Durable Task SDK and a worker that is killed; the real poller, collector, store and brain.
Only the time in which nothing happens is skipped: the clock of those who watch is moved forward.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from durabletask import client

from collector.engines.durable import Durable
from collector.engines.polling import Polling
from collector.limits import as_it_is
from detectors.brain import Brain
from stallwatch.app.demo.temporal_processes import Child
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.config import load_detectors
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.model.findings import Status
from stallwatch.simulator.history import past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import parse_history
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.app.running import until
from tests.collector.engines.durable_hub import sane_clocks, served
from tests.collector.helpers import collecting

pytestmark = pytest.mark.slow
Told = tuple[str, str, str, tuple[str, ...]]
"""detector, workflow, step, executions"""
REAL: Final = SystemClock()
NEVER: Final = threading.Event()
WORK: Final = {"lognormal": {"median": "2s", "sigma": 0.3}}


def step(name: str, **fields: Any) -> dict[str, Any]:
    return {"step": name, "duration": WORK, **fields}


PAST: Final[dict[str, dict[str, Any]]] = {
    "plain": {"steps": [step("reserve")]},
    "hung": {"steps": [step("hang")]},
    "held": {"every": "500ms", "n": 1000, "steps": [step("hang")]},
    "looping": {"steps": [step("charge")]},
    "forked": {"steps": [step("reserve"), step("charge")]},
    "shrugging": {"steps": [step("reserve"), step("charge")]},
    "sold": {
        "fail": 0.3,
        "steps": [
            step("reserve"),
            step("charge", may_fail=True),
            step("release", on_failure=True),
        ],
    },
    "waiting": {"steps": [step("reserve"), step("external event", waiting_on="signal")]},
}
"""What all of them did for days. That `release` undoes `reserve` is said nowhere: 60 failures show it."""

HELD: Final = tuple(f"held-{number}" for number in range(5))
LOOPS: Final = tuple(f"loop-{number}" for number in range(5))
ENDING: Final[dict[str, tuple[str, Any]]] = {
    "forked": ("forked", 1),
    "shrugging": ("shrugging", 1),
    "shrugging-2": ("shrugging", 1),
    "undone": ("sold", True),
    "not-undone": ("sold", False),
    "fine": ("plain", 1),
}
STAYING: Final[dict[str, tuple[str, Any]]] = {
    **{name: ("held", 1) for name in HELD},
    "hung": ("hung", 1),
    "waiting": ("waiting", 1),
}
FAILED: Final[set[Told]] = {
    ("failed_execution", "forked", "charge", ("forked",)),
    ("failed_execution", "sold", "charge", ("not-undone", "undone")),
    ("swallowed_error", "shrugging", "charge", ("shrugging", "shrugging-2")),
    ("error_burst", "looping", "charge", LOOPS),
}
STORM: Final[set[Told]] = {("retry_storm", "looping", "charge", LOOPS)}
STANDING: Final[set[Told]] = {
    ("missing_compensation", "sold", "reserve", ("not-undone",)),
    ("stalled_step", "hung", "hang", ("hung",)),
    ("dead_queue", "held", "hang", HELD),
    ("stalled_execution", "plain", "", ("untaken",)),
}
STARTED: Final = "SELECT count() AS n FROM attempts WHERE step = 'hang' AND status = 'running'"


@dataclass
class Watch:
    """Looks at the hub and judges, when told to."""

    store: Store
    clock: ManualClock
    polling: Polling
    brain: Brain
    ever: set[tuple[str, ...]] = field(default_factory=set)
    """detector, workflow and step of all that fired."""

    def sees(self, sql: str) -> int:
        """The number that a query over the views gives, after a look."""
        self.look()
        return int(self.store.select(sql)[0]["n"])

    def look(self, later_s: float = 0.0) -> None:
        """Look now, or so much later."""
        self.clock.move_to(max(REAL.now(), self.clock.now()))
        self.clock.advance(later_s)
        self.polling.look()
        self.store.fold(self.clock.now())
        self.store.refresh_statistics()

    def firing(self, later_s: float = 0.0) -> set[Told]:
        """Look, and judge what is known then."""
        self.look(later_s)
        self.brain.tick(self.clock.now())
        found = {
            (one.detector, one.workflow, one.step, tuple(sorted(one.executions)))
            for one in self.brain.findings()
            if one.status is Status.FIRING
        }
        self.ever |= {one[:3] for one in found}
        return found


@contextmanager
def watching(store: Store, address: str) -> Iterator[Watch]:
    """One who has known the hub's orchestrations for days, and is looking at it from now on."""
    clock = ManualClock(REAL.now())
    for seed, (workflow, about) in enumerate(PAST.items()):
        said = {"workflow": workflow, "engine": "durable", "n": 200, "every": "20m", **about}
        history = parse_history(plain_spec(said), seed=seed)
        events = past_events(history, clock.now() - timedelta(minutes=1), f"past-{workflow}-{{i}}")
        store.insert_events(events, clock.now(), "import", historical=True)
    store.fold(clock.now())
    store.refresh_statistics()
    engine, state = Durable(), State(None)
    poller = engine.poller(DurableConfig(grpc=address, grpc_tls=False))
    brain = Brain(store, state, load_detectors({}, "test"), clock.now())
    with collecting(store, REAL) as collector:
        polling = Polling(
            engine,
            poller,
            10.0,
            collector.desk,
            state,
            clock,
            collector._meters,
            lambda _at, _historical: as_it_is,
            store.note_look,
        )
        yield Watch(store, clock, polling, brain)
        polling.close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Child]]:
    """The address of a task hub, and its only worker."""
    with sane_clocks(monkeypatch), served() as (address, _):
        working = Child(
            "worker", [sys.executable, "-m", "tests.app.durable_worker", address], tmp_path
        )
        try:
            working.hear_until("working", REAL, NEVER)
            yield address, working
        finally:
            working.kill()


def test_faults_of_orchestrations_are_named_rightly(store: Store, hub: tuple[str, Child]) -> None:
    address, working = hub
    quiet = logging.getLogger(__name__)
    with (
        watching(store, address) as watch,
        client.TaskHubGrpcClient(host_address=address, logger=quiet) as asking,
    ):
        # What closed before the first look is history, which never pages.
        assert watch.firing() == set()
        for name in LOOPS:
            asking.schedule_new_orchestration("looping", input=1, instance_id=name)
        start(asking, ENDING)
        for name in ENDING:
            asking.wait_for_orchestration_completion(name, timeout=20)
        until(lambda: watch.firing() == FAILED | STORM)
        for name in LOOPS:
            asking.terminate_orchestration(name)
            asking.wait_for_orchestration_completion(name, timeout=20)

        start(asking, STAYING)
        until(lambda: watch.sees(STARTED) == len(HELD) + 1)
        working.kill()
        asking.schedule_new_orchestration("plain", input=1, instance_id="untaken")
        watch.firing()
        assert watch.firing(later_s=120) == FAILED | STANDING
        assert watch.ever == {one[:3] for one in FAILED | STORM | STANDING}


def start(asking: client.TaskHubGrpcClient, named: dict[str, tuple[str, Any]]) -> None:
    for name, (orchestrator, value) in named.items():
        asking.schedule_new_orchestration(orchestrator, input=value, instance_id=name)
