"""Whether the store answers, for whoever asks if the service is ready."""

import threading
from datetime import datetime
from typing import Any

from stallwatch.app.store_watch import LATE_S, StoreWatch
from stallwatch.clock import ManualClock
from stallwatch.errors import StoreUnavailable
from stallwatch.store import Store
from stallwatch.store.engine import Address, Engine


class Slow(Store):
    """A store that answers when it is let, and is away when it is told."""

    def __init__(self) -> None:
        super().__init__(Engine(Address.parse("clickhouse://127.0.0.1:1")))
        self.asked = threading.Event()
        self.let = threading.Event()
        self.away = ""

    def select(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        self.asked.set()
        assert self.let.wait(30)
        if self.away:
            raise StoreUnavailable(self.away)
        return []


def test_it_tells_a_store_that_hangs_that_fails_and_that_is_back(now: datetime) -> None:
    store, clock = Slow(), ManualClock(now)
    watch = StoreWatch(store, clock)
    looking = threading.Thread(target=watch.look)
    looking.start()
    assert store.asked.wait(30)
    clock.advance(LATE_S - 1)
    assert watch.problem == ""
    clock.advance(2)
    assert watch.problem == "the store does not answer"
    store.away = "no connection"
    store.let.set()
    looking.join(30)
    assert watch.problem == "the store is away: no connection"
    store.away = ""
    watch.look()
    assert watch.problem == ""
