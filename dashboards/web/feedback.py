"""What readers say of findings: the one thing that can be changed through the web.

A browser must not be made to say it by another page: what comes from a page names its origin, which has to be this
server; and where no token is asked for, the server has to be called by its address, because a name may have been made
to point here.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stallwatch.clock import Clock
from stallwatch.errors import InputError
from stallwatch.store.labels import judge_finding, label_json
from stallwatch.store.state import State

BODY_MAX: Final = 16 * 1024
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

Endpoint = Callable[[Request], Awaitable[Response]]


def feedback_routes(state: State | None, clock: Clock, guarded: bool) -> list[Route]:
    """`POST /api/findings/{fingerprint}/feedback` with JSON, `POST /findings/{fingerprint}/feedback` from the pages'
    forms. `guarded`: a token is asked for before anything gets here."""

    async def from_program(request: Request) -> Response:
        fields = _json(await _body(request, JSON, guarded))
        return JSONResponse(await run_in_threadpool(_judge, state, clock, request, fields, "api"))

    async def from_page(request: Request) -> Response:
        body = await _body(request, FORM, guarded)
        if "origin" not in request.headers:
            raise HTTPException(403, "a form has to say which page it comes from")
        asked = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        fields = {name: values[-1] for name, values in asked.items()}
        await run_in_threadpool(_judge, state, clock, request, fields, "web")
        return RedirectResponse(_where_from(request), 303)

    return [
        Route("/api/findings/{fingerprint}/feedback", from_program, methods=["POST"]),
        Route("/findings/{fingerprint}/feedback", from_page, methods=["POST"]),
    ]


def _judge(
    state: State | None, clock: Clock, request: Request, fields: dict[str, Any], by: str
) -> dict[str, Any]:
    if state is None:
        raise HTTPException(503, "findings are judged elsewhere")
    verdict, note = fields.get("verdict", ""), fields.get("note", "")
    for name, value in (("verdict", verdict), ("note", note)):
        if not isinstance(value, str):
            raise InputError(f"{name}: must be a text")
    fingerprint = request.path_params["fingerprint"]
    label = judge_finding(state, fingerprint, verdict, note=note, by=by, at=clock.now())
    return label_json(label)


async def _body(request: Request, media_type: str, guarded: bool) -> bytes:
    """The body, from somebody who may send it."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != media_type:
        raise HTTPException(415, f"{media_type} is needed")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "another page may not say what a finding is worth")
    if not guarded and not _is_address(request.url.hostname or ""):
        raise HTTPException(403, "without a token only by the server's address, not by a name")
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_MAX:
                raise HTTPException(413, f"at most {BODY_MAX} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "the body did not come whole") from None
    return body


def _is_address(hostname: str) -> bool:
    if hostname == "localhost":
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True


def _json(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise InputError("the body must be a JSON object")
    return fields


def _where_from(request: Request) -> str:
    """The page that the form was on; only ever one of this server's."""
    parts = urlsplit(request.headers.get("referer", ""))
    if parts.netloc != request.headers.get("host") or not parts.path.startswith("/"):
        return "/"
    # More than one slash would be another server's name.
    path = "/" + parts.path.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path
