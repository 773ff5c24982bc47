"""The service's parts: who must see what, and what is said when something is missing."""

import threading
from datetime import datetime

from opentelemetry.metrics import NoOpMeter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from stallwatch.app.caught_up import CaughtUp
from stallwatch.app.folder import Folder
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.errors import StoreUnavailable
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store

PAGES = Starlette(routes=[Route("/{path:path}", lambda request: PlainTextResponse("here"))])


def test_readers_catch_up_and_others_do_not_wait() -> None:
    asked: list[bool] = []
    client = TestClient(CaughtUp(PAGES, lambda: asked.append(True)))
    for path in ("/metrics", "/healthz", "/readyz", "/static/x.css"):
        assert client.get(path).text == "here"
    assert asked == []
    client.get("/api/executions")
    client.get("/")
    assert asked == [True, True]


def test_a_fold_that_fails_leaves_readers_what_was_folded_before() -> None:
    def fail() -> None:
        raise StoreUnavailable("away")

    assert TestClient(CaughtUp(PAGES, fail)).get("/api/steps").text == "here"


def test_the_folder_folds_what_is_committed_and_a_last_time_at_its_stop(
    store: Store, now: datetime
) -> None:
    folder = Folder(store, SystemClock(), NoOpMeter("test"))
    folder.start()
    assert folder.alive
    data = {
        "event": "workflow.started",
        "time": now.isoformat(),
        "workflow": "w",
        "execution_id": "a",
    }
    store.insert_events([event_from_dict(data, now)], now, "me")
    folder.committed()
    folder.stop()
    assert not folder.alive
    assert store.select("SELECT execution_id FROM executions") == [{"execution_id": "a"}]


def test_the_folder_goes_on_after_an_error(store: Store, now: datetime) -> None:
    class Flaky:
        """A store whose first fold fails."""

        def __init__(self) -> None:
            self.failed = threading.Event()
            self.folded = threading.Event()

        def fold(self, now: datetime) -> int:
            if not self.failed.is_set():
                self.failed.set()
                raise StoreUnavailable("away")
            self.folded.set()
            return 1

    flaky = Flaky()
    folder = Folder(flaky, ManualClock(now), NoOpMeter("test"))
    folder.start()
    assert flaky.folded.wait(30)
    folder.stop()


def test_who_comes_every_second_folds_every_third_one(now: datetime) -> None:
    class Counting:
        folds = 0

        def fold(self, now: datetime) -> int:
            self.folds += 1
            return 1

    store, clock = Counting(), ManualClock(now)
    folder = Folder(store, clock, NoOpMeter("test"))
    done = []
    for _ in range(9):
        folder.committed()
        done.append(folder.catch_up_when_rested())
        clock.advance(1.0)
    assert done == [True, False, False] * 3
    # Readers may come as often as they like, and delay no one.
    folder.catch_up()
    assert store.folds == 4
    folder.committed()
    assert folder.catch_up_when_rested()
    # Where nothing waits, nobody is sent away.
    assert folder.catch_up_when_rested()
