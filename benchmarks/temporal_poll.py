"""`python -m benchmarks.temporal_poll [--open N] [--looks N]`: what it costs to look at many open executions.

A development server of Temporal, N open executions (half wait for a signal, half for a worker), and looks at
them: the first ones, which fetch every history, and then the ones that find nothing new. CPU is this process's, all
threads, which is the poller's; the server's is its own.
"""

import asyncio
import os
import tempfile
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from collector.engines.temporal.poll import TemporalPoller
from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import require_temporal, start_server
from stallwatch.clock import Clock, SystemClock
from stallwatch.config.engines.temporal import TemporalConfig

AT_A_TIME: Final = 32
READY_S: Final = 30.0


@workflow.defn
class Waiting:
    """It waits for a signal that nobody sends."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


def main(
    open_: Annotated[int, typer.Option("--open", min=2, help="Open executions.")] = 10_000,
    looks: Annotated[int, typer.Option(min=1, help="Looks that find nothing new.")] = 3,
) -> None:
    """Measure the Temporal poller."""
    clock, console = SystemClock(), Console()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        address = free("127.0.0.1:0")
        never = threading.Event()
        server = start_server(require_temporal(), address, Path(folder), clock, never)
        ending.callback(server.stop, terminate=True)
        console.print(f"starting {open_} executions")
        asyncio.run(start(address, open_, clock))
        config = TemporalConfig(address=address, every=3600, history_max=open_)
        poller = TemporalPoller(config)
        ending.callback(poller.close)
        mark = look(poller, None, clock, console)
        for _ in range(looks):
            mark = look(poller, mark, clock, console)


def look(poller: TemporalPoller, mark: str | None, clock: Clock, console: Console) -> str | None:
    """One look, and a line about it."""
    since_s, since_cpu_s = clock.monotonic_s(), cpu_s()
    told = 0
    now: datetime = clock.now()
    for piece in poller.poll(mark, now):
        told += len({fragment.execution for fragment in piece.parts.fragments})
        mark = piece.mark or mark
    took_s, took_cpu_s = clock.monotonic_s() - since_s, cpu_s() - since_cpu_s
    console.print(f"told {told:>6} executions in {took_s:6.2f} s with {took_cpu_s:5.2f} s of CPU")
    return mark


def cpu_s() -> float:
    times = os.times()
    return times.user + times.system


async def start(address: str, count: int, clock: Clock) -> None:
    """Half of them go to a worker, which is there until each of them waits."""
    client = await connected(address, clock)
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int) -> None:
        queue = "served" if number % 2 else "unserved"
        async with slots:
            await client.start_workflow(Waiting.run, id=f"open-{number}", task_queue=queue)

    worker = Worker(
        client,
        task_queue="served",
        workflows=[Waiting],
        workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=timedelta(0),
    )
    async with worker:
        await asyncio.gather(*(one(number) for number in range(count)))
        last = client.get_workflow_handle(f"open-{count - 1 - count % 2}")
        while (await last.describe()).raw_description.HasField("pending_workflow_task"):
            await asyncio.sleep(0.5)


async def connected(address: str, clock: Clock) -> Client:
    """It listens a little before it is ready."""
    until_s = clock.monotonic_s() + READY_S
    while True:
        try:
            return await Client.connect(address)
        except RuntimeError:
            if clock.monotonic_s() > until_s:
                raise
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    typer.run(main)
