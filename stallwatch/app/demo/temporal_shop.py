"""The Temporal demo's processes as one thing: a server, two workers, and customers who start executions."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import Child, Stopped, start_server
from stallwatch.app.demo.temporal_story import LOST, ORDERS, PAYMENTS
from stallwatch.clock import Clock

LOOK_S: Final = 0.1


class Shop:
    """It reports to the collector at `otlp` (gRPC, `host:port`) and leaves its logs in `folder`.

    Every method raises Transient if a process fails, and Stopped when `stopping` is set while it waits for one.
    """

    def __init__(
        self,
        command: str,
        otlp: str,
        folder: Path,
        clock: Clock,
        stopping: threading.Event,
        ending: ExitStack,
    ) -> None:
        """Start all with Temporal's command line; each process is ended by `ending`, the youngest first."""
        self._otlp = otlp
        self._folder = folder
        self._clock = clock
        self._stopping = stopping
        self._ending = ending
        self._server = free("127.0.0.1:0")
        server = start_server(command, self._server, folder, clock, stopping)
        ending.callback(server.stop, terminate=True)
        self._payments = self._child("payments-1", "temporal_worker", PAYMENTS)
        self._child("orders", "temporal_worker", ORDERS)
        self._customers = self._child("customers", "temporal_customers")

    def past(self) -> Iterator[tuple[int, int]]:
        """Run healthy executions to their end: how many are done, and of how many."""
        self._customers.tell("past")
        done, total = 0, 1
        while done < total:
            line = self._customers.hear(LOOK_S)
            self._customers.check()
            if self._stopping.is_set():
                raise Stopped
            if line is not None:
                # "done 7 of 250"
                done, total = (int(word) for word in line.split()[1::2])
                yield done, total

    def open(self) -> None:
        """From now on start healthy executions."""
        self._customers.tell("open")

    def start(self, workflow: str, name: str, trouble: str, queue: str = ORDERS) -> None:
        """Start one execution; `trouble` is what its activities make of it."""
        self._customers.tell(f"start {workflow} {name} {trouble} {queue}")
        self._customers.hear_until(f"started {name}", self._clock, self._stopping)

    def lose(self, name: str) -> None:
        """Start an order and kill the worker in the middle of `charge`; as under a supervisor, another takes over."""
        self.start("order", name, LOST)
        self._payments.hear_until(f"begun {name}", self._clock, self._stopping)
        self._payments.kill()
        self._payments = self._child("payments-2", "temporal_worker", PAYMENTS)

    def _child(self, name: str, module: str, *arguments: str) -> Child:
        child = Child.module(name, module, [self._server, self._otlp, *arguments], self._folder)
        self._ending.callback(child.stop)
        child.hear_until("working", self._clock, self._stopping)
        return child
