"""The little of ASGI that the collector needs: most requests are one span, and objects cost more than that."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from collector.budget import Lease
from collector.refusals import TooLarge, TooSlow
from stallwatch.errors import InputError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_DIGITS_MAX: Final = 20
_PARAMETERS_MAX: Final = 16


class Disconnected(Exception):
    """The sender went away before its body was all there: nobody waits for an answer."""


class Reply(NamedTuple):
    """An answer. Header names are lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def reply(status: int, media_type: str, body: bytes, **headers: str) -> Reply:
    """An answer with its length; `headers` with underscores for dashes."""
    return Reply(
        status,
        (
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()),
        ),
        body,
    )


class Request:
    """What was asked. Of a header that is there twice the last value counts."""

    __slots__ = ("_headers", "_receive", "_scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        # Servers give the names in lower case.
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        return str(self._scope["path"])

    def query(self) -> dict[str, str]:
        """The query's parameters; of one that is there twice the last value counts. Raises InputError."""
        said = self._scope["query_string"].decode("latin-1")
        try:
            return dict(parse_qsl(said, max_num_fields=_PARAMETERS_MAX))
        except ValueError:
            raise InputError(f"the query has more than {_PARAMETERS_MAX} parameters") from None

    @property
    def host(self) -> str | None:
        """The address of the other side, as the socket says."""
        client = self._scope.get("client")
        return str(client[0]) if client else None

    @property
    def certificate(self) -> str:
        """The name in the other side's verified certificate; empty without one."""
        return str(self._scope.get("state", {}).get("certificate", ""))

    def header(self, name: bytes) -> str | None:
        """A header by its name in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def headers(self) -> dict[str, str]:
        """All headers, names in lower case."""
        return {
            name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()
        }

    async def body(self, lease: Lease, limit_bytes: int, timeout_s: float) -> bytes:
        """The body as sent, chunked or not, counted in `lease` while it arrives.

        Raises TooLarge before it is all there, Busy if there is no room, TooSlow, Disconnected.
        """
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:_DIGITS_MAX]) > limit_bytes:
            text = declared[:_DIGITS_MAX].decode()
            raise TooLarge(f"the body has {text} bytes and may have {limit_bytes}")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read(lease, limit_bytes)
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {timeout_s:g} s") from None

    async def _read(self, lease: Lease, limit_bytes: int) -> bytes:
        chunks: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            if chunk:
                lease.grow(len(chunk))
                chunks.append(chunk)
                if lease.size_bytes > limit_bytes:
                    raise TooLarge(f"the body has more than {limit_bytes} bytes")
            more = message.get("more_body", False)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
