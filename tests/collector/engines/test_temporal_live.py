"""A real Temporal server and real workers: what is polled while things happen, and afterwards, is what was."""

import asyncio
import json
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import RetryPolicy

from collector.engines import temporal
from collector.engines.reading import Hints
from collector.engines.temporal.poll import TemporalPoller
from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import Child, require_temporal, start_server
from stallwatch.clock import SystemClock
from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.errors import ConfigError, Permanent, Transient, UsageError
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.temporal_cases import TEMPORAL
from tests.collector.engines.temporal_worker import NOBODY, QUEUE
from tests.collector.engines.timelines import gathered, stored
from tests.requirements import require

pytestmark = pytest.mark.slow
CLOCK: Final = SystemClock()
WITHIN_S: Final = 30.0
PAUSE_S: Final = 0.3
NEVER: Final = threading.Event()
Facts = dict[str, dict[str, Any]]
_T = TypeVar("_T")
CLOSED: Final = {
    f"workflow.{what}" for what in ("completed", "failed", "cancelled", "terminated", "timed_out")
}


@dataclass
class Stage:
    """A server, a worker, a client, and a poller with what it found: facts as the shelf would have them."""

    folder: Path
    ending: ExitStack
    runner: asyncio.Runner
    address: str = ""
    facts: Facts = field(default_factory=dict)
    historical: set[str] = field(default_factory=set)
    mark: str | None = None
    handles: dict[str, Any] = field(default_factory=dict)

    def begin(self, command: str) -> None:
        self.address = free("127.0.0.1:0")
        server = start_server(command, self.address, self.folder, CLOCK, NEVER)
        self.ending.callback(server.stop, terminate=True)
        self.client = self.run(self._connected())
        self.poller = TemporalPoller(TemporalConfig(address=self.address))
        self.ending.callback(self.poller.close)
        self.work("first")

    async def _connected(self) -> Client:
        """It listens before it is ready."""
        until_s = CLOCK.monotonic_s() + WITHIN_S
        while True:
            try:
                return await Client.connect(self.address)
            except RuntimeError:
                if CLOCK.monotonic_s() > until_s:
                    raise
                await asyncio.sleep(PAUSE_S)

    def work(self, name: str) -> None:
        arguments = [sys.executable, "-m", "tests.collector.engines.temporal_worker", self.address]
        self.worker = Child(name, arguments, self.folder)
        self.ending.callback(self.worker.stop)
        self.worker.hear_until("working", CLOCK, NEVER)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.runner.run(work)

    def start(
        self, name: str, workflow: str, *args: Any, queue: str = QUEUE, **options: Any
    ) -> None:
        self.handles[name] = self.run(
            self.client.start_workflow(workflow, args=args, id=name, task_queue=queue, **options)
        )

    def look(self) -> None:
        for piece in self.poller.poll(self.mark, CLOCK.now()):
            if piece.historical:
                self.historical |= {one.execution for one in piece.parts.fragments}
            for execution, facts in gathered([piece.parts]).items():
                self.facts[execution] = {**facts, **self.facts.get(execution, {})}
            self.mark = piece.mark or self.mark

    def look_until(self, seen: Callable[[], bool], what: str) -> None:
        until_s = CLOCK.monotonic_s() + WITHIN_S
        while CLOCK.monotonic_s() < until_s:
            self.look()
            if seen():
                return
            CLOCK.wait(NEVER, PAUSE_S)
        ends = {
            name: sorted(CLOSED & {one.event for one in self.events(name)}) for name in self.handles
        }
        pytest.fail(f"not seen in {WITHIN_S} s: {what}; {ends}")

    def events(self, name: str) -> list[StepEvent]:
        """Of all runs of a workflow id."""
        return [
            event
            for execution, facts in self.facts.items()
            if execution.rpartition("/")[0] == name
            for event in TEMPORAL.read(execution, facts, "default").events
        ]

    def has(self, name: str, event: str, step: str = "", attempt: int = 0) -> bool:
        return any(
            one.event == event and one.step == step and (one.attempt or 0) >= attempt
            for one in self.events(name)
        )


def play_while_open(stage: Stage) -> None:
    stage.start("old", "Plain")
    stage.run(stage.handles["old"].result())
    stage.look()
    stage.start("ok", "Plain")
    stage.start("retried", "Retried", 2)
    stage.start("parallel", "Parallel")
    stage.start("timer", "Slept", 0.5)
    stage.start("asleep", "Slept", 600.0)
    stage.start("signal", "Signaled")
    stage.start("reset", "Signaled")
    stage.start("parent", "Parent", "its-child", 600.0)
    stage.start("continued", "Continued", 2)
    stage.start("hung", "Hung")
    stage.start("lost", "Lost")
    stage.start("unheard", "Unheard")
    stage.start("untaken", "Plain", queue=NOBODY)
    stage.start("broken", "Broken")
    stage.start("storm", "Retried", 10_000)
    stage.start("late", "Slept", 600.0, execution_timeout=timedelta(seconds=1))
    stage.start("cron", "Plain", cron_schedule="0 0 1 1 *")
    stage.start("local", "Local")
    stage.start("failing", "Failed", retry_policy=RetryPolicy(maximum_attempts=2))
    stage.look_until(
        lambda: (
            stage.has("hung", "step.heartbeat", "hang")
            and stage.has("lost", "step.started", "lose")
            and stage.has("untaken", "step.scheduled", "workflow task")
            and stage.has("broken", "step.started", "workflow task", 2)
            and stage.has("storm", "step.retrying", "flaky", 2)
            and stage.has("signal", "step.waiting", "signal")
            and stage.has("late", "workflow.timed_out")
            and stage.has("retried", "workflow.completed")
            and stage.has("failing", "workflow.failed")
            and stage.has("continued", "workflow.completed")
        ),
        "what is open",
    )


def play_to_the_end(stage: Stage) -> None:
    stage.worker.kill()
    stage.work("second")
    signal = stage.handles["signal"]
    stage.run(signal.execute_update("ask", 0.2))
    stage.run(signal.signal("go"))
    base = stage.run(stage.handles["reset"].describe())
    stage.run(
        stage.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id="reset", run_id=base.run_id),
                reason="tried again",
                workflow_task_finish_event_id=10,
                request_id=str(uuid.uuid4()),
            )
        )
    )
    stage.run(stage.client.get_workflow_handle("reset").signal("go"))
    stage.run(stage.client.get_workflow_handle("its-child").cancel())
    stage.run(stage.handles["asleep"].terminate("enough"))
    stage.run(stage.handles["hung"].cancel())
    stage.look_until(
        lambda: (
            stage.has("lost", "workflow.completed")
            and stage.has("signal", "workflow.completed")
            and stage.has("reset", "workflow.completed")
            and stage.has("parent", "workflow.failed")
            and stage.has("asleep", "workflow.terminated")
            and stage.has("hung", "workflow.cancelled")
        ),
        "what is closed",
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Facts, Stage]]:
    """The facts while much was open, and the stage after most has ended."""
    try:
        command = require_temporal()
    except UsageError as error:
        require(False, str(error))
        raise
    with ExitStack() as ending, asyncio.Runner() as runner:
        stage = Stage(tmp_path_factory.mktemp("temporal"), ending, runner)
        stage.begin(command)
        play_while_open(stage)
        while_open = {execution: dict(facts) for execution, facts in stage.facts.items()}
        play_to_the_end(stage)
        yield while_open, stage


def told(store: Store, facts: Facts) -> dict[str, list[str]]:
    """Per workflow id: each run's status, and `step #attempt status` of its attempts."""
    readings = [TEMPORAL.read(execution, some, "default") for execution, some in facts.items()]
    stored(store, readings, CLOCK.now())
    found: dict[str, list[str]] = {}
    for row in store.select("SELECT execution_id, status FROM executions ORDER BY started_at"):
        found.setdefault(row["execution_id"], []).append(row["status"])
    attempts = store.select(
        "SELECT execution_id, step, attempt, status, waiting_on FROM attempts "
        "ORDER BY run_id, ifNull(scheduled_at, ifNull(started_at, waiting_at)), step_run_id, attempt"
    )
    for row in attempts:
        what = f"{row['step']} #{row['attempt']} {row['status']} {row['waiting_on']}"
        found[row["execution_id"]].append(what.strip())
    return found


def test_what_is_open_is_seen_open(store: Store, played: tuple[Facts, Stage]) -> None:
    found = told(store, played[0])
    assert found["ok"] == ["completed", "work #1 completed"]
    assert found["retried"][0] == "completed"
    assert found["retried"][-1] == "flaky #3 completed"
    assert found["parallel"] == ["completed", *["work #1 completed"] * 3]
    assert found["timer"] == ["completed", "timer #1 completed timer"]
    assert found["asleep"] == ["running", "timer #1 waiting timer"]
    assert found["signal"] == ["running", "work #1 completed", "signal #1 waiting signal"]
    assert found["parent"] == ["running", "Slept #1 waiting child"]
    assert found["its-child"] == ["running", "timer #1 waiting timer"]
    assert found["continued"][:3] == ["continued", "continued", "completed"]
    assert found["continued"].count("work #1 completed") == 3
    assert found["hung"] == ["running", "hang #1 running"]
    assert found["lost"] == ["running", "lose #1 running"]
    assert found["unheard"] == ["running", "work #1 scheduled"]
    assert found["untaken"] == ["running", "workflow task #1 scheduled"]
    assert found["broken"][:2] == ["running", "workflow task #1 failed"]
    assert found["broken"][-1].startswith(("workflow task #2", "workflow task #3"))
    assert found["broken"][-1].endswith(("running", "scheduled"))
    assert found["storm"][0] == "running"
    assert found["storm"][-1].endswith(("backing_off", "scheduled", "running"))
    assert all(what.endswith("failed") for what in found["storm"][1:-1])
    assert found["late"] == ["timed_out", "timer #1 cancelled timer"]
    assert found["cron"] == ["running", "start delay #1 waiting timer"]
    assert found["local"] == ["completed", "flaky #2 completed"]
    assert found["failing"][:2] == ["continued", "failed"]


def test_what_ended_is_seen_ended(store: Store, played: tuple[Facts, Stage]) -> None:
    # Workflow tasks that were handed to the killed worker waited until the server knew.
    found = {
        name: [what for what in some if not what.startswith("workflow task")]
        for name, some in told(store, played[1].facts).items()
    }
    assert found["lost"] == ["completed", "lose #1 timed_out", "lose #2 completed"]
    assert found["signal"] == [
        "completed",
        "work #1 completed",
        "signal #1 completed signal",
        "ask #1 completed",
        "timer #1 completed timer",
        *(["signal #1 completed signal"] if len(found["signal"]) == 7 else []),
        "work #1 completed",
    ]
    assert found["asleep"] == ["terminated", "timer #1 cancelled timer"]
    assert found["hung"] == ["cancelled", "hang #1 cancelled"]
    assert found["parent"] == ["failed", "Slept #1 cancelled child"]
    assert found["reset"][:2] == ["terminated", "completed"]
    # Before the fork, once; behind it, once.
    assert found["reset"].count("work #1 completed") == 2


def test_no_attempt_is_seen_to_run_twice(store: Store, played: tuple[Facts, Stage]) -> None:
    told(store, played[1].facts)
    query = "SELECT execution_id, step, attempt, starts FROM attempt_fold FINAL WHERE length(starts) > 1"
    assert store.select(query) == []


def test_all_event_types_are_understood(played: tuple[Facts, Stage]) -> None:
    for execution, facts in played[1].facts.items():
        kinds = TEMPORAL.read(execution, facts, "default").kinds
        assert [kind for kind in kinds if kind[0] == "unknown"] == []


def test_importing_the_histories_says_nothing_new(played: tuple[Facts, Stage]) -> None:
    stage = played[1]
    closed = [name for name in stage.handles if CLOSED & {one.event for one in stage.events(name)}]
    assert len(closed) > 10
    for name in closed:
        history = stage.run(stage.client.get_workflow_handle(name).fetch_history())
        parts = TEMPORAL.parts(json.loads(history.to_json()), Hints(CLOCK.now()))
        for execution, facts in gathered([parts]).items():
            imported = TEMPORAL.read(execution, facts, "default")
            polled = TEMPORAL.read(execution, stage.facts[execution], "default")
            assert imported.is_closed
            assert polled.is_closed
            by_id = {event.event_id: event for event in polled.events}
            assert {event.event_id: by_id.get(event.event_id) for event in imported.events} == {
                event.event_id: event for event in imported.events
            }


def test_what_closed_before_the_first_look_is_history(played: tuple[Facts, Stage]) -> None:
    names = {execution.rpartition("/")[0] for execution in played[1].historical}
    assert names == {"old"}


def test_a_look_without_news_tells_nothing_and_another_poller_tells_the_same(
    played: tuple[Facts, Stage],
) -> None:
    stage = played[1]
    # What is still open beats, is tried again, or stands still.
    for _ in range(2):
        stage.look()
    before = {execution: set(facts) for execution, facts in stage.facts.items()}
    other = TemporalPoller(TemporalConfig(address=stage.address))
    seen = gathered([piece.parts for piece in other.poll(None, CLOCK.now())])
    other.close()
    restless = ("storm", "broken")
    for execution, facts in seen.items():
        if execution.rpartition("/")[0] not in restless:
            assert set(facts) <= before[execution]
    quiet = [
        fragment.execution
        for piece in stage.poller.poll(stage.mark, CLOCK.now())
        for fragment in piece.parts.fragments
    ]
    assert {execution.rpartition("/")[0] for execution in quiet} <= set(restless)


def test_one_description_at_a_look_sees_all_in_turn(played: tuple[Facts, Stage]) -> None:
    stage = played[1]
    poller = TemporalPoller(TemporalConfig(address=stage.address, describe_max=2, history_max=1))
    seen: set[str] = set()
    mark = None
    for _ in range(12):
        for piece in poller.poll(mark, CLOCK.now()):
            mark = piece.mark or mark
            seen |= {fragment.execution.rpartition("/")[0] for fragment in piece.parts.fragments}
    poller.close()
    assert {"unheard", "untaken", "broken", "storm", "cron"} <= seen


def test_what_was_not_stored_is_told_again(played: tuple[Facts, Stage]) -> None:
    stage = played[1]
    poller = TemporalPoller(TemporalConfig(address=stage.address))
    broken_off = poller.poll(None, CLOCK.now())
    first = next(broken_off)
    del broken_off
    again = next(poller.poll(None, CLOCK.now()))
    poller.close()
    named = {fragment.execution for fragment in first.parts.fragments}
    assert named
    assert named <= {fragment.execution for fragment in again.parts.fragments}


def test_a_namespace_that_is_not_there(played: tuple[Facts, Stage]) -> None:
    config = TemporalConfig(address=played[1].address, namespaces=("nowhere",))
    poller = TemporalPoller(config)
    with pytest.raises(Permanent, match="nowhere"):
        list(poller.poll(None, CLOCK.now()))
    poller.close()


def test_a_server_that_is_away_is_asked_again_later() -> None:
    poller = TemporalPoller(TemporalConfig(address=free("127.0.0.1:0")))
    for _ in range(2):
        with pytest.raises(Transient, match="Temporal at 127"):
            list(poller.poll(None, CLOCK.now()))
    poller.close()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'stallwatch\[temporal\]'"):
        TEMPORAL.poller(TemporalConfig())


def test_files_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(ConfigError, match=r"missing\.pem: No such file"):
        TEMPORAL.poller(TemporalConfig(tls_ca_file=missing))
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        TEMPORAL.poller(TemporalConfig(api_key_file=missing))
    with pytest.raises(ConfigError, match="belong together"):
        TEMPORAL.poller(TemporalConfig(tls_cert_file=missing))
