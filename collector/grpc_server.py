"""OTLP/gRPC: the Export methods take raw bytes, so that a request is parsed once and never built again.

One event loop in a thread of its own: however many requests wait for their commit, none holds a thread.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

import grpc
import uvloop

from collector import otlp, senders
from collector.admission import Admission, Sender
from collector.batcher import Batcher
from collector.commits import Commits
from collector.exports import Origin, inline_bytes, note_unreadable, submit
from collector.limits import Limits
from collector.refusals import INTERNAL, Busy, Refusal, Unauthorized, refusal_of
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError, StallwatchError

_BUSY_WAIT_S: Final = 5.0
"""How long a request waits for room: JavaScript's sender over gRPC never sends again, so rather wait than refuse."""
_ASK_AGAIN_S: Final = 0.02
_HANDSHAKE_MS: Final = 10_000
"""How long a connection may take to become one of HTTP/2."""
_IDLE_MS: Final = 120_000
"""How long a connection may be without a request: senders that live export far more often."""
_STREAMS_MAX: Final = 1000
"""Requests at a time on one connection; more wait at the sender, without their bodies."""
_RETRY_INFO: Final = "google.rpc.retryinfo-bin"

Method = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


log = logging.getLogger(__name__)


class GrpcServer:
    """Trace, logs and metrics services on one port."""

    def __init__(
        self,
        batcher: Batcher,
        clock: Clock,
        config: CollectorConfig,
        admission: Admission,
        limits: Limits,
    ) -> None:
        self._batcher = batcher
        self._admission = admission
        self._limits = limits
        self._clock = clock
        self._options = [
            # gRPC holds the message as sent and as inflated against the same limit.
            ("grpc.max_receive_message_length", config.max_inflated_bytes),
            ("grpc.max_concurrent_streams", _STREAMS_MAX),
            ("grpc.max_allowed_incoming_connections", config.max_connections),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", _IDLE_MS),
            ("grpc.so_reuseport", 0),
        ]
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="grpc", daemon=True)
        self._server: Any = None

    def start(self, address: str, credentials: Any = None) -> int:
        """Listen on `host:port` (port 0: any), with TLS if there are `credentials`, and return the port.

        Raises InputError if it is taken.
        """
        self._thread.start()
        try:
            starting = self._start(address, credentials)
            return asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        except BaseException:
            # Whatever the reason, also Ctrl-C: the loop's thread must not outlive a start that failed.
            self._end()
            raise

    def stop(self, grace_s: float) -> None:
        """Take no new calls, give those under way `grace_s` to end, and return when all is over."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._server.stop(grace_s), self._loop).result()
            self._end()

    async def _start(self, address: str, credentials: Any) -> int:
        self._commits = Commits()
        # Without tokens there is nobody to send away, and every request would go through the door.
        doors = [_Door(self._admission)] if self._admission.needs_token else []
        self._server = grpc.aio.server(options=self._options, interceptors=doors)
        for signal in otlp.SIGNALS:
            # Without a deserializer the handler is given the bytes of the message.
            method = grpc.unary_unary_rpc_method_handler(self._method(signal))
            handler = grpc.method_handlers_generic_handler(signal.service, {"Export": method})
            self._server.add_generic_rpc_handlers((handler,))
        try:
            port = int(
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError:
            raise InputError(f"collector.otlp_grpc: cannot listen on {address}") from None
        await self._server.start()
        return port

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _method(self, signal: otlp.Signal) -> Method:
        async def export(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._export(signal, request, context)

        return export

    async def _export(
        self, signal: otlp.Signal, request: bytes, context: grpc.aio.ServicerContext
    ) -> bytes:
        origin: Origin | None = None
        try:
            origin = await self._origin(context)
            checked = await self._checked(signal, request, origin)
            origin.admitted.charge(checked.count, len(request))
            committed = await self._submit(checked, origin, len(request), context)
            if committed is not None:
                await self._commits.wait(committed)
        except StallwatchError as error:
            if isinstance(error, InputError) and origin is not None:
                note_unreadable(self._batcher, signal, origin)
            await _abort(context, refusal_of(error))
        except Exception:
            # Any defect: one request must not take the connection's other calls with it, nor go unanswered.
            log.exception("a request failed by a defect", extra={"signal": signal.name})
            await _abort(context, Refusal(500, INTERNAL, "the collector has a defect: see its log"))
        if not checked.rejected:
            # An empty message says that all is stored.
            return b""
        return signal.response(checked.rejected, checked.told).SerializeToString()

    async def _origin(self, context: grpc.aio.ServicerContext) -> Origin:
        """Who sends. A rate that is used up for a short while is waited for, because some never send again."""
        try:
            sender = self._sender(context)
        except Busy as error:
            wait_s = error.retry_after_s or 0.0
            if wait_s > _patience_s(context):
                raise
            await asyncio.sleep(wait_s)
            sender = self._sender(context)
        return Origin(sender, self._limits, self._clock.now())

    def _sender(self, context: grpc.aio.ServicerContext) -> Sender:
        metadata = dict(context.invocation_metadata() or ())
        return self._admission.admit(
            _text(metadata.get("authorization")),
            _text(metadata.get(senders.HEADER)),
            senders.grpc_address(context.peer()),
            _text(metadata.get("user-agent")),
            _certificate_name(context.auth_context()),
        )

    async def _checked(self, signal: otlp.Signal, request: bytes, origin: Origin) -> otlp.Checked:
        """Check a request, off the event loop if that may take long."""
        if len(request) <= inline_bytes(signal, is_json=False):
            return origin.read(signal, request, is_json=False)
        return await asyncio.to_thread(origin.read, signal, request, is_json=False)

    async def _submit(
        self,
        checked: otlp.Checked,
        origin: Origin,
        size_bytes: int,
        context: grpc.aio.ServicerContext,
    ) -> Future[None] | None:
        """Queue what is to be stored. While there is no room, wait: but not beyond half of the sender's patience."""
        until_s: float | None = None
        while True:
            try:
                return submit(self._batcher, checked, origin, size_bytes)
            except Busy:
                now_s = self._loop.time()
                if until_s is None:
                    until_s = now_s + _patience_s(context)
                if now_s >= until_s:
                    raise
            await asyncio.sleep(_ASK_AGAIN_S)


class _Door(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Sends those without a token away before their message is received."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        metadata = dict(details.invocation_metadata or ())
        try:
            self._admission.authenticate(_text(metadata.get("authorization")))
        except Unauthorized as error:
            refusal = refusal_of(error)

            async def refuse(_messages: Any, context: grpc.aio.ServicerContext) -> None:
                await _abort(context, refusal)

            # The handler of a stream, because that of a single message would begin by receiving it.
            return grpc.stream_unary_rpc_method_handler(refuse)
        return await continuation(details)


def _patience_s(context: grpc.aio.ServicerContext) -> float:
    """How long a sender may be kept waiting: not beyond half of its own patience."""
    remaining_s = context.time_remaining()
    return _BUSY_WAIT_S if remaining_s is None else min(_BUSY_WAIT_S, remaining_s / 2)


def _certificate_name(auth: Mapping[str, Sequence[bytes]]) -> str:
    """The common name in a verified client certificate, else its first alternative name, else nothing."""
    for key in ("x509_common_name", "x509_subject_alternative_name"):
        for name in auth.get(key, ()):
            if name:
                return name.decode("utf-8", "replace")
    return ""


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    """End the call with an error. Senders look for the time to wait in either of two places, so it is in both."""
    details = [("grpc-status-details-bin", otlp.status(refusal).SerializeToString())]
    if refusal.retry_after_s is not None:
        details.append((_RETRY_INFO, otlp.retry_info(refusal).SerializeToString()))
    context.set_trailing_metadata(tuple(details))
    await context.abort(_CODES[refusal.code], refusal.message)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
