"""`python -m stallwatch.app.demo.temporal_worker SERVER OTLP QUEUE`: a worker, until its standard input ends."""

import asyncio
import sys

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from stallwatch.app.demo.temporal_story import ORDERS
from stallwatch.app.demo.temporal_tracing import traced_client
from stallwatch.app.demo.temporal_workflows import ACTIVITIES, WORKFLOWS


async def work(server: str, otlp: str, queue: str) -> None:
    """Run what belongs to the task queue; the workflows' own code runs on ORDERS."""
    async with (
        traced_client(server, otlp, f"shop-{queue}") as client,
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS if queue == ORDERS else [],
            activities=ACTIVITIES[queue],
            # The sandbox guards against mistakes in workflow code; here it would only cost time.
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        sys.stdout.write("working\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
