"""OTLP/HTTP and `/v1/events`: the only asynchronous code, which waits for the batcher's futures."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collector import answers, otlp, senders
from collector.batcher import Batcher
from collector.budget import Lease
from collector.encodings import inflate, media_type
from collector.events import Answer, Parsed, parse_events
from collector.refusals import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    Forbidden,
    TooLarge,
    refusal_of,
)
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError, Permanent, StallwatchError
from stallwatch.store import Body, EventRow

HISTORICAL: Final = "stallwatch-historical"
"""Request header: `true` marks the body as history, which never pages. Taken from this machine only."""
_NAMESPACE: Final = "default"
_INLINE_BYTES: Final = 32 * 1024
"""Bodies up to this size are checked in the event loop; larger ones would hold up the others."""
_CHECKERS: Final = 2

T = TypeVar("T")


def build_app(batcher: Batcher, clock: Clock, config: CollectorConfig) -> Starlette:
    """The application for the OTLP/HTTP port."""
    edge = _Edge(batcher, clock, config)

    def signal_route(signal: otlp.Signal) -> Route:
        async def endpoint(request: Request) -> Response:
            return await edge.export(request, signal)

        return Route(f"/v1/{signal.name}", endpoint, methods=["POST"])

    app = Starlette(
        routes=[
            *(signal_route(signal) for signal in otlp.SIGNALS),
            Route("/v1/events", edge.events, methods=["POST"]),
            Route("/healthz", edge.healthz, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _no_such},
    )
    # A sender's POST is not worth redirecting for a slash: it gets a 404 that says what is there.
    app.router.redirect_slashes = False
    return app


class _Edge:
    def __init__(self, batcher: Batcher, clock: Clock, config: CollectorConfig) -> None:
        self._batcher = batcher
        self._clock = clock
        self._config = config
        self._checkers = ThreadPoolExecutor(_CHECKERS, thread_name_prefix="checker")

    async def export(self, request: Request, signal: otlp.Signal) -> Response:
        """One Export call of OTLP/HTTP."""
        protobuf = answers.speaks_protobuf(request.headers.get("content-type"))
        sender = _sender(request)
        try:
            is_json = answers.is_json(request.headers.get("content-type"))
            historical = _is_historical(request)
            with self._batcher.budget.lease() as lease:
                raw = await self._read(request, lease)
                checked = await self._checked(
                    raw, request, lease, lambda body: signal.check(body, is_json)
                )
            if signal.stored:
                body = Body(checked.request, self._clock.now(), sender, _NAMESPACE, historical)
                await asyncio.wrap_future(self._batcher.submit_otlp(body, checked.count))
        except ClientDisconnect:
            return Response(status_code=400)
        except StallwatchError as error:
            if isinstance(error, InputError) and signal.stored:
                self._batcher.note_rejected("span", sender, _NAMESPACE, 1)
            return answers.refused(refusal_of(error), protobuf)
        return answers.message(signal.response(checked.count), protobuf)

    async def events(self, request: Request) -> Response:
        """Step events and CloudEvents."""
        sender = _sender(request)
        try:
            media = media_type(request.headers.get("content-type"))
            historical = _is_historical(request)
            received_at = self._clock.now()
            headers = dict(request.headers)
            with self._batcher.budget.lease() as lease:
                raw = await self._read(request, lease)
                parsed = await self._checked(
                    raw,
                    request,
                    lease,
                    lambda body: parse_events(body, media, received_at, _NAMESPACE, headers),
                )
                size_bytes = lease.size_bytes
            if parsed.rejected:
                self._batcher.note_rejected("event", sender, _NAMESPACE, parsed.rejected)
            rows = _rows(parsed, received_at, sender, historical)
            await asyncio.wrap_future(self._batcher.submit_events(rows, size_bytes))
        except ClientDisconnect:
            return Response(status_code=400)
        except InputError as error:
            self._batcher.note_rejected("event", sender, _NAMESPACE, 1)
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

    async def healthz(self, _request: Request) -> Response:
        """200 while requests are taken and committed."""
        if self._batcher.healthy:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "closing"}, 503)

    async def _read(self, request: Request, lease: Lease) -> bytes:
        """The body as sent, chunked or not; raises TooLarge before it is all there, Busy if there is no room."""
        limit_bytes = self._config.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit_bytes:
            raise TooLarge(f"the body has {declared[:20]} bytes and may have {limit_bytes}")
        chunks: list[bytes] = []
        async for chunk in request.stream():
            if chunk:
                lease.grow(len(chunk))
                chunks.append(chunk)
            if lease.size_bytes > limit_bytes:
                raise TooLarge(f"the body has more than {limit_bytes} bytes")
        return b"".join(chunks)

    async def _checked(
        self, raw: bytes, request: Request, lease: Lease, check: Callable[[bytes], T]
    ) -> T:
        """Inflate and check a body, off the event loop if that may take long."""
        encoding = request.headers.get("content-encoding")

        def work() -> T:
            body = inflate(raw, encoding, self._config.max_inflated_bytes)
            lease.grow(max(0, len(body) - len(raw)))
            return check(body)

        if len(raw) <= _INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._checkers, work)


def _rows(parsed: Parsed, received_at: datetime, sender: str, historical: bool) -> list[EventRow]:
    return [EventRow(event, received_at, sender, historical=historical) for event in parsed.events]


def _sender(request: Request) -> str:
    address = senders.plain_address(request.client.host if request.client else None)
    return senders.sender_name(
        request.headers.get(senders.HEADER), address, request.headers.get("user-agent")
    )


def _is_historical(request: Request) -> bool:
    if request.headers.get(HISTORICAL, "").lower() != "true":
        return False
    address = senders.plain_address(request.client.host if request.client else None)
    if not senders.is_loopback(address):
        raise Forbidden(f"{HISTORICAL}: is taken from the collector's own machine only")
    return True


async def _no_such(request: Request, error: Exception) -> Response:
    """404 and 405, in words and in the request's encoding."""
    assert isinstance(error, HTTPException)
    protobuf = answers.speaks_protobuf(request.headers.get("content-type"))
    path = request.url.path
    if error.status_code == 405:
        text = f"{request.method} is not allowed on {path}"
        response = answers.plain(405, UNIMPLEMENTED, text, protobuf)
    elif error.status_code == 404 and path.startswith("/v1/engines/"):
        text = f"{path}: no engine takes its documents here; send step events to /v1/events"
        response = answers.plain(404, NOT_FOUND, text, protobuf)
    elif error.status_code == 404:
        text = f"{path} is not here; there are /v1/traces, /v1/logs, /v1/metrics and /v1/events"
        response = answers.plain(404, NOT_FOUND, text, protobuf)
    else:
        response = answers.plain(error.status_code, INVALID_ARGUMENT, str(error.detail), protobuf)
    response.headers.update(error.headers or {})
    return response
