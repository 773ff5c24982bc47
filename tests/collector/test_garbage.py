"""Requests leave nothing for Python's garbage collector, which `serve` makes a rare guest."""

import asyncio
import gc
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from stallwatch.clock import SystemClock
from tests.collector.helpers import FakeStore, collecting, span, trace_request

REQUESTS = 200
PROTOBUF = b"application/x-protobuf"


def _stored(number: int) -> bytes:
    return trace_request(span(number + 1))


def _broken(number: int) -> bytes:
    return _stored(number)[:-3]


@pytest.mark.parametrize(
    ("content_type", "body_of", "status"),
    [
        (PROTOBUF, _stored, 200),
        (PROTOBUF, _broken, 400),
        (b"application/json", _broken, 400),
        (b"text/plain", _stored, 415),
    ],
)
def test_a_request_leaves_no_cycles(
    content_type: bytes, body_of: Callable[[int], bytes], status: int
) -> None:
    with collecting(FakeStore(), SystemClock()) as collector:

        async def send_one(number: int) -> int:
            said: list[int] = []
            scope = {
                "type": "http",
                "method": "POST",
                "path": "/v1/traces",
                "query_string": b"",
                "headers": [(b"content-type", content_type)],
                "client": ("127.0.0.1", 1),
            }

            async def receive() -> MutableMapping[str, Any]:
                return {"type": "http.request", "body": body_of(number), "more_body": False}

            async def send(message: MutableMapping[str, Any]) -> None:
                said.extend([message["status"]] if "status" in message else [])

            await collector.http_app(scope, receive, send)
            return said[0]

        async def send_all() -> int:
            assert await asyncio.gather(*map(send_one, range(REQUESTS))) == [status] * REQUESTS
            gc.collect()
            assert await asyncio.gather(*map(send_one, range(REQUESTS, 2 * REQUESTS)))
            return gc.collect()

        gc.disable()
        try:
            left = asyncio.run(send_all())
        finally:
            gc.enable()
    assert left < REQUESTS // 4
