"""Real Temporal: its server, workers in processes of their own, its interceptor's spans, a real collector and store."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from collector.conventions import conventions
from detectors.brain import Brain
from detectors.calibration import Calibration
from stallwatch.app.demo import temporal_processes
from stallwatch.app.demo.temporal_processes import require_temporal
from stallwatch.app.demo.temporal_shop import Shop
from stallwatch.app.demo.temporal_story import FLAKY, HANGS, HEALTHY, PATIENT, UNREAD, WAITS
from stallwatch.clock import SystemClock
from stallwatch.config import DetectorsConfig, Policy
from stallwatch.errors import UsageError
from stallwatch.model.events import EARLIEST
from stallwatch.model.findings import Finding, Status
from stallwatch.simulator.history import past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import parse_history
from stallwatch.store import EventRow, Store
from stallwatch.store.state import State
from tests.collector.helpers import collecting
from tests.requirements import require

pytestmark = pytest.mark.slow
WITHIN_S: Final = 30.0
PAUSE_S: Final = 0.05
CLOCK: Final = SystemClock()
GAP: Final = {"uniform": {"low": "20ms", "high": "80ms"}}
WORK: Final = {"lognormal": {"median": "150ms", "sigma": 0.25}}


def step(name: str, **fields: Any) -> dict[str, Any]:
    return {"step": name, "gap": GAP, "duration": WORK, **fields}


# What the spans of such executions tell: of an approval not that it waits, of a trial that it does.
PAST: Final[dict[str, list[dict[str, Any]]]] = {
    "order": [step("charge"), step("ship")],
    "approval": [step("ask_manager")],
    "trial": [step("welcome"), step("trial_period", waiting_on="timer")],
}


@dataclass
class Scene:
    """A shop, and the store in which its spans end."""

    shop: Shop
    store: Store

    def attempt(self, name: str, of_step: str, *status: str) -> dict[str, Any]:
        """The attempt of that step once it is in one of these states."""
        query = (
            "SELECT * FROM attempts WHERE execution_id = {name:String} AND step = {step:String} "
            "AND status IN {status:Array(String)} ORDER BY scheduled_at LIMIT 1"
        )
        parameters = {"name": name, "step": of_step, "status": list(status)}
        return self.eventually(query, parameters)

    def ended(self, name: str) -> dict[str, Any]:
        """The execution once it has completed."""
        query = (
            "SELECT * FROM executions WHERE execution_id = {name:String} AND status = 'completed'"
        )
        return self.eventually(query, {"name": name})

    def eventually(self, query: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The first row that the query gives, when it gives one."""
        since_s = CLOCK.monotonic_s()
        while CLOCK.monotonic_s() - since_s < WITHIN_S:
            self.store.fold(CLOCK.now())
            if rows := self.store.select(query, parameters):
                return rows[0]
            CLOCK.wait(threading.Event(), PAUSE_S)
        everything = self.store.select(
            "SELECT execution_id, step, status FROM attempts WHERE execution_id NOT LIKE 'past-%'"
        )
        pytest.fail(f"nothing for {parameters} in {WITHIN_S} s, only {everything}")


@pytest.fixture(scope="module")
def scene(store_root: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    command = temporal_or_skip()
    folder = tmp_path_factory.mktemp("temporal")
    start = CLOCK.now()
    rooted = Store(store_root.engine, conventions=conventions())
    with (
        rooted.scratch("temporal", start) as store,
        collecting(store, CLOCK) as collector,
        ExitStack() as ending,
    ):
        import_past(store, start)
        otlp = f"127.0.0.1:{collector.start_grpc('127.0.0.1:0')}"
        yield Scene(Shop(command, otlp, folder, CLOCK, threading.Event(), ending), store)


def temporal_or_skip() -> str:
    try:
        return require_temporal()
    except UsageError as error:
        require(False, str(error))
        raise


def import_past(store: Store, now: datetime) -> None:
    for seed, (workflow, steps) in enumerate(PAST.items()):
        past = {"engine": "temporal", "workflow": workflow, "n": 400, "every": "20m"}
        history = parse_history(plain_spec({**past, "steps": steps}), seed=seed)
        events = past_events(history, now - timedelta(minutes=1), f"past-{workflow}-{{i}}")
        store.insert_event_rows([EventRow(event, now, "past", historical=True) for event in events])
    store.fold(now)


@dataclass
class Judge:
    """A brain of its own, asked about times to come: nobody has to wait for them."""

    brain: Brain
    calibration: Calibration

    def firing(self, at: datetime) -> list[Finding]:
        self.brain.tick(at)
        return [one for one in self.brain.findings() if one.status is Status.FIRING]

    def limit_s(self, of_step: str) -> float:
        learned = self.calibration.step(("default", "temporal", "order", of_step), "")
        assert learned is not None
        assert learned.limit_s is not None
        return learned.limit_s


MakeJudge = Callable[..., Judge]


@pytest.fixture
def make_judge(scene: Scene) -> Iterator[MakeJudge]:
    with ExitStack() as ending:

        def make(*policy: Policy) -> Judge:
            state = State(None)
            ending.callback(state.close)
            # At the times asked about no sender has spoken yet, which is no trouble here.
            config = DetectorsConfig(disabled=("telemetry_silence",), policy=policy)
            brain = Brain(scene.store, state, config, EARLIEST)
            return Judge(brain, brain.calibrate(CLOCK.now()))

        yield make


def told_of(findings: list[Finding], name: str) -> list[tuple[str, str, str]]:
    return [(one.detector, one.workflow, one.step) for one in findings if name in one.executions]


def test_a_hung_activity_is_open_at_once_and_late_after_its_threshold(
    scene: Scene, make_judge: MakeJudge
) -> None:
    scene.shop.start("order", "order-hung", HANGS)
    attempt = scene.attempt("order-hung", "ship", "scheduled", "running")
    # The worker of the step before exports at its own pace.
    scene.attempt("order-hung", "charge", "completed")
    # Its RunActivity span would come at its end, which it does not reach.
    assert (attempt["status"], attempt["road"]) == ("scheduled", "span")
    judge = make_judge()
    limit_s = judge.limit_s("ship")
    scheduled_at = attempt["scheduled_at"]
    before = judge.firing(scheduled_at + timedelta(seconds=0.9 * limit_s))
    # How long whole executions took is learned from the same short past, and may be over sooner.
    assert ("stalled_step", "order", "ship") not in told_of(before, "order-hung")
    after = judge.firing(scheduled_at + timedelta(seconds=1.1 * limit_s))
    assert told_of(after, "order-hung") == [("stalled_step", "order", "ship")]


def test_what_a_killed_worker_was_doing_is_found(scene: Scene, make_judge: MakeJudge) -> None:
    scene.shop.lose("order-lost")
    scene.shop.start("order", "order-next", HEALTHY)
    # Another worker has taken over; what the killed one was doing stays lost.
    scene.ended("order-next")
    attempt = scene.attempt("order-lost", "charge", "scheduled", "running")
    judge = make_judge()
    late_at = attempt["scheduled_at"] + timedelta(seconds=1.1 * judge.limit_s("charge"))
    findings = judge.firing(max(late_at, CLOCK.now()))
    assert told_of(findings, "order-lost") == [("stalled_step", "order", "charge")]
    assert told_of(findings, "order-next") == []


def test_an_execution_that_no_worker_takes_is_found(scene: Scene, make_judge: MakeJudge) -> None:
    scene.shop.start("order", "order-unheard", HEALTHY, UNREAD)
    query = "SELECT started_at FROM executions WHERE execution_id = {name:String}"
    started_at = scene.eventually(query, {"name": "order-unheard"})["started_at"]
    findings = make_judge().firing(started_at + timedelta(minutes=2))
    assert told_of(findings, "order-unheard") == [("stalled_execution", "order", "")]


def test_waits_are_no_stalls_where_somebody_says_that_they_are_waits(
    scene: Scene, make_judge: MakeJudge
) -> None:
    scene.shop.start("approval", "approval-patient", PATIENT)
    scene.shop.start("trial", "trial-patient", PATIENT)
    asked = scene.attempt("approval-patient", "ask_manager", "completed")
    waiting = scene.attempt("trial-patient", "trial_period", "waiting")
    assert waiting["waiting_on"] == "timer"
    later = max(asked["ended_at"], CLOCK.now()) + timedelta(minutes=30)
    # The workflow of the trial says itself that it sleeps.
    assert told_of(make_judge().firing(later), "trial-patient") == []
    # No span tells of a wait for a signal, so that without a policy it looks like a standstill.
    assert told_of(make_judge().firing(later), "approval-patient") == [
        ("stalled_execution", "approval", "ask_manager")
    ]
    assert told_of(make_judge(*WAITS).firing(later), "approval-patient") == []


def test_attempts_that_the_retry_policy_heals_are_counted(scene: Scene) -> None:
    scene.shop.start("order", "order-flaky", FLAKY)
    scene.ended("order-flaky")
    attempts = scene.store.select(
        "SELECT attempt, status, error_type FROM attempts "
        "WHERE execution_id = 'order-flaky' AND step = 'ship' ORDER BY attempt"
    )
    assert [tuple(row.values()) for row in attempts] == [
        (1, "failed", "Busy"),
        (2, "failed", "Busy"),
        (3, "completed", ""),
    ]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal_processes, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'stallwatch\[temporal\]'"):
        require_temporal()
