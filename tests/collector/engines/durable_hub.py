"""A real task hub: the Durable Task SDK's in-memory backend with a real worker, over gRPC."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from durabletask import client, entities, task, worker
from durabletask.internal import helpers
from durabletask.testing import InMemoryOrchestrationBackend, in_memory_backend
from google.protobuf import timestamp_pb2

from tests.collector.engines.stepfunctions_endpoint import free_port

Orchestration = Generator[Any, Any, Any]
released = threading.Event()
"""Set when activities that hang may end."""
_tries: dict[str, int] = {}


def _stamped() -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(datetime.now(UTC))  # noqa: TID251 - the backend's own clock
    return stamp


@contextmanager
def sane_clocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backend dates nearly all events 1970: where it makes an empty time, it is now."""
    stamping = SimpleNamespace(Timestamp=_stamped)
    with monkeypatch.context() as patch:
        patch.setattr(in_memory_backend, "timestamp_pb2", stamping)
        patch.setattr(helpers, "timestamp_pb2", stamping)
        yield


@contextmanager
def served() -> Iterator[tuple[str, InMemoryOrchestrationBackend]]:
    """The address of a backend without a worker, and the backend."""
    port = free_port()
    backend = InMemoryOrchestrationBackend(port=port)
    backend.start()
    try:
        yield f"127.0.0.1:{port}", backend
    finally:
        backend.stop()


@contextmanager
def hub() -> Iterator[tuple[str, client.TaskHubGrpcClient, InMemoryOrchestrationBackend]]:
    """The address of a backend with a worker, and a client of it."""
    quiet = logging.getLogger(__name__)
    released.clear()
    _tries.clear()
    with served() as (address, backend):
        try:
            with worker.TaskHubGrpcWorker(host_address=address, logger=quiet) as working:
                for orchestrator in ORCHESTRATORS:
                    working.add_orchestrator(orchestrator)
                for activity in (ok, flaky, bad, hanging, slow):
                    working.add_activity(activity)
                working.add_entity(counter)
                working.start()  # type: ignore[no-untyped-call]
                with client.TaskHubGrpcClient(host_address=address, logger=quiet) as asking:
                    yield address, asking, backend
                released.set()
        finally:
            released.set()


def ok(_: task.ActivityContext, value: Any) -> Any:
    return value


def flaky(_: task.ActivityContext, value: str) -> str:
    _tries[value] = _tries.get(value, 0) + 1
    if _tries[value] < 3:
        raise ValueError(f"boom {_tries[value]}")
    return "ok"


def bad(_: task.ActivityContext, __: Any) -> None:
    raise RuntimeError("permanent")


def hanging(_: task.ActivityContext, __: Any) -> str:
    released.wait(60)
    return "late"


def slow(_: task.ActivityContext, __: Any) -> str:
    return "slow"


def counter(ctx: entities.EntityContext, value: int) -> int:
    state = int(ctx.get_state(int, 0)) + value
    ctx.set_state(state)
    return state


def o_ok(ctx: task.OrchestrationContext, value: Any) -> Orchestration:
    return (yield ctx.call_activity(ok, input=value))


def o_parallel(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    calls: list[task.Task[Any]] = [ctx.call_activity(ok, input=number) for number in range(5)]
    return (yield task.when_all(calls))


def o_retry(ctx: task.OrchestrationContext, value: str) -> Orchestration:
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=4
    )
    return (yield ctx.call_activity(flaky, input=value, retry_policy=policy))


def o_saga(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    yield ctx.call_activity(ok, input="reserve")
    try:
        yield ctx.call_activity(bad, input="ship")
    except task.TaskFailedError:
        yield ctx.call_activity(ok, input="release")
        raise


def o_stalled(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    return (yield ctx.call_activity(hanging, input=1))


def o_parent(ctx: task.OrchestrationContext, child: str) -> Orchestration:
    return (yield ctx.call_sub_orchestrator(o_stalled, instance_id=child))


def o_timeout(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    answer = ctx.wait_for_external_event("approval")
    timer = ctx.create_timer(timedelta(milliseconds=100))
    winner = yield task.when_any([answer, timer])
    return "timeout" if winner is timer else "answer"


def o_event(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    yield ctx.call_activity(ok, input=1)
    return (yield ctx.wait_for_external_event("approval"))


def o_again(ctx: task.OrchestrationContext, times: int) -> Orchestration:
    yield ctx.call_activity(ok, input=times)
    if times > 0:
        ctx.continue_as_new(times - 1)
        return None
    return (yield ctx.wait_for_external_event("go on"))


def o_eternal(ctx: task.OrchestrationContext, turn: int) -> Orchestration:
    yield ctx.wait_for_external_event("go on")
    ctx.continue_as_new(turn + 1)


def o_entity(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    it = entities.EntityInstanceId("counter", "k")
    ctx.signal_entity(it, "add", 1)
    with (yield ctx.lock_entities([it])):
        return (yield ctx.call_entity(it, "add", 2))


ORCHESTRATORS: tuple[Callable[..., Orchestration], ...] = (
    o_ok, o_parallel, o_retry, o_saga, o_stalled, o_parent, o_timeout, o_event, o_again, o_eternal, o_entity,
)  # fmt: skip
