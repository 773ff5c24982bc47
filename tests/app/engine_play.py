"""A play on real engines: one `serve` that asks a Temporal server and an interpreter of state machines (moto), workers
that can be killed, and a gate that can be shut between them.
"""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Coroutine
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from temporalio.client import Client
from temporalio.contrib.opentelemetry import TracingInterceptor

from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import Child, start_server
from stallwatch.clock import SystemClock
from stallwatch.simulator.history import emit_json, past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import parse_history
from tests.app.running import Place, run_all
from tests.collector.engines.stepfunctions_endpoint import Endpoint, client_of, moto_server
from tests.collector.engines.temporal_worker import DOOMED, FORGETFUL, NOBODY, QUEUE

CLOCK: Final = SystemClock()
NEVER: Final = threading.Event()
RECORDED: Final = Path(__file__).parents[1] / "fixtures" / "engines"
_T = TypeVar("_T")
Told = tuple[str, str, str, tuple[str, ...]]
"""detector, workflow, step, executions"""

STILL_S: Final = 35.0
"""Longer than `stalled_execution` lets any execution stand still."""
TOLD_S: Final = 180.0
"""A compensation is awaited for a minute, and the machine may be busy."""
AWAY_S: Final = 40.0
"""Longer than that too, and than it takes until a standstill that began meanwhile is told."""
BACK_S: Final = 8.0
OPEN_WAITS: Final = (
    "SELECT ifNull(any(a.status), '') AS status FROM executions AS x "
    "LEFT JOIN (SELECT execution_id, toString(status) AS status FROM attempts WHERE status = 'waiting') AS a "
    "ON a.execution_id = x.execution_id "
    "WHERE x.execution_id IN ('away-waiting', 'away-asleep') GROUP BY x.execution_id"
)
WORK: Final = {"lognormal": {"median": "1s", "sigma": 0.3}}
"""How long everything took before: what takes ten times as long is late, on a busy machine too."""


def step(name: str, **fields: Any) -> dict[str, Any]:
    return {"step": name, "duration": WORK, **fields}


SAGA: Final = [step("reserve"), step("charge", may_fail=True), step("release", on_failure=True)]
"""That `release` undoes `reserve` is said nowhere: 60 failures show it."""
PAST: Final[dict[str, dict[str, list[dict[str, Any]]]]] = {
    "temporal": {
        **{
            name: [step("work")]
            for name in ("Plain", "Frozen", "Exceeded", "Broken", "Mended", "Changed", "Failed")
        },
        # That nobody starts it is known long before all of it takes too long.
        "Unheard": [step("work", queue_wait=WORK, duration={"constant": "2m"})],
        "Parallel": [{"parallel": [step("work"), step("work"), step("work")]}],
        "Retried": [step("flaky", retry={"share": 0.7, "max_attempts": 3, "backoff": "1s"})],
        "Stormy": [step("flaky")],
        "Signaled": [step("work"), step("signal", waiting_on="signal"), step("work")],
        "Slept": [step("timer", waiting_on="timer", gap=WORK)],
        "Doomed": [step("work", queue=DOOMED)],
        "Forked": [step("work"), step("refuse")],
        "Shrugged": [step("work"), step("refuse")],
        "Sold": SAGA,
    },
    "stepfunctions": {
        "quick": [step("Send")],
        # Until it waits takes its time as well, or a busy machine would make it late.
        "asks": [step("Ask", waiting_on="callback", gap=WORK)],
        "sleeps": [step("Sleep", waiting_on="timer", gap=WORK)],
        "fails": [step("Boom")],
        "forks": [step("Send"), step("Boom")],
        "heals": [step("Send")],
        "halves": [{"parallel": [step("Send"), step("Ship")]}],
    },
}  # fmt: skip
BUSY: Final = {
    "Doomed": {"n": 2000, "every": "200ms"},
    "halves": {"n": 2000, "every": "2m"},
}
"""Where so much ended, a silence is noticed before a single step is late, and a late step within seconds."""
FAILING: Final = {"Sold": {"fail": 0.3}}
STORM: Final = 8
HELD: Final = tuple(f"doomed-{number}" for number in range(8))
"""At work when their worker is killed."""
AFTER: Final = tuple(f"doomed-after-{number}" for number in range(2))
TOLD: Final[set[Told]] = {
    ("stalled_step", "Frozen", "work", ("frozen",)),
    ("dead_queue", "Doomed", "", (*HELD, *AFTER)),
    ("never_started", "Unheard", "work", ("unheard",)),
    ("never_started", "Plain", "workflow task", ("untaken",)),
    ("stalled_execution", "Broken", "workflow task", ("broken",)),
    ("stalled_execution", "Mended", "workflow task", ("mended",)),
    ("stalled_execution", "Changed", "workflow task", ("changed",)),
    ("stalled_execution", "Unknown", "workflow task", ("unknown",)),
    ("retries_exhausted", "Exceeded", "work", ("exceeded",)),
    ("failed_execution", "Exceeded", "work", ("exceeded",)),
    ("failed_execution", "Failed", "", ("failing",)),
    ("failed_execution", "Forked", "refuse", ("forked",)),
    ("swallowed_error", "Shrugged", "refuse", ("shrugged", "shrugged-2")),
    ("failed_execution", "Sold", "charge", ("not-undone", "undone")),
    ("missing_compensation", "Sold", "reserve", ("not-undone",)),
    ("retry_storm", "Stormy", "flaky", tuple(f"storm-{number}" for number in range(STORM))),
    ("error_burst", "Stormy", "flaky", tuple(f"storm-{number}" for number in range(STORM))),
    ("failed_execution", "fails", "Boom", ("boom",)),
    ("failed_execution", "forks", "Boom", ("forking",)),
}
"""All that may be told, and has to be. What waits (`waiting`, `asleep`, `asked`, `sleeping`), what beats (`hung`), what
backs off for as long as it declares (`patient`), what went well after a failure (`healed`, `healing`) is not there."""
FOLLOWS: Final = ("overdue_execution", "Stormy")
"""A storm lasts until its executions have been at work for longer than they used to: how soon the machine decides."""


def write_past(path: Path, now: datetime) -> None:
    with path.open("wb") as file:
        for engine, workflows in PAST.items():
            for seed, (workflow, steps) in enumerate(workflows.items()):
                about = {"engine": engine, "workflow": workflow, "n": 200, "every": "20m"}
                about |= {**BUSY.get(workflow, {}), **FAILING.get(workflow, {})}
                history = parse_history(plain_spec({**about, "steps": steps}), seed=seed)
                names = f"past-{engine}-{workflow}-{{i}}"
                file.write(emit_json(past_events(history, now - timedelta(minutes=1), names)))


class Gate:
    """Stands before a server, and can be closed: then nobody reaches it, and who was connected is cut off."""

    def __init__(self, behind: str) -> None:
        host, _, port = behind.rpartition(":")
        self._behind = (host, int(port))
        self.address = free("127.0.0.1:0")
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.open()

    def open(self) -> None:
        host, _, port = self.address.rpartition(":")
        self._listener = socket.create_server((host, int(port)))
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for one in list(self._open):
            self._cut(one)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._behind)
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=[one, other], daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return
        finally:
            self._cut(source)
            self._cut(target)

    def _cut(self, one: socket.socket) -> None:
        if one in self._open:
            self._open.discard(one)
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                return
            finally:
                one.close()


@dataclass
class Play:
    """The engines, what is started in them, and the service that watches."""

    folder: Path
    ending: ExitStack
    runner: asyncio.Runner
    handles: dict[str, Any] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    workers: dict[str, Child] = field(default_factory=dict)
    """By the queue that they serve."""
    killed_at: datetime = field(default_factory=CLOCK.now)

    def build(self, command: str) -> None:
        address = free("127.0.0.1:0")
        server = start_server(command, address, self.folder, CLOCK, NEVER)
        self.ending.callback(server.stop, terminate=True)
        self.gate = Gate(address)
        self.ending.callback(self.gate.close)
        moto = self.ending.enter_context(moto_server(self.folder))
        self.endpoint = self.ending.enter_context(closing(Endpoint(moto)))
        self.place = Place(
            self.folder,
            f'[engines.temporal]\naddress = "{self.gate.address}"\nevery = "2s"\n'
            f'[engines.stepfunctions]\nendpoint_url = "{self.endpoint.url}"\nregions = ["us-east-1"]\n'
            'every = "2s"\nmax_calls_per_s = 50\n',
        )
        past = self.folder / "past.ndjson"
        write_past(past, CLOCK.now())
        (imported,) = run_all([self.place.argv("import", "events", str(past))])
        assert imported.code == 0, imported.err
        # New state machines are looked for every few minutes only.
        self._create_machines(moto)
        self.running = self.ending.enter_context(self.place.serving())
        (grpc,) = (line for line in self.running.said if line.startswith("OTLP/gRPC: "))
        self._work(address, grpc.rpartition(" ")[2].strip())

    def _work(self, address: str, otlp: str) -> None:
        self.workers = {
            queue: self._worker(queue, address, otlp) for queue in (QUEUE, DOOMED, FORGETFUL)
        }
        exporter = OTLPSpanExporter(endpoint=f"http://{otlp}", insecure=True)
        provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        self.ending.callback(provider.shutdown)
        tracer = provider.get_tracer("temporalio.contrib.opentelemetry")
        connecting = Client.connect(address, interceptors=[TracingInterceptor(tracer)])
        self.client = self.run(connecting)

    def _worker(self, queue: str, address: str, otlp: str) -> Child:
        module = "tests.collector.engines.temporal_worker"
        command = [sys.executable, "-m", module, address, otlp, queue]
        worker = Child(f"worker-{queue}", command, self.folder)
        self.ending.callback(worker.stop)
        worker.hear_until("working", CLOCK, NEVER)
        return worker

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.runner.run(work)

    def start(self, name: str, workflow: str, *args: Any, queue: str = QUEUE) -> None:
        starting = self.client.start_workflow(workflow, args=args, id=name, task_queue=queue)
        self.handles[name] = self.run(starting)

    def _create_machines(self, moto: int) -> None:
        url = self.endpoint.url
        self.states = client_of(url)
        self.ending.callback(self.states.close)
        self.sqs = client_of(
            url.replace(str(self.endpoint._port), str(self.endpoint._moto_port)), "sqs"
        )
        self.ending.callback(self.sqs.close)
        here = self.sqs.create_queue(QueueName="work")["QueueUrl"]
        later = here.replace("work", "later")
        send = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True}
        token = {"QueueUrl": here, "MessageBody": {"token.$": "$$.Task.Token"}}
        retry = [
            {
                "ErrorEquals": ["States.ALL"],
                "IntervalSeconds": 1,
                "MaxAttempts": 9,
                "BackoffRate": 1.0,
            }
        ]
        states: dict[str, dict[str, Any]] = {
            "quick": {"Send": {**send, "Parameters": {"QueueUrl": here, "MessageBody": "x"}}},
            "asks": {
                "Ask": {
                    **send,
                    "Resource": f"{send['Resource']}.waitForTaskToken",
                    "Parameters": token,
                }
            },
            "sleeps": {"Sleep": {"Type": "Wait", "Seconds": 3600, "End": True}},
            "fails": {"Boom": {"Type": "Fail", "Error": "No", "Cause": "no"}},
            "forks": {
                "Both": {
                    "Type": "Parallel",
                    "End": True,
                    "Branches": [
                        {
                            "StartAt": "Send",
                            "States": {
                                "Send": {
                                    **send,
                                    "Parameters": {"QueueUrl": here, "MessageBody": "x"},
                                }
                            },
                        },
                        {
                            "StartAt": "Later",
                            "States": {
                                "Later": {"Type": "Wait", "Seconds": 2, "Next": "Boom"},
                                "Boom": {"Type": "Fail", "Error": "No", "Cause": "no"},
                            },
                        },
                    ],
                }
            },
            "heals": {
                "Send": {
                    **send,
                    "Parameters": {"QueueUrl": later, "MessageBody": "x"},
                    "Retry": retry,
                }
            },
        }
        empty = self.sqs.create_queue(QueueName="empty")["QueueUrl"]
        # The longest that it lets anybody wait is as good as never: it used to take a second.
        ship = {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sqs:receiveMessage",
            "Parameters": {"QueueUrl": empty, "WaitTimeSeconds": 20},
            "End": True,
        }
        states["halves"] = {
            "Both": {
                "Type": "Parallel",
                "End": True,
                "Branches": [
                    {"StartAt": name, "States": {name: its}}
                    for name, its in (("Send", states["quick"]["Send"]), ("Ship", ship))
                ],
            }
        }
        for name, its in states.items():
            definition = json.dumps({"StartAt": next(iter(its)), "States": its})
            created = self.states.create_state_machine(
                name=name, definition=definition, roleArn="arn:aws:iam::123456789012:role/any"
            )
            self.machines[name] = created["stateMachineArn"]

    def execute(self, machine: str, name: str) -> None:
        self.states.start_execution(stateMachineArn=self.machines[machine], name=name, input="{}")

    def found(self) -> list[dict[str, Any]]:
        """What fires."""
        ended = self.place.here("findings", "--firing", "--format", "json")
        return list(ended.data)

    def firing(self) -> set[Told]:
        found = self.found()
        return {told(one) for one in found} - follows(found)

    def ever(self) -> set[Told]:
        """All that was ever found, at any status."""
        found = self.running.select("SELECT * FROM findings")
        return {told(one) for one in found} - follows(found)

    def statuses(self) -> dict[str, str]:
        rows = self.running.select(
            "SELECT execution_id, status FROM executions WHERE NOT historical"
        )
        return {row["execution_id"].rpartition(":")[2]: row["status"] for row in rows}


def told(finding: dict[str, Any]) -> Told:
    executions = tuple(sorted(one.rpartition(":")[2] for one in finding["executions"]))
    return finding["detector"], finding["workflow"], finding["step"], executions


def follows(found: list[dict[str, Any]]) -> set[Told]:
    return {told(one) for one in found if (one["detector"], one["workflow"]) == FOLLOWS}


def begin(play: Play) -> None:
    play.start("frozen", "Frozen")
    play.start("exceeded", "Exceeded")
    play.start("hung", "Hung")
    play.start("waiting", "Signaled")
    play.start("asleep", "Slept", 3600.0)
    play.start("unheard", "Unheard")
    play.start("untaken", "Plain", queue=NOBODY)
    play.start("broken", "Broken")
    play.start("mended", "Mended", str(play.folder / "mended"))
    play.start("changed", "Changed", queue=FORGETFUL)
    play.start("unknown", "Unknown")
    play.start("failing", "Failed")
    play.start("forked", "Forked")
    play.start("shrugged", "Shrugged")
    play.start("shrugged-2", "Shrugged")
    play.start("undone", "Sold", True)
    play.start("not-undone", "Sold", False)
    play.start("healed", "Retried", 2)
    play.start("patient", "Retried", 10_000)
    for number in range(STORM):
        play.start(f"storm-{number}", "Stormy")
        play.start(f"doomed-fine-{number}", "Doomed", 0.05, queue=DOOMED)
    play.execute("asks", "asked")
    play.execute("sleeps", "sleeping")
    play.execute("fails", "boom")
    play.execute("forks", "forking")
    play.execute("heals", "healing")


def go_on(play: Play, name: str, seconds: float) -> None:
    """Healthy executions, many and fast, for so long."""
    until_s = CLOCK.monotonic_s() + seconds
    number = 0
    while CLOCK.monotonic_s() < until_s:
        play.start(f"{name}-plain-{number}", "Plain")
        play.start(f"{name}-retried-{number}", "Retried", 1)
        play.start(f"{name}-parallel-{number}", "Parallel")
        play.execute("quick", f"{name}-quick-{number}")
        number += 1
        CLOCK.wait(NEVER, 2.0)
