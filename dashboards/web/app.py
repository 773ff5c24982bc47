"""The composition of the web: health, metrics, JSON, ClickHouse's interface and pages as one Starlette application."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.web import away
from dashboards.web.api import Budget, api_routes
from dashboards.web.clickhouse import clickhouse_routes
from dashboards.web.feedback import feedback_routes
from dashboards.web.pages import Pages
from stallwatch.clock import Clock
from stallwatch.errors import InputError, StoreOverBudget, StoreRefused, StoreUnavailable
from stallwatch.store import Store
from stallwatch.store.labels import UnknownFinding
from stallwatch.store.sql_endpoint import SqlEndpoint
from stallwatch.store.state import State

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_STATIC: Final = {
    "stallwatch.css": "text/css",
    "refresh.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
}
CACHE_S: Final = 300


def web_app(
    store: Store,
    state: State | None,
    clock: Clock,
    registry: CollectorRegistry,
    ready: Callable[[], list[str]],
    sql: SqlEndpoint | None = None,
    *,
    budget: Budget = list,
    guarded: bool = False,
) -> Starlette:
    """The application. `state` None: findings come from the store's copy; `ready` names what is still missing.

    `sql` is closed by whoever made it; without it one is made for the store's engine. `budget` tells what became of the
    budget of false alarms. `guarded`: nothing gets here without a token.
    """
    pages = Pages(store, state, clock, budget)

    def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    def readyz(request: Request) -> Response:
        reasons = ready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, f"there is no {name}")
        data = (files("dashboards.web") / "static" / name).read_bytes()
        headers = {"Cache-Control": f"max-age={CACHE_S}"}
        return Response(data, headers=headers, media_type=_STATIC[name])

    def refused(request: Request, error: Exception) -> Response:
        status, message, headers = _translate(error)
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": message}, status, headers)
        return HTMLResponse(pages.error(status, message), status, headers)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/static/{name}", static),
            *feedback_routes(state, clock, guarded),
            *api_routes(store, state, clock, budget),
            *clickhouse_routes(sql or SqlEndpoint(store.engine)),
            *pages.routes(),
        ],
        exception_handlers={
            kind: refused for kind in (HTTPException, InputError, StoreUnavailable, StoreRefused)
        },
        middleware=[Middleware(SecurityHeaders)],
    )


class SecurityHeaders:
    """Adds to every answer what keeps a browser from running or framing what it should not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _translate(error: Exception) -> tuple[int, str, Mapping[str, str] | None]:
    """Status, message and headers."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail, error.headers
    if isinstance(error, UnknownFinding):
        return 404, str(error), None
    if isinstance(error, StoreOverBudget):
        return 503, f"the store cannot be reached: {error}", None
    if isinstance(error, StoreUnavailable | StoreRefused):
        return 503, away.sentence(error), away.RETRY_AFTER
    return 400, str(error), None
