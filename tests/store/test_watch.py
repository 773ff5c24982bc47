"""A server that says nothing is asked by one thread only, until it answers again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from stallwatch.errors import StoreSilent
from stallwatch.model.events import event_from_dict
from stallwatch.store import engine, watch
from stallwatch.store.watch import StoreWatch
from tests.app.twin import serving_store

WAIT_S = 60


def test_while_a_server_hangs_nobody_else_waits_for_it(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOOK_S", 1)
    monkeypatch.setattr(watch, "ANSWER_S", 1)
    with serving_store(tmp_path) as server, ThreadPoolExecutor(4) as threads:
        store = server.store()
        store.migrate(now)
        watching = StoreWatch(store.engine)
        watching.look()
        assert watching.problem == ""
        said = {"event": "step.started", "workflow": "order", "execution_id": "o-1", "step": "a"}
        event = event_from_dict({**said, "time": now.isoformat()}, now)
        store.insert_events([event], now, "test")
        store.fold(now)
        store.insert_events([event], now, "test")
        server.freeze()
        # The first fold hangs and holds the lock; the second waits for its turn.
        folding = threads.submit(store.fold, now)
        waiting = threads.submit(store.fold, now)
        watching.look()
        assert watching.problem == "the store is away: the server does not answer in time"
        with pytest.raises(StoreSilent):
            waiting.result(WAIT_S)
        for asked in (
            lambda: store.select("SELECT 1"),
            lambda: store.insert_events([event], now, "test"),
            store.refresh_statistics,
        ):
            with pytest.raises(StoreSilent, match=r"^the server does not answer$"):
                threads.submit(asked).result(WAIT_S)
        assert not folding.done()
        server.thaw()
        watching.look()
        assert watching.problem == ""
        assert folding.result(WAIT_S) == 1
        assert store.select("SELECT count() AS n FROM attempts")[0]["n"] == 1
        store.close()
