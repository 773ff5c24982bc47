"""HTTP connections that end when their other side is slow, and that make room when there are too many."""

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_S: Final = 10.0
"""How long the request line and the headers may take, from the first byte (or the connection's begin) on."""
HEAD_BYTES_MAX: Final = 64 * 1024
BODY_S: Final = 120.0
"""How long a body may take. An application may be less patient."""
_LINGER_S: Final = 1.0
_NO_ROOM: Final = PlainTextResponse(
    "too many connections: send again later\n", 503, {"Retry-After": "1", "Connection": "close"}
)


class Ended(StrEnum):
    """Why a connection was ended that its other side would have kept."""

    GAVE_WAY = "gave_way"
    NO_ROOM = "no_room"
    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    LARGE_HEAD = "large_head"


_STATUSES: Final = {
    Ended.SLOW_HEAD: b"408 Request Timeout",
    Ended.SLOW_BODY: b"408 Request Timeout",
    Ended.LARGE_HEAD: b"431 Request Header Fields Too Large",
}


class _Part(Enum):
    """What of a request is awaited."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class Connection(HttpToolsProtocol):
    """One connection. uvicorn waits forever for the rest of a request and refuses everybody when too many wait.

    1. A request whose head or body does not come in time ends with its connection, and so does an endless head.
    2. Beyond `max_connections`, the connection that has waited longest without a request gives way. Only when all
       of them have a request under way, the new one is told 503.
    3. The name in a client's certificate travels with the request, as `state["certificate"]`.
    4. Each connection that 1 or 2 ends is counted.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        max_connections: int,
        head_s: float,
        waiting: "dict[Connection, None]",
        count: Callable[[Ended], None],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._max_connections = max_connections
        self._head_s = head_s
        self._waiting = waiting
        self._count = count
        self._timer: TimerHandle | None = None
        self._timed: tuple[_Part, int] = (_Part.NOTHING, 0)
        self._part = _Part.HEAD
        self._heads = 0
        self._head_bytes = 0
        self._head_is_too_large = False
        self._ended = False
        self._certificate = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._certificate = certificate_name(transport.get_extra_info("peercert"))
        self._waiting[self] = None
        self._set_timer()
        if len(self.connections) > self._max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        heads = self._heads
        if self._part is _Part.NOTHING:
            self._part = _Part.HEAD
        super().data_received(data)
        if self._ended or self.transport.is_closing():
            return
        self._set_timer()
        if self._part is _Part.HEAD:
            # What came before this head in the same piece of data is not counted.
            self._head_bytes = self._head_bytes + len(data) if heads == self._heads else 0
            if self._head_bytes > HEAD_BYTES_MAX:
                self._end(Ended.LARGE_HEAD)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["certificate"] = self._certificate
        self._part = _Part.HEAD

    def on_headers_complete(self) -> None:
        # What came in one piece of data is measured only here.
        lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        if len(self.url) + lines > HEAD_BYTES_MAX:
            self._head_is_too_large = True
            # The parser gives up, and what it would answer is said below.
            raise ValueError("the request line and the headers are too large")
        self._heads += 1
        self._head_bytes = 0
        self._part = _Part.BODY
        self._waiting.pop(self, None)
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._head_is_too_large:
            self._end(Ended.LARGE_HEAD)
        else:
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = _Part.NOTHING

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._has_request() and not self.transport.is_closing():
            self._waiting[self] = None

    def _set_timer(self) -> None:
        """Time what is awaited now. More of the same part does not begin its time anew."""
        awaited = (self._part, self._heads)
        if awaited == self._timed:
            return
        self._stop_timer()
        self._timed = awaited
        if self._part is _Part.HEAD:
            self._timer = self.loop.call_later(self._head_s, self._head_is_late)
        elif self._part is _Part.BODY:
            self._timer = self.loop.call_later(BODY_S, self._end, Ended.SLOW_BODY)

    def _head_is_late(self) -> None:
        if self._has_request():
            # The next request of a pipeline is late, while an earlier one still waits for its answer.
            self._timer = self.loop.call_later(self._head_s, self._head_is_late)
        else:
            self._end(Ended.SLOW_HEAD)

    def _has_request(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _make_room(self) -> None:
        oldest = next(iter(self._waiting))
        if oldest is self:
            self.app = self._refuse
        else:
            self._waiting.pop(oldest)
            self._count(Ended.GAVE_WAY)
            oldest.transport.abort()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not before it asks: until then it may still give way itself.
        self._count(Ended.NO_ROOM)
        await _NO_ROOM(scope, receive, send)

    def _end(self, why: Ended) -> None:
        """Say why, if nothing of an answer was sent yet, and close; whoever does not take that is cut off."""
        self._stop_timer()
        self._waiting.pop(self, None)
        if self.transport.is_closing() or self._ended:
            return
        self._count(why)
        if not self._has_request() or not self.cycle.response_started:
            self.transport.write(
                b"HTTP/1.1 "
                + _STATUSES[why]
                + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        if self._has_request() or not self.transport.can_write_eof():
            self.transport.close()
        else:
            # What is still on its way is taken and dropped: closed upon unread data, a connection is reset, and
            # the answer is lost with it.
            self._ended = True
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def connections(
    server: str, ended: Counter, max_connections: int, head_s: float = HEAD_S
) -> Callable[..., Connection]:
    """What makes the connections of one server; `server` is its name in the counter."""
    waiting: dict[Connection, None] = {}
    # A series that begins with its first count has had no increase.
    series = {why: ended.labels(server, why) for why in Ended}

    def count(why: Ended) -> None:
        series[why].inc()

    def make(*args: Any, **more: Any) -> Connection:
        return Connection(
            *args,
            **more,
            max_connections=max_connections,
            head_s=head_s,
            waiting=waiting,
            count=count,
        )

    return make


def ended_counter(registry: CollectorRegistry) -> Counter:
    """Counts the connections that were ended, by listener and reason (`Ended`)."""
    return Counter(
        "stallwatch_connections_ended",
        "HTTP connections that were ended: to make room (gave_way), for want of room (no_room), because a head or "
        "body did not come in time (slow_head, slow_body), or a head had no end (large_head).",
        ("server", "reason"),
        registry=registry,
    )


def certificate_name(certificate: Mapping[str, Any] | None) -> str:
    """The common name in a verified certificate (as `ssl` gives it), else its first alternative name, else nothing."""
    if not certificate:
        return ""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName" and value:
                return str(value)
    return next((str(value) for _, value in certificate.get("subjectAltName", ())), "")
