"""Imports from the command line: into the store this process holds, or through the `serve` that holds it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple
from urllib.parse import urlencode

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from collector.engines.reading import Hints
from collector.importing import Progress, import_documents, import_events, import_otlp
from collector.service import Collector
from stallwatch.app.access import ask
from stallwatch.app.claim import Serving
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.durations import rfc3339
from stallwatch.model.events import StepEvent
from stallwatch.store import Store

HISTORICAL: Final = {"Stallwatch-Historical": "true", "Stallwatch-Sender": "import"}
TIMEOUT_S: Final = 60.0


class Wanted(NamedTuple):
    """What to import. `namespace`, `workflow` and `execution_id` are for documents that do not say theirs."""

    engine: str
    paths: Sequence[str]
    namespace: str = "default"
    workflow: str = ""
    execution_id: str = ""


def import_into_store(
    store: Store, settings: Settings, wanted: Wanted, clock: Clock
) -> Iterator[Progress]:
    """Import into a store that this process holds."""
    collector = Collector(settings.collector, store, clock, CollectorRegistry())
    engine, paths, namespace, workflow, execution_id = wanted
    try:
        if engine == "otlp":
            yield from collector.import_otlp(paths, namespace)
        elif engine == "events":
            yield from collector.import_events(paths, namespace)
        else:
            yield from collector.import_documents(engine, paths, namespace, workflow, execution_id)
    finally:
        collector.close()


def import_into_serving(holder: Serving, wanted: Wanted, clock: Clock) -> Iterator[Progress]:
    """Import through a running service's ingest endpoints; folded when it returns, and soon learned from."""
    if not holder.ingest:
        raise StoreUnavailable(
            f"the serve (pid {holder.pid}) has no collector role: import through one that has"
        )
    target = _OverHttp(holder)
    engine, paths, namespace, workflow, execution_id = wanted
    try:
        if engine == "otlp":
            yield from import_otlp(paths, target, clock.now(), namespace)
        elif engine == "events":
            yield from import_events(paths, target, clock.now(), namespace)
        else:
            hints = Hints(clock.now(), namespace, execution_id, workflow)
            yield from import_documents(engine, paths, target, hints)
    finally:
        target.close()
    ask(holder, "fold", learn=True)


class _OverHttp:
    """Sends chunks one after the other from a thread of its own."""

    def __init__(self, holder: Serving) -> None:
        self._client = httpx.Client(
            base_url=holder.ingest,
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={**HISTORICAL, **holder.headers},
        )
        self._thread = ThreadPoolExecutor(1, "import")

    def submit_otlp(self, request: bytes, spans: int, namespace: str) -> Future[None]:
        path = f"/v1/traces?{urlencode({'namespace': namespace})}"
        return self._thread.submit(self._post, path, request, "application/x-protobuf")

    def submit_events(self, events: Sequence[StepEvent], size_bytes: int) -> Future[None]:
        lines = [
            msgspec.json.encode({**msgspec.to_builtins(event), "time": rfc3339(event.time)})
            for event in events
        ]
        return self._thread.submit(
            self._post, "/v1/events", b"\n".join(lines), "application/x-ndjson"
        )

    def submit_document(self, engine: str, data: bytes, hints: Hints) -> list[Future[None]]:
        query = {
            name: value
            for name, value in hints._asdict().items()
            if isinstance(value, str) and value
        }
        path = f"/v1/engines/{engine}?{urlencode(query)}"
        return [self._thread.submit(self._post, path, data, "application/json")]

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._client.close()

    def _post(self, path: str, body: bytes, content_type: str) -> None:
        try:
            answer = self._client.post(path, content=body, headers={"Content-Type": content_type})
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"{path}: {error}") from None
        if answer.status_code in (429, 502, 503, 504):
            raise StoreUnavailable(f"{path}: {answer.status_code} {answer.text[:200]}")
        reason = _rejection(answer)
        if reason is not None:
            raise StoreRefused(reason)
        if answer.status_code != httpx.codes.OK:
            raise StoreRefused(f"{path}: {answer.status_code} {answer.text[:200]}")


def _rejection(answer: httpx.Response) -> str | None:
    """Why something was sent back, if it was (traces that are only partly good say so elsewhere)."""
    if "json" not in answer.headers.get("content-type", ""):
        return None
    told = answer.json()
    if not told.get("rejected"):
        return None
    return "; ".join(error["message"] for error in told["errors"]) or f"{told['rejected']} rejected"
