"""The desk: documents of engines, whichever road they came, to step events in the store.

1. A document is taken apart into facts and definitions.
2. Definitions go to the store, facts to the shelf.
3. All that is known of each execution is read; what was not told before is checked and committed.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Final, NamedTuple

import xxhash

from collector.batcher import Batcher
from collector.engines.reading import Engine, Hints, Parts, Reading
from collector.engines.shelf import Known, Shelf
from collector.events import Parsed
from collector.json_text import is_deeper
from collector.limits import Accept, as_it_is
from collector.meters import Meters
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition
from stallwatch.model.events import StepEvent, check_event
from stallwatch.store import EventRow

ROAD: Final = "history"
DEPTH_MAX: Final = 200
"""Levels of a document. Histories carry payloads of any shape; what is kept of them is flat."""
_CHUNK_EVENTS: Final = 2000
_EVENT_BYTES: Final = 256
"""About what a step event of an engine has in text."""
_TOLD_MAX: Final = 500_000
_TYPES_MAX: Final = 200
OTHER: Final = "(other)"
log = logging.getLogger(__name__)

WriteDefinitions = Callable[[Sequence[Definition], datetime], None]


class Origin(NamedTuple):
    """Who delivers, and what may be stored of it."""

    sender: str
    received_at: datetime
    historical: bool = False
    accept: Accept = as_it_is
    room_wait_s: float = 0.0
    """How long to wait for room in the collector before it says Busy."""


class Taken(NamedTuple):
    """What became of documents; `commits` are to be waited for before it may be told."""

    parsed: Parsed
    """Counts documents, those in envelopes one by one."""
    commits: list[Future[None]]
    events: int
    answer: Mapping[str, Any] | None
    """What the sender of an envelope expects to hear."""


class Desk:
    """One for a collector. Thread-safe."""

    def __init__(
        self,
        batcher: Batcher,
        shelf: Shelf,
        meters: Meters,
        write_definitions: WriteDefinitions,
    ) -> None:
        self._batcher = batcher
        self._shelf = shelf
        self._meters = meters
        self._write_definitions = write_definitions
        self._told = _Told()
        self._types: set[tuple[str, str]] = set()

    def take(
        self, engine: Engine, documents: Iterable[Callable[[], Any]], hints: Hints, origin: Origin
    ) -> Taken:
        """Take documents of an engine, each given by what decodes it; a bad one is told and the rest goes on.

        Raises Transient if they cannot be kept now: then the sender has to send again.
        """
        parsed = Parsed()
        parts = Parts()
        answer = None
        for index, decode in enumerate(documents):
            try:
                document = decode()
                if is_deeper(document, DEPTH_MAX):
                    raise InputError(f"nested more than {DEPTH_MAX} levels deep")
                delivery = engine.delivery(document)
            except InputError as error:
                parsed.reject(index, str(error))
                continue
            if delivery is not None:
                answer = delivery.answer
            for inner in [document] if delivery is None else delivery.documents:
                _take_apart(engine, inner, hints, index, parsed, parts)
        commits, events = self.keep(engine, parts, hints.namespace, origin)
        return Taken(parsed, commits, events, answer)

    def keep(
        self, engine: Engine, parts: Parts, namespace: str, origin: Origin
    ) -> tuple[list[Future[None]], int]:
        """Keep what documents said, and submit what follows from it; the commits, and how many events they have."""
        if parts.definitions:
            self._write_definitions(parts.definitions, origin.received_at)
        known = self._shelf.put(engine.name, namespace, parts.fragments, origin.received_at)
        rows: list[EventRow] = []
        read: list[tuple[int, str, bool]] = []
        for execution in known:
            reading = engine.read(execution.execution, execution.facts, namespace)
            name = reading.events[0].execution_id if reading.events else ""
            read.append((execution.id, name, reading.is_closed))
            self._note_unknown(engine, namespace, execution, reading)
            rows += self._rows(engine, reading, origin)
        self._shelf.note(read)
        commits = []
        for start in range(0, len(rows), _CHUNK_EVENTS):
            chunk = rows[start : start + _CHUNK_EVENTS]
            committed = self._batcher.submit_events(
                chunk, _EVENT_BYTES * len(chunk), origin.room_wait_s
            )
            committed.add_done_callback(self._told.when_durable(chunk))
            commits.append(committed)
        return commits, len(rows)

    def forget(self, execution_id: str) -> None:
        """Erase what is kept of an execution."""
        self._shelf.forget(execution_id)
        self._told.clear()

    def _rows(self, engine: Engine, reading: Reading, origin: Origin) -> Iterator[EventRow]:
        refused: Counter[str] = Counter()
        for event in reading.events:
            if self._told.has(event):
                continue
            try:
                check_event(event, origin.received_at)
                accepted = origin.accept(event)
            except InputError as error:
                refused[str(error)] += 1
                continue
            yield EventRow(accepted, origin.received_at, origin.sender, ROAD, origin.historical)
        if refused:
            count = refused.total()
            self._batcher.note_rejected("event", origin.sender, event.namespace, count)
            log.warning(
                "step events of an engine cannot be stored",
                extra={
                    "engine": engine.name,
                    "count": count,
                    "reason": refused.most_common(1)[0][0],
                },
            )

    def _note_unknown(self, engine: Engine, namespace: str, known: Known, reading: Reading) -> None:
        unknown = _unknown(reading)
        if unknown and known.new:
            earlier = {id: fact for id, fact in known.facts.items() if id not in known.new}
            unknown -= _unknown(engine.read(known.execution, earlier, namespace))
            for kind, count in unknown.items():
                self._count_unknown(engine.name, kind, count)

    def _count_unknown(self, engine: str, kind: str, count: int) -> None:
        if (engine, kind) not in self._types:
            if len(self._types) >= _TYPES_MAX:
                kind = OTHER
            else:
                self._types.add((engine, kind))
                log.warning(
                    "an event type is not understood", extra={"engine": engine, "type": kind}
                )
        self._meters.engine_unknown.labels(engine, kind).inc(count)


def _take_apart(
    engine: Engine, document: Any, hints: Hints, index: int, parsed: Parsed, parts: Parts
) -> None:
    try:
        its = engine.parts(document, hints)
    except InputError as error:
        parsed.reject(index, str(error))
    except OverflowError:
        parsed.reject(index, "a number or a time is out of range")
    else:
        parsed.accepted += 1
        parts.fragments += its.fragments
        parts.definitions += its.definitions


class _Told:
    """Which events are stored already, as far as is remembered; sending one again would only cost."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def has(self, event: StepEvent) -> bool:
        key = _key(event)
        return key in self._young or key in self._old

    def when_durable(self, rows: Sequence[EventRow]) -> Callable[[Future[None]], None]:
        """Remember events once their commit has succeeded."""

        def done(commit: Future[None]) -> None:
            if commit.exception() is None:
                self._young.update(_key(row.event) for row in rows)
                if len(self._young) > _TOLD_MAX:
                    self._young, self._old = set(), self._young

        return done

    def clear(self) -> None:
        self._young, self._old = set(), set()


def _key(event: StepEvent) -> int:
    identity = (event.namespace, event.engine, event.execution_id, event.event_id)
    return xxhash.xxh3_64_intdigest("\0".join(identity).encode())


def _unknown(reading: Reading) -> Counter[str]:
    return Counter(
        {kind: count for (fate, kind), count in reading.kinds.items() if fate == "unknown"}
    )
