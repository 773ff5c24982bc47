"""What other commands ask of the `serve` that holds the embedded store. Loopback only, never part of the public API."""

from collections.abc import Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stallwatch.errors import StallwatchError, UsageError

Handler = Callable[[dict[str, Any]], Any]
LOOPBACK: Final[frozenset[str | None]] = frozenset({"127.0.0.1", "::1", "localhost"})


def control_app(handlers: dict[str, Handler]) -> Starlette:
    """`POST /{name}` with a JSON object runs the handler of that name in a thread."""

    async def answer(request: Request) -> JSONResponse:
        # The second condition keeps out a page whose name was made to point here.
        if request.client is None or not {request.client.host, request.url.hostname} <= LOOPBACK:
            return JSONResponse({"error": "only from this machine"}, status_code=403)
        # A page in a browser on this machine must not be able to ask: it cannot send this type unasked.
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return JSONResponse({"error": "application/json is needed"}, status_code=415)
        handler = handlers.get(request.path_params["name"])
        if handler is None:
            return JSONResponse({"error": "there is no such command"}, status_code=404)
        try:
            fields = await _fields(request)
            return JSONResponse(await run_in_threadpool(handler, fields))
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
