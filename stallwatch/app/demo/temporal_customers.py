"""`python -m stallwatch.app.demo.temporal_customers SERVER OTLP`: starts executions as its standard input says.

Lines: `past` runs healthy executions and says `done K of M` after each; `open` starts healthy executions from then on;
`start WORKFLOW ID TROUBLE QUEUE` starts one and says `started ID`. It ends with its input.
"""

import asyncio
import random
import sys
from collections.abc import Coroutine
from typing import Any, Final

from temporalio.client import Client

from stallwatch.app.demo.temporal_story import HEALTHY, ORDERS, PAST
from stallwatch.app.demo.temporal_tracing import traced_client

AT_ONCE: Final = 8
EVERY_S: Final = 2.0


class Customers:
    """Starts executions, and answers for the manager who is asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._room = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    async def obey(self) -> None:
        """Do what the lines say until they end."""
        while line := await asyncio.to_thread(sys.stdin.readline):
            word, *arguments = line.split()
            if word == "past":
                self._spawn(self._past())
            elif word == "open":
                self._spawn(self._open())
            else:
                await self._start(*arguments)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _past(self) -> None:
        tasks = [
            self._spawn(self._healthy(workflow, f"{workflow}-past-{number}"))
            for workflow, count in PAST.items()
            for number in range(count)
        ]
        for done, task in enumerate(asyncio.as_completed(tasks), 1):
            await task
            say(f"done {done} of {len(tasks)}")

    async def _open(self) -> None:
        number = 0
        while True:
            for workflow in PAST:
                self._spawn(self._healthy(workflow, f"{workflow}-{number}"))
            number += 1
            await asyncio.sleep(EVERY_S)

    async def _healthy(self, workflow: str, name: str) -> None:
        async with self._room:
            handle = await self._client.start_workflow(
                workflow, HEALTHY, id=name, task_queue=ORDERS
            )
            if workflow == "approval":
                await asyncio.sleep(random.uniform(0.2, 0.6))
                await handle.signal("approve")
            await handle.result()

    async def _start(self, workflow: str, name: str, trouble: str, queue: str) -> None:
        await self._client.start_workflow(workflow, trouble, id=name, task_queue=queue)
        say(f"started {name}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def serve(server: str, otlp: str) -> None:
    async with traced_client(server, otlp, "shop-front") as client:
        say("working")
        await Customers(client).obey()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
