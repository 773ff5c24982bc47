"""Nexus operations and schedules of a real Temporal server, polled."""

import asyncio
import subprocess
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import nexusrpc
import pytest
from nexusrpc.handler import StartOperationContext, service_handler, sync_operation
from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
)
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from collector.engines.temporal.poll import TemporalPoller
from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import require_temporal, start_server
from stallwatch.clock import SystemClock
from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.store import Store
from tests.collector.engines.temporal_cases import TEMPORAL
from tests.collector.engines.timelines import read_all, stored

pytestmark = pytest.mark.slow
CLOCK: Final = SystemClock()
QUEUE: Final = "orders"
ENDPOINT: Final = "payments"
WITHIN_S: Final = 30.0


@nexusrpc.service
class Payments:
    charge: nexusrpc.Operation[float, str]
    refuse: nexusrpc.Operation[float, str]


@service_handler(service=Payments)
class PaymentsHandler:
    @sync_operation
    async def charge(self, _: StartOperationContext, amount: float) -> str:
        return f"charged {amount}"

    @sync_operation
    async def refuse(self, _: StartOperationContext, amount: float) -> str:
        raise nexusrpc.OperationError("no funds", state=nexusrpc.OperationErrorState.FAILED)


@workflow.defn(name="Order")
class Order:
    @workflow.run
    async def run(self, operation: str) -> None:
        payments = workflow.create_nexus_client(service=Payments, endpoint=ENDPOINT)
        await payments.execute_operation(
            getattr(Payments, operation), 5.0, schedule_to_close_timeout=timedelta(seconds=20)
        )


@workflow.defn(name="Nightly")
class Nightly:
    @workflow.run
    async def run(self) -> None:
        return


async def connected(address: str) -> Client:
    """It listens before it is ready."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await Client.connect(address)
            except RuntimeError:
                await asyncio.sleep(0.3)


async def play(command: str, address: str) -> None:
    client = await connected(address)
    made = [command, "operator", "nexus", "endpoint", "create", "--name", ENDPOINT]
    target = ["--target-namespace", "default", "--target-task-queue", QUEUE, "--address", address]
    await asyncio.to_thread(subprocess.run, [*made, *target], check=True, capture_output=True)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Order, Nightly],
        nexus_service_handlers=[PaymentsHandler()],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker, asyncio.timeout(WITHIN_S):
        for operation in ("charge", "refuse"):
            order = await client.start_workflow("Order", operation, id=operation, task_queue=QUEUE)
            await asyncio.wait([asyncio.ensure_future(order.result())])
        action = ScheduleActionStartWorkflow("Nightly", id="nightly", task_queue=QUEUE)
        every = ScheduleIntervalSpec(every=timedelta(hours=20))
        handle = await client.create_schedule(
            "each-night", Schedule(action=action, spec=ScheduleSpec(intervals=[every]))
        )
        await handle.trigger()
        while not (await client.count_workflows("WorkflowType='Nightly' AND CloseTime > 0")).count:
            await asyncio.sleep(0.2)


def test_operations_and_scheduled_runs_are_seen(store: Store, tmp_path: Path) -> None:
    command = require_temporal()
    address = free("127.0.0.1:0")
    with ExitStack() as ending:
        server = start_server(command, address, tmp_path, CLOCK, threading.Event())
        ending.callback(server.stop, terminate=True)
        asyncio.run(play(command, address))
        poller = TemporalPoller(TemporalConfig(address=address))
        ending.callback(poller.close)
        parts = [piece.parts for piece in poller.poll(None, CLOCK.now())]
    readings = read_all(TEMPORAL, parts)
    assert not {kind for reading in readings for fate, kind in reading.kinds if fate == "unknown"}
    stored(store, readings, CLOCK.now())
    seen: list[dict[str, Any]] = store.select(
        "SELECT workflow, execution_id, step, status, downstream, error_type FROM attempts "
        "WHERE workflow = 'Order' AND step != 'workflow task' ORDER BY execution_id"
    )
    assert [(row["execution_id"], row["status"]) for row in seen] == [
        ("charge", "completed"),
        ("refuse", "failed"),
    ]
    for row in seen:
        assert row["execution_id"] in row["step"], row
    runs = store.select("SELECT execution_id, status FROM executions WHERE workflow = 'Nightly'")
    assert [row["status"] for row in runs] == ["completed"]
    assert runs[0]["execution_id"].startswith("nightly")
