"""The collector as one object: the batcher and the ways in."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry

from collector.admission import Admission, Sender
from collector.asgi import App
from collector.batcher import Batcher, Sink
from collector.engines.desk import Desk, Origin
from collector.engines.polling import SENDER, Marks, Polling
from collector.engines.reading import Hints
from collector.engines.registry import ENGINES, engine
from collector.engines.shelf import Shelf
from collector.grpc_server import GrpcServer
from collector.http import build_app
from collector.importing import Progress, import_documents, import_events, import_otlp
from collector.json_text import decode_any
from collector.limits import Limits
from collector.meters import Meters
from collector.spool import Spool
from stallwatch.clock import Clock
from stallwatch.config.engines import EnginesConfig
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition
from stallwatch.model.events import StepEvent
from stallwatch.store import Body, EventRow

IMPORT_SENDER: Final = "import"
GRACE_S: Final = 5.0
_ROOM_WAIT_S: Final = 60.0


class CollectorStore(Sink, Protocol):
    """What the collector needs of the store. Called from several threads at once."""

    def write_definitions(self, definitions: Sequence[Definition], now: datetime) -> None: ...

    def note_look(
        self, sender: str, namespace: str, began_at: datetime, ended_at: datetime
    ) -> None: ...


class Collector:
    """Takes OTLP and step events over HTTP and gRPC and from files; commits them in batches.

    `on_commit` is called from the committing thread after each batch: it must be quick and must not raise.
    """

    def __init__(
        self,
        config: CollectorConfig,
        store: CollectorStore,
        clock: Clock,
        registry: CollectorRegistry,
        on_commit: Sequence[Callable[[], None]] = (),
        local_token: str = "",
        spool_folder: Path | None = None,
        tell_spooled: Callable[[dict[tuple[str, str], int]], None] | None = None,
        shelf_folder: Path | None = None,
        shelf_max_bytes: int = EnginesConfig().shelf_max_bytes,
    ) -> None:
        """`local_token`: see `Admission`; `spool_folder`: where to keep what the store does not take, None: nowhere;
        `shelf_folder`: where to keep what engines told, None: in memory.
        """
        self._config = config
        self._clock = clock
        self._store = store
        self._meters = meters = Meters(registry)
        self._admission = Admission(config, clock, meters, local_token)
        self._limits = Limits(config, meters)
        spool = None
        if spool_folder is not None and config.spool_max_bytes > 0:
            spool = Spool(spool_folder, config.spool_max_bytes, meters)
        self.batcher = Batcher(
            store,
            clock,
            meters,
            config.batch_ms,
            config.max_pending_bytes,
            on_commit,
            inflight_inserts=config.inflight_inserts,
            repeat_window_s=config.repeat_window,
            spool=spool,
            # Without senders, nobody gives up.
            spool_after_s=math.inf if spool_folder is None else config.spool_after,
            tell_spooled=tell_spooled,
        )
        self._shelf = Shelf(shelf_folder, shelf_max_bytes, meters)
        self.desk = Desk(self.batcher, self._shelf, meters, store.write_definitions)
        self.http_app: App = build_app(
            self.batcher, clock, config, self._admission, self._limits, self.desk
        )
        """To be served on `config.otlp_http`, with `proxy_headers` off: who is local decides what is history."""
        self._grpc: GrpcServer | None = None

    def start_grpc(self, address: str | None = None, credentials: Any = None) -> int:
        """Serve OTLP/gRPC on `address` (`config.otlp_grpc`), with TLS if there are `credentials`; returns the port.

        Raises InputError if it is taken.
        """
        self._grpc = GrpcServer(
            self.batcher, self._clock, self._config, self._admission, self._limits
        )
        return self._grpc.start(address or self._config.otlp_grpc, credentials)

    def import_otlp(self, paths: Sequence[str], namespace: str = "default") -> Iterator[Progress]:
        """See `collector.importing.import_otlp`."""
        target = _Direct(self.batcher, self._clock, self.desk)
        return import_otlp(paths, target, self._clock.now(), namespace)

    def import_events(self, paths: Sequence[str], namespace: str = "default") -> Iterator[Progress]:
        """See `collector.importing.import_events`."""
        target = _Direct(self.batcher, self._clock, self.desk)
        return import_events(paths, target, self._clock.now(), namespace)

    def import_documents(
        self,
        engine: str,
        paths: Sequence[str],
        namespace: str = "default",
        workflow: str = "",
        execution_id: str = "",
    ) -> Iterator[Progress]:
        """See `collector.importing.import_documents`."""
        hints = Hints(self._clock.now(), namespace, execution_id, workflow)
        target = _Direct(self.batcher, self._clock, self.desk)
        return import_documents(engine, paths, target, hints)

    def pollings(self, engines: EnginesConfig, marks: Marks) -> list[Polling]:
        """One for each engine that has a section. Raises ConfigError for a section that cannot work."""
        found = []
        for name in ENGINES:
            config = getattr(engines, name)
            if config is None:
                continue
            polled = engine(name)
            sender = Sender(SENDER + name)
            found.append(
                Polling(
                    polled,
                    polled.poller(config),
                    config.every,
                    self.desk,
                    marks,
                    self._clock,
                    self._meters,
                    partial(self._limits.of, sender),
                    self._store.note_look,
                )
            )
        return found

    def close(self) -> None:
        """Stop taking calls, commit what was accepted, and return. Stop the HTTP server before."""
        if self._grpc is not None:
            self._grpc.stop(GRACE_S)
        self.batcher.close()
        self._shelf.close()


class _Direct:
    """An import into this process's batcher."""

    def __init__(self, batcher: Batcher, clock: Clock, desk: Desk) -> None:
        self._batcher = batcher
        self._clock = clock
        self._desk = desk

    def submit_otlp(self, request: bytes, spans: int, namespace: str) -> Future[None]:
        body = Body(request, self._clock.now(), IMPORT_SENDER, namespace, historical=True)
        return self._batcher.submit_otlp(body, spans, _ROOM_WAIT_S)

    def submit_events(self, events: Sequence[StepEvent], size_bytes: int) -> Future[None]:
        now = self._clock.now()
        rows = [EventRow(event, now, IMPORT_SENDER, historical=True) for event in events]
        return self._batcher.submit_events(rows, size_bytes, _ROOM_WAIT_S)

    def submit_document(self, engine_name: str, data: bytes, hints: Hints) -> list[Future[None]]:
        origin = Origin(IMPORT_SENDER, self._clock.now(), historical=True, room_wait_s=_ROOM_WAIT_S)
        taken = self._desk.take(engine(engine_name), [partial(decode_any, data)], hints, origin)
        if taken.parsed.errors:
            raise InputError(taken.parsed.errors[0].message)
        return taken.commits
