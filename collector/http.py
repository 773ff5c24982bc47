"""OTLP/HTTP and `/v1/events`: the only asynchronous code beside gRPC's, which waits for the batcher's futures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from collector import answers, otlp, senders
from collector.admission import Admission
from collector.asgi import App, Disconnected, Receive, Reply, Request, Scope, Send
from collector.batcher import Batcher
from collector.budget import Lease
from collector.commits import Commits
from collector.encodings import inflate, media_type
from collector.engines.desk import Desk
from collector.engines.receiving import Received, receive
from collector.engines.registry import ENGINES
from collector.events import Answer, parse_events
from collector.exports import INLINE_SLOW_BYTES, Origin, inline_bytes, note_unreadable, submit
from collector.limits import Limits
from collector.refusals import (
    INTERNAL,
    NOT_FOUND,
    UNIMPLEMENTED,
    Forbidden,
    Refusal,
    TooLarge,
    refusal_of,
)
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError, Permanent, StallwatchError
from stallwatch.store import EventRow

HISTORICAL: Final = "stallwatch-historical"
"""Request header: `true` marks the body as history, which never pages. Taken from this machine only."""
_HISTORICAL: Final = HISTORICAL.encode()
_SENDER: Final = senders.HEADER.encode()
_FIREHOSE_KEY: Final = b"x-amz-firehose-access-key"
"""Where Amazon Data Firehose puts the access key of an HTTP endpoint."""
_CHECKERS: Final = 2

T = TypeVar("T")
log = logging.getLogger(__name__)


def build_app(
    batcher: Batcher,
    clock: Clock,
    config: CollectorConfig,
    admission: Admission,
    limits: Limits,
    desk: Desk,
) -> App:
    """The ASGI application for the OTLP/HTTP port."""
    return _Edge(batcher, clock, config, admission, limits, desk)


class _Edge:
    def __init__(
        self,
        batcher: Batcher,
        clock: Clock,
        config: CollectorConfig,
        admission: Admission,
        limits: Limits,
        desk: Desk,
    ) -> None:
        self._batcher = batcher
        self._desk = desk
        self._admission = admission
        self._limits = limits
        self._clock = clock
        self._config = config
        self._commits: Commits | None = None
        self._checkers = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="checker")
        self._signals = {f"/v1/{signal.name}": signal for signal in otlp.SIGNALS}
        self._others: dict[str, tuple[str, Callable[[Request], Awaitable[Reply]]]] = {
            "/v1/events": ("POST", self._events),
            "/healthz": ("GET", self._healthz),
            "/openapi.json": ("GET", self._openapi),
            **{f"/v1/engines/{name}": ("POST", self._documents) for name in ENGINES},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # There are no WebSockets here, and nothing to start or stop.
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Disconnected:
            return
        except StallwatchError as error:
            # Not admitted: nothing was read, and nothing is known of what it would have been.
            answer = answers.refused(refusal_of(error), _speaks_protobuf(request))
        except Exception:
            # Any defect: its sender gets an answer in its own encoding, and the log says what it was.
            log.exception("a request failed by a defect", extra={"path": request.path[:100]})
            refusal = Refusal(500, INTERNAL, "the collector has a defect: see its log")
            answer = answers.refused(refusal, _speaks_protobuf(request))
        await answer.send(send)

    async def _answer(self, request: Request) -> Reply:
        path = request.path
        signal = self._signals.get(path)
        if signal is not None and request.method == "POST":
            return await self._export(request, signal)
        method, handler = ("POST", None) if signal else self._others.get(path, ("", None))
        if handler is not None and request.method == method:
            return await handler(request)
        return _no_such(request, method)

    async def _export(self, request: Request, signal: otlp.Signal) -> Reply:
        """One Export call of OTLP/HTTP."""
        origin = self._origin(request)
        try:
            content_type = request.header(b"content-type")
            is_json = answers.is_json(content_type)
            origin = origin.within(request.query().get("namespace", ""))
            _check_history(request, origin)
            with self._batcher.budget.lease() as lease:
                raw = await self._read(request, lease)
                checked = await self._checked(
                    raw,
                    request,
                    lease,
                    lambda body: origin.read(signal, body, is_json),
                    inline_bytes(signal, is_json),
                )
                size_bytes = lease.size_bytes
            origin.admitted.charge(checked.count, size_bytes)
            committed = submit(self._batcher, checked, origin, size_bytes)
            if committed is not None:
                await self._committed(committed)
        except StallwatchError as error:
            if isinstance(error, InputError):
                note_unreadable(self._batcher, signal, origin)
            return answers.refused(refusal_of(error), _speaks_protobuf(request))
        return answers.exported(signal, checked, protobuf=not is_json)

    async def _events(self, request: Request) -> Reply:
        """Step events and CloudEvents."""
        origin = self._origin(request)
        try:
            media = media_type(request.header(b"content-type"))
            origin = origin.within(request.query().get("namespace", ""))
            _check_history(request, origin)
            headers = request.headers()
            with self._batcher.budget.lease() as lease:
                raw = await self._read(request, lease)
                parsed = await self._checked(
                    raw,
                    request,
                    lease,
                    lambda body: parse_events(
                        body, media, origin.received_at, origin.namespace, headers, origin.accept()
                    ),
                    INLINE_SLOW_BYTES,
                )
                size_bytes = lease.size_bytes
            origin.admitted.charge(parsed.accepted, size_bytes)
            if parsed.rejected:
                self._batcher.note_rejected(
                    "event", origin.sender, origin.namespace, parsed.rejected
                )
            rows = [
                EventRow(event, origin.received_at, origin.sender, historical=origin.historical)
                for event in parsed.events
            ]
            await self._committed(self._batcher.submit_events(rows, size_bytes))
        except InputError as error:
            self._batcher.note_rejected("event", origin.sender, origin.namespace, 1)
            refusal = refusal_of(error)
            if refusal.http_status != 400:
                return answers.refused(refusal, protobuf=False)
            return answers.events_unreadable(1, refusal)
        except Permanent as error:
            return answers.events_unreadable(parsed.accepted + parsed.rejected, refusal_of(error))
        except StallwatchError as error:
            return answers.refused(refusal_of(error), protobuf=False)
        answer = Answer(parsed.accepted, parsed.rejected, parsed.errors)
        return answers.events(answer, 400 if parsed.rejected and not parsed.accepted else 200)

    async def _documents(self, request: Request) -> Reply:
        """What an engine, or whoever reads it, pushes: histories, lifecycle events, deliveries."""
        origin = self._origin(request, request.header(_FIREHOSE_KEY))
        name = request.path.rpartition("/")[2]
        try:
            media = media_type(request.header(b"content-type"))
            _check_history(request, origin)
            with self._batcher.budget.lease() as lease:
                raw = await self._read(request, lease)
                received: Received = await self._checked(
                    raw,
                    request,
                    lease,
                    lambda body: receive(self._desk, name, body, media, request.query(), origin),
                    0,
                )
                size_bytes = lease.size_bytes
            origin.admitted.charge(received.documents, size_bytes)
            for commit in received.commits:
                await self._committed(commit)
        except InputError as error:
            self._batcher.note_rejected("event", origin.sender, origin.namespace, 1)
            return answers.events_unreadable(1, refusal_of(error))
        except StallwatchError as error:
            return answers.refused(refusal_of(error), protobuf=False)
        return answers.told(received.status, received.answer)

    async def _healthz(self, _request: Request) -> Reply:
        return answers.health(self._batcher.healthy)

    async def _openapi(self, _request: Request) -> Reply:
        return answers.described()

    def _origin(self, request: Request, key: str | None = None) -> Origin:
        """Who sends, and what for. Raises Unauthorized, and Busy when the sender's rate is used up.

        `key`: a token that came in a header of the sender's own choice.
        """
        sender = self._admission.admit(
            f"Bearer {key}" if key else request.header(b"authorization"),
            request.header(_SENDER),
            senders.plain_address(request.host),
            request.header(b"user-agent"),
            request.certificate,
        )
        historical = (request.header(_HISTORICAL) or "").lower() == "true"
        return Origin(sender, self._limits, self._clock.now(), historical)

    async def _read(self, request: Request, lease: Lease) -> bytes:
        return await request.body(lease, self._config.max_body_bytes, self._config.request_timeout)

    def _committed(self, committed: Future[None]) -> Awaitable[None]:
        if self._commits is None or self._commits.loop is not asyncio.get_running_loop():
            self._commits = Commits()
        return self._commits.wait(committed)

    async def _checked(
        self,
        raw: bytes,
        request: Request,
        lease: Lease,
        check: Callable[[bytes], T],
        inline_bytes: int,
    ) -> T:
        """Inflate and check a body, off the event loop if that may take long."""
        encoding = request.header(b"content-encoding")
        limit_bytes = self._config.max_inflated_bytes
        if encoding is None and len(raw) <= min(inline_bytes, limit_bytes):
            return check(raw)

        def work(limit_bytes: int) -> T:
            body = inflate(raw, encoding, limit_bytes)
            if len(body) > len(raw):
                lease.grow(len(body) - len(raw))
            return check(body)

        if len(raw) <= inline_bytes < limit_bytes:
            try:
                return work(inline_bytes)
            except TooLarge:
                # A small body that inflates to a large one.
                pass
        return await asyncio.get_running_loop().run_in_executor(self._checkers, work, limit_bytes)


def _speaks_protobuf(request: Request) -> bool:
    return answers.speaks_protobuf(request.header(b"content-type"))


def _check_history(request: Request, origin: Origin) -> None:
    if origin.historical and not senders.is_loopback(senders.plain_address(request.host)):
        raise Forbidden(f"{HISTORICAL}: is taken from the collector's own machine only")


def _no_such(request: Request, allowed: str) -> Reply:
    """404 and 405, in words and in the request's encoding. `allowed`: the path's method, if there is such a path."""
    path, protobuf = request.path[:200], _speaks_protobuf(request)
    if allowed:
        refusal = Refusal(405, UNIMPLEMENTED, f"{request.method} is not allowed on {path}")
        return answers.refused(refusal, protobuf, allow=allowed)
    known = ("traces", "logs", "metrics", "events", *(f"engines/{name}" for name in ENGINES))
    text = f"{path} is not here; there are {', '.join(f'/v1/{name}' for name in known)}"
    return answers.refused(Refusal(404, NOT_FOUND, text), protobuf)
