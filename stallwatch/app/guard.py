"""The web's door: pages, API, SQL and metrics for those who have a token."""

import hmac
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from stallwatch.config.tokens import TokenFile, token_in

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Whoever watches that the service is alive needs no token."""
CLICKHOUSE_KEY: Final = "x-clickhouse-key"
"""Where ClickHouse's clients put a password that they do not send as HTTP Basic."""
AUTHENTICATION_FAILED: Final = 516
"""ClickHouse's code for a wrong user or password."""


class Guard:
    """Lets requests through that carry a token: as Bearer, as the password of HTTP Basic, or as X-ClickHouse-Key.

    `tokens` None: nothing but the local token opens.
    """

    def __init__(
        self, app: ASGIApp, tokens: TokenFile | None, local_token: str, refused: Counter
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._local_token = local_token.encode()
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        presented = token_in(headers.get("authorization")) or headers.get(CLICKHOUSE_KEY)
        if presented and self._knows(presented):
            await self._app(scope, receive, send)
            return
        self._refused.labels("unknown" if presented else "missing").inc()
        await _refusal(scope["path"], presented)(scope, receive, send)

    def _knows(self, presented: str) -> bool:
        if hmac.compare_digest(presented.encode(), self._local_token):
            return True
        return self._tokens is not None and self._tokens.find(presented) is not None


def refused_counter(registry: CollectorRegistry) -> Counter:
    """Counts who was sent away."""
    return Counter(
        "web_unauthorized",
        "Requests without a token (missing) or with one that is not known (unknown).",
        ("reason",),
        registry=registry,
    )


def _refusal(path: str, presented: str | None) -> Response:
    message = "the token is not known here" if presented else "a token is needed"
    # Basic makes a browser ask for user and password: the user may be anything, the password is the token.
    headers = {
        "WWW-Authenticate": 'Basic realm="stallwatch: any user, the token as password", charset="UTF-8"'
    }
    if path == "/clickhouse" or path.startswith("/clickhouse/"):
        code = AUTHENTICATION_FAILED
        text = f"Code: {code}. DB::Exception: {message}. (AUTHENTICATION_FAILED)\n"
        headers["X-ClickHouse-Exception-Code"] = str(code)
        return PlainTextResponse(text, 401, headers)
    if path.startswith(("/api/", "/control/")):
        return JSONResponse({"error": message}, 401, headers)
    return PlainTextResponse(
        f"{message}: as the password, or as Authorization: Bearer TOKEN\n", 401, headers
    )
