"""What other commands ask of the `serve` that holds the embedded store. Loopback only, never part of the public API."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stallwatch.errors import StallwatchError, Transient, UsageError

Handler = Callable[[dict[str, Any]], Any]
GoOn = Callable[[], None]
"""Raises Transient once nobody waits for the answer any more."""
LongHandler = Callable[[dict[str, Any], GoOn], Any]
LOOPBACK: Final[frozenset[str | None]] = frozenset({"127.0.0.1", "::1", "localhost"})


class LongWork:
    """What takes minutes, and is given up when its asker is gone or the service stops."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._running = 0

    def stop(self) -> None:
        """Have all of it given up, and wait until it is: afterwards the store may be closed."""
        self._stopping.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._running)

    async def run(self, handler: LongHandler, request: Request, fields: dict[str, Any]) -> Any:
        """The handler's answer, worked out in a thread."""
        gone = threading.Event()

        def go_on() -> None:
            if self._stopping.is_set():
                raise Transient("the service is stopping: ask again when it serves")
            if gone.is_set():
                raise Transient("who asked no longer waits for the answer")

        async def watch() -> None:
            # The body has been read: all that can still come is the end of the connection.
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone.set()

        watching = asyncio.create_task(watch())
        try:
            return await run_in_threadpool(self._counted, handler, fields, go_on)
        finally:
            watching.cancel()

    def _counted(self, handler: LongHandler, fields: dict[str, Any], go_on: GoOn) -> Any:
        with self._changed:
            self._running += 1
        try:
            go_on()
            return handler(fields, go_on)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()


def control_app(
    handlers: Mapping[str, Handler], long_handlers: Mapping[str, LongHandler], long_work: LongWork
) -> Starlette:
    """`POST /{name}` with a JSON object runs the handler of that name in a thread."""

    async def answer(request: Request) -> JSONResponse:
        # The second condition keeps out a page whose name was made to point here.
        if request.client is None or not {request.client.host, request.url.hostname} <= LOOPBACK:
            return JSONResponse({"error": "only from this machine"}, status_code=403)
        # A page in a browser on this machine must not be able to ask: it cannot send this type unasked.
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "application/json is needed"}, status_code=415)
        name = request.path_params["name"]
        if name not in handlers and name not in long_handlers:
            return JSONResponse({"error": "there is no such command"}, status_code=404)
        try:
            fields = await _fields(request)
            if name in long_handlers:
                return JSONResponse(await long_work.run(long_handlers[name], request, fields))
            return JSONResponse(await run_in_threadpool(handlers[name], fields))
        except (UsageError, ValueError, KeyError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except StallwatchError as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    return Starlette(routes=[Route("/{name}", answer, methods=["POST"])])


async def _fields(request: Request) -> dict[str, Any]:
    try:
        fields = await request.json()
    except RecursionError:
        raise UsageError("the body is nested too deeply") from None
    if not isinstance(fields, dict):
        raise UsageError("the body must be a JSON object")
    return fields
