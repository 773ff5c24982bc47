"""OTLP/gRPC: the Export methods take raw bytes, so that a request is parsed once and never built again."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from collector import otlp, senders
from collector.batcher import Batcher
from collector.refusals import Refusal, refusal_of
from stallwatch.clock import Clock
from stallwatch.config.settings import CollectorConfig
from stallwatch.errors import InputError, StallwatchError
from stallwatch.store import Body

_NAMESPACE: Final = "default"
_WORKERS: Final = 64
"""Each waits for a commit most of its time. More requests than these queue."""
_BUSY_WAIT_S: Final = 5.0
"""How long a request waits for room: JavaScript's sender over gRPC never sends again, so rather wait than refuse."""
_RETRY_INFO: Final = "google.rpc.retryinfo-bin"


class GrpcServer:
    """Trace, logs and metrics services on one port."""

    def __init__(self, batcher: Batcher, clock: Clock, config: CollectorConfig) -> None:
        self._batcher = batcher
        self._clock = clock
        limit_bytes = config.max_inflated_bytes
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="grpc"),
            options=[
                # gRPC holds the message as sent and as inflated against the same limit.
                ("grpc.max_receive_message_length", limit_bytes),
                ("grpc.so_reuseport", 0),
            ],
        )
        for signal in otlp.SIGNALS:
            self._server.add_generic_rpc_handlers((self._handler(signal),))

    def start(self, address: str) -> int:
        """Listen on `host:port` (port 0: any) and return the port. Raises InputError if it is taken."""
        try:
            port = int(self._server.add_insecure_port(address))
        except RuntimeError:
            raise InputError(f"collector.otlp_grpc: cannot listen on {address}") from None
        self._server.start()
        return port

    def stop(self, grace_s: float) -> None:
        """Take no new calls, give those under way `grace_s` to end, and return when all is over."""
        self._server.stop(grace_s).wait()

    def _handler(self, signal: otlp.Signal) -> Any:
        def export(request: bytes, context: grpc.ServicerContext) -> bytes:
            return self._export(signal, request, context)

        # Without a deserializer the handler is given the bytes of the message.
        method = grpc.unary_unary_rpc_method_handler(export)
        return grpc.method_handlers_generic_handler(signal.service, {"Export": method})

    def _export(self, signal: otlp.Signal, request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        sender = senders.sender_name(
            _text(metadata.get(senders.HEADER)),
            senders.grpc_address(context.peer()),
            _text(metadata.get("user-agent")),
        )
        try:
            checked = signal.check(request, is_json=False)
            if signal.stored:
                body = Body(checked.request, self._clock.now(), sender, _NAMESPACE)
                wait_s = min(_BUSY_WAIT_S, (context.time_remaining() or 2 * _BUSY_WAIT_S) / 2)
                self._batcher.submit_otlp(body, checked.count, wait_s).result()
        except StallwatchError as error:
            if isinstance(error, InputError) and signal.stored:
                self._batcher.note_rejected("span", sender, _NAMESPACE, 1)
            _abort(context, refusal_of(error))
        return signal.response(checked.count).SerializeToString()


def _abort(context: grpc.ServicerContext, refusal: Refusal) -> None:
    if refusal.retry_after_s is not None:
        context.set_trailing_metadata(((_RETRY_INFO, otlp.retry_info(refusal)),))
    context.abort(_CODES[refusal.code], refusal.message)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
