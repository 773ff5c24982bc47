"""Imports from the command line: into the store this process holds, or through the `serve` that holds it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from collector.importing import Progress, import_events, import_otlp
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


def import_into_store(
    store: Store, settings: Settings, engine: str, paths: Sequence[str], clock: Clock
) -> Iterator[Progress]:
    """Import into a store that this process holds."""
    collector = Collector(settings.collector, store, clock, CollectorRegistry())
    try:
        yield from (
            collector.import_otlp(paths) if engine == "otlp" else collector.import_events(paths)
        )
    finally:
        collector.close()


def import_into_serving(
    holder: Serving, engine: str, paths: Sequence[str], clock: Clock
) -> Iterator[Progress]:
    """Import through a running service's ingest endpoints; folded when it returns."""
    if not holder.ingest:
        raise StoreUnavailable(
            f"the serve (pid {holder.pid}) has no collector role: import through one that has"
        )
    target = _OverHttp(holder)
    try:
        if engine == "otlp":
            yield from import_otlp(paths, target)
        else:
            yield from import_events(paths, target, clock.now())
    finally:
        target.close()
    ask(holder, "fold")


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

    def submit_otlp(self, request: bytes, spans: int) -> Future[None]:
        return self._thread.submit(self._post, "/v1/traces", request, "application/x-protobuf")

    def submit_events(self, events: Sequence[StepEvent], size_bytes: int) -> Future[None]:
        lines = [
            msgspec.json.encode({**msgspec.to_builtins(event), "time": rfc3339(event.time)})
            for event in events
        ]
        return self._thread.submit(
            self._post, "/v1/events", b"\n".join(lines), "application/x-ndjson"
        )

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
        if answer.status_code != httpx.codes.OK or _rejected(answer):
            raise StoreRefused(f"{path}: {answer.status_code} {answer.text[:200]}")


def _rejected(answer: httpx.Response) -> bool:
    """Whether some events were sent back (traces that are only partly good say so elsewhere)."""
    if "json" not in answer.headers.get("content-type", ""):
        return False
    return bool(answer.json().get("rejected"))
