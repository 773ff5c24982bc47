"""Orchestrations with every fault that can be injected; run as a module, a worker for them that can be killed.

`python -m tests.app.durable_worker HOST:PORT` says "working", and works until its input ends.
"""

import logging
import sys
import threading
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, Final

from durabletask import task, worker

Orchestration = Generator[Any, Any, Any]
OFTEN: Final = task.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=200), max_number_of_attempts=100_000
)


def reserve(_: task.ActivityContext, value: Any) -> Any:
    return value


def charge(_: task.ActivityContext, __: Any) -> None:
    raise RuntimeError("the card is declined")


def release(_: task.ActivityContext, value: Any) -> Any:
    return value


def hang(_: task.ActivityContext, __: Any) -> None:
    threading.Event().wait()


def plain(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    return (yield ctx.call_activity(reserve, input=1))


def hung(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    return (yield ctx.call_activity(hang, input=1))


def held(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    return (yield ctx.call_activity(hang, input=1))


def looping(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    return (yield ctx.call_activity(charge, input=1, retry_policy=OFTEN))


def forked(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    branches: list[task.Task[Any]] = [
        ctx.call_activity(reserve, input=1),
        ctx.call_activity(charge, input=1),
    ]
    return (yield task.when_all(branches))


def shrugging(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    yield ctx.call_activity(reserve, input=1)
    try:
        yield ctx.call_activity(charge, input=1)
    except task.TaskFailedError:
        return "as if nothing had happened"


def sold(ctx: task.OrchestrationContext, undoes: bool) -> Orchestration:
    yield ctx.call_activity(reserve, input=1)
    try:
        yield ctx.call_activity(charge, input=1)
    except task.TaskFailedError:
        if undoes:
            yield ctx.call_activity(release, input=1)
        raise


def waiting(ctx: task.OrchestrationContext, _: Any) -> Orchestration:
    yield ctx.call_activity(reserve, input=1)
    return (yield ctx.wait_for_external_event("approval"))


ORCHESTRATORS: Final[tuple[Callable[..., Orchestration], ...]] = (
    plain, hung, held, looping, forked, shrugging, sold, waiting,
)  # fmt: skip


def main(address: str) -> None:
    quiet = logging.getLogger(__name__)
    # What hangs holds its thread.
    many = worker.ConcurrencyOptions(maximum_thread_pool_workers=32)
    working = worker.TaskHubGrpcWorker(host_address=address, logger=quiet, concurrency_options=many)
    for orchestrator in ORCHESTRATORS:
        working.add_orchestrator(orchestrator)
    for activity in (reserve, charge, release, hang):
        working.add_activity(activity)
    working.start()  # type: ignore[no-untyped-call]
    sys.stdout.write("working\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
