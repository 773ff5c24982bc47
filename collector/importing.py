"""`import`: files to the store, as history that never pages."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from collector.documents import STDIN, Document, Source
from collector.engines import registry
from collector.engines.file_names import FileNames
from collector.engines.reading import Hints
from collector.events import read_event
from collector.json_text import decode_any
from collector.otlp_documents import read_document
from stallwatch.errors import InputError, Permanent
from stallwatch.model.events import StepEvent

CHUNK_EVENTS: Final = 500
CHUNK_BYTES: Final = 1024 * 1024
_UNDER_WAY_MAX: Final = 16
"""Chunks submitted and not yet committed."""


class Target(Protocol):
    """Where an import goes: the batcher of this process, or a running service over HTTP.

    The futures fail with Permanent for what will never be stored and with Transient for what may be later.
    """

    def submit_otlp(self, request: bytes, spans: int, namespace: str) -> Future[None]:
        """Spans in protobuf; `namespace` is that of spans that do not say theirs."""
        ...

    def submit_events(self, events: Sequence[StepEvent], size_bytes: int) -> Future[None]: ...


class DocumentTarget(Protocol):
    """The same, for documents of engines."""

    def submit_document(self, engine: str, data: bytes, hints: Hints) -> Sequence[Future[None]]:
        """One JSON document of an engine. May raise InputError at once, if it is none."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the import of one file is. `errors` are the new ones: "path, line 3: reason".

    `passed_over` counts what is understood and none of ours: other log records, data points.
    """

    path: str
    bytes_done: int
    bytes_total: int
    accepted: int
    errors: tuple[str, ...] = ()
    passed_over: int = 0


@dataclass(frozen=True, slots=True)
class _UnderWay:
    futures: Sequence[Future[None]]
    count: int
    on_refusal: Callable[[Permanent], "_Refused"]


@dataclass(frozen=True, slots=True)
class _Refused:
    """What of a refused chunk was stored after all, and the rest's errors."""

    accepted: int
    errors: list[str]


class _Import:
    """The chunks of one file on their way."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.passed_over = 0
        self._under_way: deque[_UnderWay] = deque()
        self._accepted = 0
        self._errors: list[str] = []

    def problem(self, place: str, reason: object) -> None:
        self._errors.append(self.told(place, reason))

    def told(self, place: str, reason: object) -> str:
        return f"{self.source.path}, {place}: {reason}"

    def sent(
        self,
        futures: Sequence[Future[None]],
        count: int,
        on_refusal: Callable[[Permanent], _Refused],
    ) -> None:
        """Remember a chunk; waits when too many are under way."""
        self._under_way.append(_UnderWay(futures, count, on_refusal))
        if len(self._under_way) >= _UNDER_WAY_MAX:
            self._settle_one()

    def settle(self) -> None:
        """Wait for all chunks; raises Transient if one could not be committed."""
        while self._under_way:
            self._settle_one()

    def progress(self) -> Progress:
        errors, self._errors = tuple(self._errors), []
        source = self.source
        return Progress(
            source.path,
            source.bytes_done,
            source.bytes_total,
            self._accepted,
            errors,
            self.passed_over,
        )

    def _settle_one(self) -> None:
        chunk = self._under_way.popleft()
        try:
            for future in chunk.futures:
                future.result()
        except Permanent as error:
            refused = chunk.on_refusal(error)
            self._errors.extend(refused.errors)
            self._accepted += refused.accepted
        else:
            self._accepted += chunk.count


def import_otlp(
    paths: Sequence[str], target: Target, now: datetime, namespace: str = "default"
) -> Iterator[Progress]:
    """Import files of OTLP traces and logs: protobuf, JSON or JSON lines, plain or gzip; `-` is standard input.

    Of log records the step events are taken; the others, and metrics, are passed over and counted. A bad document is
    named and the rest goes on. Raises InputError for a file that cannot be opened and Transient when the store is
    away: importing the same file again adds the rest.
    """
    for path in paths:
        source = Source(path)
        run = _Import(source)
        try:
            for document in source.otlp_documents():
                try:
                    _send_otlp(document, run, target, now, namespace)
                except InputError as error:
                    run.problem(document.place, error)
                yield run.progress()
            run.settle()
            yield run.progress()
        finally:
            source.close()


def _send_otlp(
    document: Document, run: _Import, target: Target, now: datetime, namespace: str
) -> None:
    place = document.place
    if document.problem:
        raise InputError(document.problem)
    for held in read_document(document.data, now, namespace):
        run.passed_over += held.rejected - held.refused
        if held.refused:
            run.problem(place, held.told)
        if held.request and held.count:
            run.sent(
                [target.submit_otlp(held.request, held.count, namespace)],
                held.count,
                lambda error: _Refused(0, [run.told(place, error)]),
            )
        for start in range(0, len(held.events), CHUNK_EVENTS):
            chunk = _Chunk()
            for event in held.events[start : start + CHUNK_EVENTS]:
                chunk.add(place, len(document.data) // held.count, event)
            chunk.send(run, target)


def import_events(
    paths: Sequence[str], target: Target, now: datetime, namespace: str = "default"
) -> Iterator[Progress]:
    """Import files of step events or CloudEvents: a JSON value, an array, or a line each; else like `import_otlp`."""
    for path in paths:
        source = Source(path)
        run = _Import(source)
        chunk = _Chunk()
        try:
            for document in source.json_documents():
                try:
                    event = _event(document, now, namespace)
                except InputError as error:
                    run.problem(document.place, error)
                    continue
                if event is not None:
                    chunk.add(document.place, len(document.data), event)
                if chunk.is_full:
                    chunk.send(run, target)
                    chunk = _Chunk()
                    yield run.progress()
            chunk.send(run, target)
            run.settle()
            yield run.progress()
        finally:
            source.close()


def import_documents(
    name: str, paths: Sequence[str], target: DocumentTarget, hints: Hints
) -> Iterator[Progress]:
    """Import files of an engine's documents: histories, descriptions, deliveries, tables; else like `import_otlp`.

    `hints` say what documents do not: the namespace, the workflow, whose history it is.
    """
    engine = registry.engine(name)
    names = FileNames(engine, paths, hints)
    for path in paths:
        own = None if path == STDIN else engine.file_documents(Path(path))
        source = Source(path)
        run = _Import(source)
        try:
            for document, is_alone in _alone(own or source.json_documents()):
                # What a file is called says whose history it is only where it is one history.
                told = names.hints[path] if is_alone and path != STDIN else hints
                try:
                    names.check(path, document, told)
                    _send_document(name, document, run, target, told)
                except InputError as error:
                    run.problem(document.place, error)
                yield run.progress()
            run.settle()
            yield run.progress()
        finally:
            source.close()


def _alone(documents: Iterator[Document]) -> Iterator[tuple[Document, bool]]:
    """Each document, and whether it is the only one."""
    first = next(documents, None)
    if first is None:
        return
    second = next(documents, None)
    yield first, second is None
    if second is not None:
        yield second, False
    for document in documents:
        yield document, False


def _send_document(
    name: str, document: Document, run: _Import, target: DocumentTarget, hints: Hints
) -> None:
    if document.problem:
        raise InputError(document.problem)
    commits = target.submit_document(name, document.data, hints)
    run.sent(commits, 1, lambda error: _Refused(0, [run.told(document.place, error)]))


def _event(document: Document, now: datetime, namespace: str) -> StepEvent | None:
    if document.problem:
        raise InputError(document.problem)
    return read_event(decode_any(document.data), now, namespace)


class _Chunk:
    """Events of one file that are submitted together."""

    def __init__(self) -> None:
        self._places: list[str] = []
        self._events: list[StepEvent] = []
        self._size_bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self._events) >= CHUNK_EVENTS or self._size_bytes >= CHUNK_BYTES

    def add(self, place: str, size_bytes: int, event: StepEvent) -> None:
        self._places.append(place)
        self._events.append(event)
        self._size_bytes += size_bytes

    def send(self, run: _Import, target: Target) -> None:
        if self._events:
            future = target.submit_events(self._events, self._size_bytes)
            run.sent([future], len(self._events), lambda error: self._one_by_one(run, target))

    def _one_by_one(self, run: _Import, target: Target) -> _Refused:
        """The chunk was refused as a whole: find out which of its events are to blame."""
        refused = []
        for place, event in zip(self._places, self._events, strict=True):
            try:
                target.submit_events([event], self._size_bytes // len(self._events)).result()
            except Permanent as error:
                refused.append(run.told(place, error))
        return _Refused(len(self._events) - len(refused), refused)
