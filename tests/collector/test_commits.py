"""Coroutines hear of every commit, whichever threads make them."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from collector.commits import Commits
from stallwatch.errors import Transient

WAIT_S = 30


def test_every_waiter_is_woken_by_several_threads_at_once() -> None:
    count, threads = 2000, 4

    async def main() -> None:
        commits = Commits()
        futures: list[Future[None]] = [Future() for _ in range(count)]
        waiting = [asyncio.ensure_future(commits.wait(future)) for future in futures]
        await asyncio.sleep(0)

        def commit(first: int) -> None:
            for future in futures[first::threads]:
                future.set_result(None)

        for number in range(threads):
            threading.Thread(target=commit, args=(number,)).start()
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*waiting)

    asyncio.run(main())


def test_what_a_commit_fails_with_is_raised_whether_it_failed_before_or_after() -> None:
    async def main(early: bool) -> None:
        commits = Commits()
        future: Future[None] = Future()
        if early:
            future.set_exception(Transient("away"))
        else:
            asyncio.get_running_loop().call_soon(future.set_exception, Transient("away"))
        await commits.wait(future)

    for early in (True, False):
        with pytest.raises(Transient, match="away"):
            asyncio.run(main(early))


def test_a_waiter_that_is_cancelled_leaves_the_commit_and_the_others_alone() -> None:
    async def main() -> None:
        commits = Commits()
        future: Future[None] = Future()
        first, second = (asyncio.ensure_future(commits.wait(future)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert not future.cancelled()
        future.set_result(None)
        await second
        assert first.cancelled()

    asyncio.run(main())
