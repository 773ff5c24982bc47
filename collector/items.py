"""One request on its way to the store: what is in it, who waits for it, and how it looks in the spool."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from stallwatch.errors import InputError
from stallwatch.store import Body, EventRow

Kind = Literal["span", "event"]
KINDS: Final[tuple[Kind, ...]] = ("span", "event")
_BODY: Final = msgspec.msgpack.Decoder(Body)
_ROWS: Final = msgspec.json.Decoder(list[EventRow])


class Sink(Protocol):
    """What the collector needs of the store. Called from several threads at once."""

    def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None: ...

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None: ...

    def note_rejected(
        self, sender: str, namespace: str, received_at: datetime, rejected: int
    ) -> None: ...


@dataclass(slots=True, eq=False)
class Item:
    """One request: an OTLP body or step events, and who waits for it. It is committed whole or not at all."""

    size_bytes: int
    count: int
    body: Body | None = None
    rows: Sequence[EventRow] = ()
    future: Future[None] = field(default_factory=Future)
    number: int = 0
    """Its place in the order of arrival, over restarts too as long as something is in the spool."""
    since_s: float = 0.0
    """When it was taken, on the monotonic clock."""

    @property
    def kind(self) -> Kind:
        return "event" if self.body is None else "span"

    @property
    def received_at(self) -> datetime:
        return self.rows[0].received_at if self.body is None else self.body.received_at

    @property
    def sender(self) -> str:
        return self.rows[0].sender if self.body is None else self.body.sender

    @property
    def namespace(self) -> str:
        """The one of its first event, where events of several came together."""
        return self.rows[0].event.namespace if self.body is None else self.body.namespace

    def rejections(self) -> list[tuple[str, str, int]]:
        """(sender, namespace, count) of what is lost when it is refused."""
        if self.body is not None:
            return [(self.body.sender, self.body.namespace, self.count)]
        return [(row.sender, row.event.namespace, 1) for row in self.rows]

    def encoded(self) -> bytes:
        """All of it that the store is given."""
        if self.body is not None:
            return msgspec.msgpack.encode(self.body)
        # JSON, because attributes came as JSON and need not fit into anything narrower.
        return msgspec.json.encode(self.rows)


def decoded(kind: str, data: bytes, size_bytes: int, count: int) -> Item:
    """Read what `Item.encoded` wrote; raises InputError."""
    try:
        if kind == "span":
            return Item(size_bytes, count, body=_BODY.decode(data))
        rows = _ROWS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}") from None
    if not rows:
        raise InputError("cannot be read: no events")
    return Item(size_bytes, count, rows=rows)


def write(store: Sink, items: Sequence[Item], token: str) -> None:
    """Insert requests of one kind as one batch. Raises StoreUnavailable and StoreRefused."""
    if items[0].kind == "event":
        store.insert_event_rows([row for item in items for row in item.rows], token)
    else:
        store.insert_otlp([item.body for item in items if item.body is not None], token)
