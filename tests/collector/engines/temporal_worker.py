"""Workflows and activities with every situation that Stallwatch tells apart; run as a module, a worker for them.

`python -m tests.collector.engines.temporal_worker HOST:PORT [OTLP [QUEUE]]` says "working", and works until its input
ends. Its spans go to the collector at OTLP (gRPC, host:port) if one is named.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from stallwatch.app.demo.temporal_tracing import traced_client

QUEUE: Final = "live"
NOBODY: Final = "nobody"
DOOMED: Final = "doomed"
"""Its only worker is killed."""
FORGETFUL: Final = "forgetful"
"""Its worker keeps no workflow in memory, and runs each from its history every time."""
SOON: Final = timedelta(seconds=5)
LATE: Final = timedelta(minutes=20)
NEVER: Final = timedelta(hours=1)
QUICKLY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(minutes=1)
)
RESTLESSLY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=1.0
)


@activity.defn
async def work(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@activity.defn
async def flaky(failures: int) -> str:
    if activity.info().attempt <= failures:
        raise ApplicationError("not yet", type="Busy")
    return "done"


@activity.defn
async def hang() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.1)


@activity.defn
async def lose() -> str:
    """Hang at the first attempt only."""
    if activity.info().attempt == 1:
        await hang()
    return "found"


@activity.defn
async def refuse() -> None:
    """Fail for good, when what began with it is done."""
    await asyncio.sleep(0.5)
    raise ApplicationError("no", type="Refused", non_retryable=True)


@activity.defn
async def reserve() -> None:
    return


@activity.defn
async def charge() -> None:
    raise ApplicationError("no", type="Declined", non_retryable=True)


@activity.defn
async def release() -> None:
    return


@workflow.defn
class Plain:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(work, 0.05, start_to_close_timeout=SOON)


@workflow.defn
class Retried:
    @workflow.run
    async def run(self, failures: int) -> None:
        await workflow.execute_activity(
            flaky, failures, start_to_close_timeout=SOON, retry_policy=QUICKLY
        )


@workflow.defn
class Stormy:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            flaky, 10_000, start_to_close_timeout=SOON, retry_policy=RESTLESSLY
        )


@workflow.defn
class Parallel:
    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity(work, seconds, start_to_close_timeout=SOON)
                for seconds in (0.05, 0.1, 0.2)
            )
        )


@workflow.defn
class Slept:
    @workflow.run
    async def run(self, seconds: float) -> None:
        await workflow.sleep(seconds)


@workflow.defn
class Signaled:
    def __init__(self) -> None:
        self._may_go = False

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(work, 0.01, start_to_close_timeout=SOON)
        await workflow.wait_condition(lambda: self._may_go)
        await workflow.execute_activity(work, 0.01, start_to_close_timeout=SOON)

    @workflow.signal
    def go(self) -> None:
        self._may_go = True

    @workflow.update
    async def ask(self, seconds: float) -> float:
        await workflow.sleep(seconds)
        return seconds


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, child: str, seconds: float) -> None:
        await workflow.execute_child_workflow(Slept.run, seconds, id=child)


@workflow.defn
class Continued:
    @workflow.run
    async def run(self, more: int) -> None:
        await workflow.execute_activity(work, 0.01, start_to_close_timeout=SOON)
        if more:
            workflow.continue_as_new(more - 1)


@workflow.defn
class Hung:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            hang, start_to_close_timeout=LATE, heartbeat_timeout=timedelta(seconds=60)
        )


@workflow.defn
class Lost:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            lose, start_to_close_timeout=LATE, heartbeat_timeout=timedelta(seconds=1)
        )


@workflow.defn
class Frozen:
    """Its activity takes far longer than it used to, and nothing that it declares ends it soon."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(work, 600.0, start_to_close_timeout=LATE)


@workflow.defn
class Exceeded:
    """Its activity takes longer than it declares, and is not tried again."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            work, 600.0, start_to_close_timeout=SOON, retry_policy=RetryPolicy(maximum_attempts=1)
        )


@workflow.defn
class Unheard:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(work, 0.1, task_queue=NOBODY, start_to_close_timeout=LATE)


@workflow.defn
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise RuntimeError("a bug in the workflow's code")


@workflow.defn
class Mended:
    """Its code has a bug until somebody mends it, which a file stands for."""

    @workflow.run
    async def run(self, mended: str) -> None:
        if not Path(mended).exists():
            raise RuntimeError("a bug that will be mended")


@workflow.defn
class Changed:
    """When it is run from its history, on a worker that keeps nothing, its code is another than it was."""

    @workflow.run
    async def run(self) -> None:
        if workflow.unsafe.is_replaying():
            await workflow.execute_activity(work, 0.01, start_to_close_timeout=SOON)
        await workflow.sleep(0.2)


@workflow.defn
class Failed:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("no", type="Refused")


@workflow.defn
class Doomed:
    @workflow.run
    async def run(self, seconds: float) -> None:
        await workflow.execute_activity(work, seconds, start_to_close_timeout=NEVER)


@workflow.defn
class Forked:
    """One of its branches fails for good."""

    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(*_branches())


@workflow.defn
class Shrugged:
    """One of its branches fails for good, and it completes all the same."""

    @workflow.run
    async def run(self) -> None:
        await asyncio.gather(*_branches(), return_exceptions=True)


def _branches() -> list[Awaitable[Any]]:
    return [
        workflow.execute_activity(work, 0.05, start_to_close_timeout=SOON),
        workflow.execute_activity(refuse, start_to_close_timeout=SOON),
    ]


@workflow.defn
class Sold:
    """A saga: what it reserved is released when the charge fails, or not."""

    @workflow.run
    async def run(self, undoes: bool) -> None:
        await workflow.execute_activity(reserve, start_to_close_timeout=SOON)
        try:
            await workflow.execute_activity(charge, start_to_close_timeout=SOON)
        except ActivityError:
            if undoes:
                await workflow.execute_activity(release, start_to_close_timeout=SOON)
            raise


@workflow.defn
class Local:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_local_activity(
            flaky, 1, start_to_close_timeout=SOON, retry_policy=QUICKLY
        )


WORKFLOWS: Final = [
    Plain, Retried, Stormy, Parallel, Slept, Signaled, Parent, Continued, Hung, Lost, Frozen, Exceeded, Unheard, Broken,
    Mended, Changed, Failed, Local, Doomed, Forked, Shrugged, Sold,
]  # fmt: skip
ACTIVITIES: Final[list[Callable[..., Any]]] = [
    work,
    flaky,
    hang,
    lose,
    refuse,
    reserve,
    charge,
    release,
]


@asynccontextmanager
async def connected(address: str, otlp: str = "") -> AsyncIterator[Client]:
    if otlp:
        async with traced_client(address, otlp, "worker") as client:
            yield client
    else:
        yield await Client.connect(address, interceptors=[TracingInterceptor()])


async def main(address: str, otlp: str = "", queue: str = QUEUE) -> None:
    async with (
        connected(address, otlp) as client,
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(),
            graceful_shutdown_timeout=timedelta(0),
            max_cached_workflows=0 if queue == FORGETFUL else 1000,
        ),
    ):
        sys.stdout.write("working\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
