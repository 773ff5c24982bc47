"""Real orchestrations, polled over gRPC while they run and when they have ended."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from durabletask import client
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

from collector.engines.durable import Durable, grpc_api
from collector.engines.durable.instances import instance_of_key
from collector.engines.durable.poll import DurablePoller
from collector.engines.reading import Parts
from stallwatch.clock import SystemClock
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.errors import Permanent, Transient
from stallwatch.store import Store
from tests.collector.engines.durable_hub import hub, released, sane_clocks
from tests.collector.engines.timelines import read_all, stored, timeline

CLOCK = SystemClock()
ENGINE = Durable()
Hub = tuple[str, client.TaskHubGrpcClient, Any]
TIMES = r" (took|started|ended|scheduled|waiting)=-?[\d.e-]+"
pytestmark = pytest.mark.slow


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with sane_clocks(monkeypatch), hub() as its:
        yield its


def poller_of(address: str) -> DurablePoller:
    poller = ENGINE.poller(DurableConfig(grpc=address, grpc_tls=False))
    assert isinstance(poller, DurablePoller)
    return poller


def poll(poller: DurablePoller, mark: str | None) -> tuple[list[Parts], str]:
    pieces = list(poller.poll(mark, CLOCK.now()))
    assert pieces[-1].mark is not None
    return [piece.parts for piece in pieces], pieces[-1].mark


def settle(backend: Any, wait_s: float = 20) -> None:
    """Wait until nothing is left to do but what hangs or waits."""
    until_s = CLOCK.monotonic_s() + wait_s
    quiet, pause = 0, threading.Event()
    while quiet < 10:
        assert CLOCK.monotonic_s() < until_s, "the hub does not come to rest"
        with backend._lock:
            busy = backend._orchestration_queue or backend._orchestration_in_flight
            busy = busy or backend._activity_queue or backend._entity_in_flight
        quiet = 0 if busy else quiet + 1
        CLOCK.wait(pause, 0.02)


STARTS: dict[str, tuple[str, Any]] = {
    "ok": ("o_ok", 1), "parallel": ("o_parallel", 1), "retry": ("o_retry", "once"), "saga": ("o_saga", 1),
    "timeout": ("o_timeout", 1), "entity": ("o_entity", 1), "unknown": ("o_nobody_has_it", 1),
    "stalled": ("o_stalled", 1), "parent": ("o_parent", "a child"), "event": ("o_event", 1),
    "suspended": ("o_event", 1), "terminated": ("o_event", 1), "again": ("o_again", 3),
}  # fmt: skip
ENDED = ("ok", "parallel", "retry", "saga", "timeout", "entity", "unknown")
RETRIED = [
    "o_retry completed",
    "  flaky #1 failed error=builtins.ValueError",
    "  timer #1 completed waiting_on=timer",
    "  flaky #2 failed error=builtins.ValueError",
    "  timer #1 completed waiting_on=timer",
    "  flaky #3 completed",
]
MID = {
    "ok": ["o_ok completed", "  ok #1 completed"],
    "parallel": ["o_parallel completed", *["  ok #1 completed"] * 5],
    "retry": RETRIED,
    "saga": [
        "o_saga failed error=durabletask.task.TaskFailedError",
        "  ok #1 completed",
        "  bad #1 failed error=builtins.RuntimeError",
        "  ok #1 completed",
    ],
    "timeout": ["o_timeout completed", "  timer #1 completed waiting_on=timer"],
    "entity": [
        "o_entity completed",
        "  lock #1 completed",
        "  counter.add #1 completed",
        "  signal counter.add #1 completed",
    ],
    "unknown": ["o_nobody_has_it failed error=durabletask.worker.OrchestratorNotRegisteredError"],
    "stalled": ["o_stalled running", "  hanging #1 running"],
    "parent": ["o_parent running", "  o_stalled #1 waiting waiting_on=child"],
    "a child": ["o_stalled running", "  hanging #1 running"],
    "event": ["o_event running", "  ok #1 completed", "  external event #1 waiting waiting_on=signal"],
    "suspended": ["o_event suspended", "  ok #1 completed", "  external event #1 waiting waiting_on=signal"],
    "terminated": ["o_event running", "  ok #1 completed", "  external event #1 waiting waiting_on=signal"],
    "again": ["o_again running", "  ok #1 completed", "  external event #1 waiting waiting_on=signal"],
}  # fmt: skip
FINAL = MID | {
    "stalled": ["o_stalled completed", "  hanging #1 completed"],
    "parent": ["o_parent completed", "  o_stalled #1 completed waiting_on=child"],
    "a child": ["o_stalled completed", "  hanging #1 completed"],
    "event": ["o_event completed", "  ok #1 completed", "  external event #1 completed waiting_on=signal"],
    "suspended": ["o_event completed", "  ok #1 completed", "  external event #1 completed waiting_on=signal"],
    "terminated": ["o_event terminated", "  ok #1 completed", "  external event #1 cancelled waiting_on=signal"],
    "again": ["o_again completed", "  ok #1 completed", "  external event #1 completed waiting_on=signal"],
}  # fmt: skip


def shapes(parts: list[Parts], store: Store) -> dict[str, list[str]]:
    """What the facts so far become, by execution and without times."""
    readings = read_all(ENGINE, parts)
    kinds = {kind for reading in readings for kind in reading.kinds}
    assert {fate for fate, _ in kinds} <= {"mapped", "ignored"}
    stored(store, readings, CLOCK.now())
    lines = re.sub(TIMES, "", timeline(store)).splitlines()
    blocks = re.split(r"\n(?! )", "\n".join(lines))
    executions = store.select("SELECT * FROM executions ORDER BY started_at, execution_id, run_id")
    return {
        execution["execution_id"]: block.splitlines()
        for execution, block in zip(executions, blocks, strict=True)
    }


def test_what_runs_is_followed_to_its_end(running: Hub, store: Store) -> None:
    address, asking, backend = running
    for id, (name, value) in STARTS.items():
        asking.schedule_new_orchestration(name, input=value, instance_id=id)
    for id in ENDED:
        asking.wait_for_orchestration_completion(id, timeout=20)
    settle(backend)
    asking.suspend_orchestration("suspended")
    settle(backend)
    poller = poller_of(address)
    found, mark = poll(poller, None)
    assert shapes(found, store) == MID

    asking.resume_orchestration("suspended")
    asking.terminate_orchestration("terminated")
    for id in ("event", "suspended"):
        asking.raise_orchestration_event(id, "approval", data="yes")
    asking.raise_orchestration_event("again", "go on")
    released.set()
    for id in STARTS:
        asking.wait_for_orchestration_completion(id, timeout=20)
    more, mark = poll(poller, mark)
    assert shapes(found + more, store) == FINAL

    backend.stop()
    with pytest.raises(Transient, match="UNAVAILABLE"):
        poll(poller, mark)
    poller.close()


def test_pages_are_all_read(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    address, asking, backend = running
    monkeypatch.setattr(grpc_api, "_PAGE", 2)
    for number in range(5):
        asking.schedule_new_orchestration("o_event", input=1, instance_id=f"i{number}")
    settle(backend)
    poller = poller_of(address)
    (found, *_), _ = poll(poller, None)
    poller.close()
    assert sorted(instance_of_key(one.execution) for one in found.fragments) == [
        f"i{n}" for n in range(5)
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Permanent),
        (grpc.StatusCode.PERMISSION_DENIED, Permanent),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Transient),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Transient),
    ],
)
def test_a_refusal_says_whether_to_ask_again(code: grpc.StatusCode, error: type[Exception]) -> None:
    class Refusing(stubs.TaskHubSidecarServiceServicer):
        def QueryInstances(self, request: Any, context: grpc.ServicerContext) -> None:
            context.abort(code, "why")

    server = grpc.server(ThreadPoolExecutor(1))
    stubs.add_TaskHubSidecarServiceServicer_to_server(Refusing(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    poller = poller_of(f"127.0.0.1:{port}")
    try:
        with pytest.raises(error):
            poll(poller, None)
    finally:
        poller.close()
        server.stop(None).wait()


def test_a_generation_that_was_followed_has_ended(running: Hub, store: Store) -> None:
    """Its history is gone when the next one begins: that it was continued is known from that."""
    address, asking, backend = running
    asking.schedule_new_orchestration("o_eternal", input=1, instance_id="eternal")
    settle(backend)
    poller = poller_of(address)
    first, mark = poll(poller, None)
    asking.raise_orchestration_event("eternal", "go on")
    settle(backend)
    second, _ = poll(poller, mark)
    poller.close()
    stored(store, read_all(ENGINE, first + second), CLOCK.now())
    rows = store.select("SELECT status, run_id FROM executions ORDER BY started_at")
    assert [row["status"] for row in rows] == ["continued", "running"]
    assert rows[0]["run_id"] < rows[1]["run_id"]
    steps = store.select("SELECT step, status FROM attempts ORDER BY waiting_at")
    assert [row["status"] for row in steps] == ["cancelled", "waiting"]
