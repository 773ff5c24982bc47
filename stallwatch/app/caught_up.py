"""Readers see what was acknowledged before they asked."""

import logging
from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from stallwatch.errors import StallwatchError

_log = logging.getLogger(__name__)


class CaughtUp:
    """Pages and APIs fold what is waiting before they answer."""

    NOT_READERS: Final = ("/static/", "/metrics", "/healthz", "/readyz")

    def __init__(self, app: ASGIApp, catch_up: Callable[[], None]) -> None:
        self._app = app
        self._catch_up = catch_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(self.NOT_READERS):
            try:
                await run_in_threadpool(self._catch_up)
            except StallwatchError as error:
                # What was folded before is worth more to a reader than nothing.
                _log.warning("a reader sees what was folded before", extra={"reason": str(error)})
        await self._app(scope, receive, send)
