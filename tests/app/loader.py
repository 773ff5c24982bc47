"""Load that remembers what was promised: events and spans, each request an execution of its own."""

import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import msgspec

from stallwatch.clock import SystemClock
from tests import spans
from tests.app.running import WAIT_S, Running

THREADS: Final = 4
STEPS: Final = 3
"""Steps of an execution, on either road."""


@dataclass(frozen=True)
class Parcel:
    """One request, and which rows it must become."""

    path: str
    body: bytes
    execution_id: str
    items: frozenset[str]
    """Ids of its events, or of its spans."""

    def send(self, client: httpx.Client) -> bool:
        """Whether it was promised to be stored."""
        return self.post(client).status_code == 200

    def post(self, client: httpx.Client) -> httpx.Response:
        """Send it; the answer."""
        kind = "application/json" if self.path == "/v1/events" else "application/x-protobuf"
        return client.post(self.path, content=self.body, headers={"Content-Type": kind})


def parcels(prefix: str, at: datetime) -> Iterator[Parcel]:
    """Executions without end: by events and by spans, in turn."""
    for number in itertools.count():
        make = _of_spans if number % 2 else _of_events
        yield make(f"{prefix}-{number}", at + timedelta(milliseconds=number))


def _of_events(execution_id: str, at: datetime) -> Parcel:
    names = [("workflow.started", "")]
    for step in range(STEPS):
        names += [("step.started", f"step-{step}"), ("step.completed", f"step-{step}")]
    events = [
        {
            "event": event,
            "step": step,
            "workflow": "told",
            "execution_id": execution_id,
            "event_id": f"{execution_id}/{number}",
            "time": (at + timedelta(microseconds=number)).isoformat(),
        }
        for number, (event, step) in enumerate(names)
    ]
    ids = frozenset(str(event["event_id"]) for event in events)
    return Parcel("/v1/events", msgspec.json.encode(events), execution_id, ids)


def _of_spans(execution_id: str, at: datetime) -> Parcel:
    marked = {"stallwatch.workflow": "traced", "stallwatch.execution_id": execution_id}
    root = spans.Span("traced", at, attributes=marked)
    children = [
        spans.Span(f"step-{step}", at, 0.5, trace_id=root.trace_id, parent_span_id=root.span_id)
        for step in range(STEPS)
    ]
    ids = frozenset(span.span_id.hex() for span in (root, *children))
    return Parcel("/v1/traces", spans.request(root, *children), execution_id, ids)


@dataclass
class Load:
    """Threads that send until the service is gone or they are told to end; each is a sender of its own."""

    running: Running
    prefix: str
    pause_s: float = 0.0
    """Between two requests of a thread."""
    promised: list[Parcel] = field(default_factory=list)
    unanswered: list[Parcel] = field(default_factory=list)

    def __post_init__(self) -> None:
        # In the past: what is sent later must not be in the future.
        at = SystemClock().now().astimezone(UTC) - timedelta(minutes=10)
        self._parcels = parcels(self.prefix, at)
        self._lock = threading.Lock()
        self._answers = threading.Semaphore(0)
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[n]) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        """Return when so many requests were promised."""
        for _ in range(answers):
            assert self._answers.acquire(timeout=WAIT_S), self.running.said

    def end(self) -> None:
        """Send no more; returns when the last answers are there."""
        self._ending.set()
        self.join()

    def join(self) -> None:
        """Return when all threads have met the service's end."""
        for thread in self._threads:
            thread.join(2 * WAIT_S)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        headers = {"Stallwatch-Sender": f"{self.prefix}/{number}"}
        with httpx.Client(base_url=self.running.ingest, timeout=WAIT_S, headers=headers) as client:
            while not self._ending.wait(self.pause_s):
                with self._lock:
                    parcel = next(self._parcels)
                try:
                    promised = parcel.send(client)
                except httpx.TransportError:
                    self.unanswered.append(parcel)
                    return
                if promised:
                    self.promised.append(parcel)
                    self._answers.release()
                else:
                    self.unanswered.append(parcel)


def resend(running: Running, parcels: Iterable[Parcel]) -> None:
    """What a sender does with a request that was not answered."""
    with httpx.Client(base_url=running.ingest, timeout=WAIT_S) as client:
        for parcel in parcels:
            assert parcel.send(client)
