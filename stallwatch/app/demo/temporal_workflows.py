"""The shop as Temporal workflows: what the workers run. Nothing here knows of Stallwatch but the marks of one wait."""

import asyncio
import math
import random
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.contrib.opentelemetry.workflow import completed_span
from temporalio.exceptions import ApplicationError

from stallwatch.app.demo.temporal_story import (
    FLAKY,
    HANGS,
    HEALTHY,
    LOST,
    ORDERS,
    PATIENT,
    PAYMENTS,
)

ACTIVITY_TIMEOUT: Final = timedelta(minutes=10)
RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0)
HOUR_S: Final = 3600.0
SPREAD: Final = 0.25


async def _work(median_s: float) -> None:
    await asyncio.sleep(random.lognormvariate(math.log(median_s), SPREAD))


@activity.defn
async def charge(trouble: str) -> None:
    """LOST says on standard output that it has begun, and takes long enough for its worker to be killed."""
    if trouble == LOST:
        sys.stdout.write(f"begun {activity.info().workflow_id}\n")
        sys.stdout.flush()
        await asyncio.sleep(HOUR_S)
    await _work(0.2)


@activity.defn
async def ship(trouble: str) -> None:
    """HANGS never comes back: a call without a timeout to a parcel service that does not answer.

    FLAKY fails twice, which its retry policy heals.
    """
    await _work(0.1)
    if trouble == HANGS:
        await asyncio.sleep(HOUR_S)
    if trouble == FLAKY and activity.info().attempt < 3:
        raise ApplicationError("the parcel service is busy", type="Busy")


@activity.defn
async def ask_manager(trouble: str) -> None:
    await _work(0.1)


@activity.defn
async def welcome(trouble: str) -> None:
    await _work(0.1)


async def _step(name: str, trouble: str = HEALTHY, queue: str = ORDERS) -> None:
    await workflow.execute_activity(
        name,
        trouble,
        task_queue=queue,
        start_to_close_timeout=ACTIVITY_TIMEOUT,
        retry_policy=RETRY,
    )


@workflow.defn(name="order")
class Order:
    @workflow.run
    async def run(self, trouble: str) -> None:
        await _step("charge", trouble, PAYMENTS)
        await _step("ship", trouble)


@workflow.defn(name="approval")
class Approval:
    """Waits for a person's signal. Its spans do not say so: a policy of the demo does."""

    def __init__(self) -> None:
        self._approved = False

    @workflow.run
    async def run(self, trouble: str) -> None:
        await _step("ask_manager")
        await workflow.wait_condition(lambda: self._approved)

    @workflow.signal
    def approve(self) -> None:
        self._approved = True


@workflow.defn(name="trial")
class Trial:
    """Sleeps on a timer, and says so with two spans of no length: one where the wait begins, one where it ends."""

    @workflow.run
    async def run(self, trouble: str) -> None:
        await _step("welcome")
        completed_span(
            "wait",
            attributes={"stallwatch.step": "trial_period", "stallwatch.waiting_on": "timer"},
        )
        await workflow.sleep(HOUR_S if trouble == PATIENT else 0.2)
        completed_span("waited", attributes={"stallwatch.step": "trial_period"})


WORKFLOWS: Final[Sequence[type]] = (Order, Approval, Trial)
ACTIVITIES: Final[dict[str, Sequence[Callable[..., Any]]]] = {
    ORDERS: (ship, ask_manager, welcome),
    PAYMENTS: (charge,),
}
