"""What becomes of one Export call of OTLP once its body is checked, whatever carried it."""

import dataclasses
from concurrent.futures import Future
from datetime import datetime
from typing import Final, NamedTuple

from collector.admission import Sender
from collector.batcher import Batcher
from collector.limits import Accept, Limits, as_it_is
from collector.otlp import Checked, Signal
from stallwatch.store import Body, EventRow

INLINE_BYTES: Final = 256 * 1024
"""Protobuf up to this size is checked in the event loop, in less than a millisecond."""
INLINE_SLOW_BYTES: Final = 8 * 1024
"""The same for JSON, log records and step events, which are read in Python."""


class Origin(NamedTuple):
    """Where a request came from and when. `historical` data never pages."""

    admitted: Sender
    limits: Limits
    received_at: datetime
    historical: bool = False

    @property
    def sender(self) -> str:
        return self.admitted.name

    @property
    def namespace(self) -> str:
        return self.admitted.namespace

    def read(self, signal: Signal, body: bytes, is_json: bool) -> Checked:
        """Check a body from here. Raises InputError with the reason."""
        accept = self.accept() if signal.item == "event" else as_it_is
        return signal.read(body, is_json, self.received_at, self.namespace, accept)

    def within(self, namespace: str) -> "Origin":
        """The same, where what says no namespace of its own belongs to another one; empty: as it is.

        Raises InputError if the sender's token is for another one.
        """
        if not namespace:
            return self
        self.admitted.check_namespace(namespace)
        return self._replace(admitted=dataclasses.replace(self.admitted, namespace=namespace))

    def accept(self) -> Accept:
        """What to do with each step event: see `Limits.of`."""
        return self.limits.of(self.admitted, self.received_at, self.historical)


def inline_bytes(signal: Signal, is_json: bool) -> int:
    """Up to which size a body of this kind is checked in the event loop."""
    return INLINE_SLOW_BYTES if is_json or signal.item == "event" else INLINE_BYTES


def submit(
    batcher: Batcher, checked: Checked, origin: Origin, size_bytes: int, wait_s: float = 0.0
) -> Future[None] | None:
    """Queue what is to be stored of a request of `size_bytes`, inflated; None if there is nothing.

    Raises Busy if there is no room within `wait_s`, Transient when closing.
    """
    if checked.refused:
        batcher.note_rejected("event", origin.sender, origin.namespace, checked.refused)
    if checked.events:
        rows = [
            EventRow(event, origin.received_at, origin.sender, historical=origin.historical)
            for event in checked.events
        ]
        return batcher.submit_events(rows, size_bytes, wait_s)
    if checked.request and checked.count:
        body = Body(
            checked.request,
            origin.received_at,
            origin.sender,
            origin.namespace,
            origin.historical,
            origin.admitted.pinned,
        )
        return batcher.submit_otlp(body, checked.count, wait_s)
    return None


def note_unreadable(batcher: Batcher, signal: Signal, origin: Origin) -> None:
    """Count a body that went back to its sender; what it held is not known, so it counts as one."""
    if signal.item:
        batcher.note_rejected(signal.item, origin.sender, origin.namespace, 1)
