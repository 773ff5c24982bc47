"""The Temporal demo's processes, and what is done with them."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.progress import Progress

from stallwatch.app.demo.faults import Fault
from stallwatch.app.demo.stage import Stage, Watch, free
from stallwatch.app.demo.temporal_processes import Child, start_server
from stallwatch.app.demo.temporal_story import (
    FLAKY,
    HANGS,
    HEALTHY,
    HUNG,
    KILLED,
    LOST,
    ORDERS,
    PATIENT,
    PAYMENTS,
    SLOW,
    UNHEARD,
    UNREAD,
)

LOOK_S: Final = 0.1
SETTLE_S: Final = 1.0
"""Until the last spans of the past are exported, stored and folded."""
SEEN_S_MAX: Final = 10.0
OPEN_ATTEMPT: Final = """
    SELECT scheduled_at FROM attempts
    WHERE execution_id = {execution_id:String} AND step = {step:String} AND status IN ('scheduled', 'running')
"""


class Shop:
    """A Temporal server, two workers and the customers."""

    def __init__(
        self, command: str, stage: Stage, stopping: threading.Event, ending: ExitStack
    ) -> None:
        """Start all; each is ended by `ending`, the youngest first. Transient if one does not come up."""
        self._stage = stage
        self._clock = stage.clock
        self._stopping = stopping
        self._ending = ending
        self._server = free("127.0.0.1:0")
        server = start_server(command, self._server, stage.folder, self._clock, stopping)
        ending.callback(server.stop, terminate=True)
        self._payments = self._child(PAYMENTS, "temporal_worker", PAYMENTS)
        self._child(ORDERS, "temporal_worker", ORDERS)
        self._customers = self._child("customers", "temporal_customers")

    def make_past(self, console: Console) -> None:
        """Run healthy executions, then learn from them."""
        self._customers.tell("past")
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Healthy executions make a past", total=None)
            done, total = 0, 1
            while done < total and not self._stopping.is_set():
                line = self._customers.hear(LOOK_S)
                self._customers.check()
                if line is not None:
                    # "done 7 of 250"
                    done, total = (int(word) for word in line.split()[1::2])
                    progress.update(task, completed=done, total=total)
        self._clock.wait(self._stopping, SETTLE_S)
        # By itself the service calibrates every hour. The detectors use it from their next tick on.
        self._stage.service.brain.calibrate(self._clock.now())
        console.print(f"{done} executions of real workflows were run: a past to learn from.")

    def go_wrong(self) -> Watch:
        """Do what goes wrong and what is only slow, among executions that go on as ever."""
        start = self._clock.now()
        faults: list[Fault] = []

        def done(fault: Fault) -> None:
            at_s = (self._clock.now() - start).total_seconds()
            faults.append(replace(fault, at_s=at_s))

        self._customers.tell("open")
        self._start("approval", "approval-patient", PATIENT)
        self._start("trial", "trial-patient", PATIENT)
        self._start("order", "order-flaky", FLAKY)
        self._start("order", "order-hung", HANGS)
        done(HUNG)
        self._start("order", "order-unheard", HEALTHY, UNREAD)
        done(UNHEARD)
        self._start("order", "order-lost", LOST)
        self._payments.hear_until("begun order-lost", self._clock, self._stopping)
        self._payments.kill()
        done(KILLED)
        # As a supervisor would: what comes next is done, what was being done is lost.
        self._payments = self._child("payments-2", "temporal_worker", PAYMENTS)
        return Watch(faults, SLOW, start)

    def seen_after_s(self) -> float | None:
        """How old the hung activity was when it was first seen as an open attempt; None if it was not."""
        since_s = self._clock.monotonic_s()
        while self._clock.monotonic_s() - since_s < SEEN_S_MAX:
            parameters = {"execution_id": "order-hung", "step": HUNG.step}
            rows = self._stage.service.store.select(OPEN_ATTEMPT, parameters)
            if rows:
                return float((self._clock.now() - rows[0]["scheduled_at"]).total_seconds())
            if self._clock.wait(self._stopping, LOOK_S):
                break
        return None

    def _start(self, workflow: str, name: str, trouble: str, queue: str = ORDERS) -> None:
        self._customers.tell(f"start {workflow} {name} {trouble} {queue}")
        self._customers.hear_until(f"started {name}", self._clock, self._stopping)

    def _child(self, name: str, module: str, *arguments: str) -> Child:
        otlp = self._stage.service.grpc_address
        child = Child.module(name, module, [self._server, otlp, *arguments], self._stage.folder)
        self._ending.callback(child.stop)
        child.hear_until("working", self._clock, self._stopping)
        return child
