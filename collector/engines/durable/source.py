"""What a poller asks: a Functions app, a task hub over gRPC, or the tables of a task hub."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from collector.engines.durable.status import Status
from collector.engines.reading import Fragment

OPEN: Final = ("Running", "Pending", "Suspended", "ContinuedAsNew")
CLOSED: Final = ("Completed", "Failed", "Terminated", "Canceled")


class Look(NamedTuple):
    """One instance, and the facts that its status and history are."""

    status: Status
    fragment: Fragment


class Source(ABC):
    """Every method raises Transient when it is away or throttles, Permanent when asking again is useless."""

    @abstractmethod
    def open(self, received_at: datetime) -> Iterator[Status]:
        """The instances that are open, in any order; entities may be among them."""

    @abstractmethod
    def closed(
        self, updated_from: datetime, created_from: datetime, received_at: datetime
    ) -> Iterator[Status]:
        """Instances that are closed: at least those that changed since the one *and* were made since the other."""

    @abstractmethod
    def look(self, instance: str, received_at: datetime) -> Look | None:
        """An instance and its history; None if it is not there any more. Several threads call this at once."""

    def close(self) -> None:
        """Give back connections."""
        return
