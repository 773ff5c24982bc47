"""Coroutines wait for commits. The committing thread wakes their event loop once for many, not once for each."""

import asyncio
from collections import deque
from concurrent.futures import Future


class Commits:
    """What the coroutines of the running event loop wait for."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._done: deque[asyncio.Future[None]] = deque()
        self._woken = False

    async def wait(self, committed: Future[None]) -> None:
        """Return when the batcher's future resolves, or raise what it fails with. Cancelling harms no commit."""
        if not committed.done():
            waiter: asyncio.Future[None] = self.loop.create_future()
            committed.add_done_callback(lambda _done: self._tell(waiter))
            await waiter
        committed.result()

    def _tell(self, waiter: asyncio.Future[None]) -> None:
        """In the committing thread."""
        self._done.append(waiter)
        # Two threads may both find it unwoken, which is harmless. Woken, the loop has not begun to look yet.
        if not self._woken and not self.loop.is_closed():
            self._woken = True
            self.loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._woken = False
        while self._done:
            waiter = self._done.popleft()
            if not waiter.done():
                waiter.set_result(None)
