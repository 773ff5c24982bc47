"""Engines as their users meet them: `serve` asks one, files are imported, an outage is told and passes."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import Child, require_temporal, start_server
from stallwatch.clock import SystemClock
from tests.app.running import Place, Running, run_all, until

pytestmark = pytest.mark.slow
CLOCK: Final = SystemClock()
RECORDED: Final = Path(__file__).parents[1] / "fixtures" / "engines"
OPEN: Final = "SELECT execution_id, status, road FROM executions WHERE engine = 'temporal'"


class Engine:
    """A real Temporal server without a worker: what is started there stays open."""

    def __init__(self, folder: Path) -> None:
        self.command = require_temporal()
        self.address = free("127.0.0.1:0")
        self._folder = folder
        self._server: Child | None = None

    def begin(self) -> None:
        self._server = start_server(
            self.command, self.address, self._folder, CLOCK, threading.Event()
        )

    def end(self) -> None:
        if self._server is not None:
            self._server.stop(terminate=True)
            self._server = None

    def start(self, workflow_id: str) -> None:
        what = ["workflow", "start", "--type", "Lonely", "--task-queue", "nobody"]
        started = [self.command, *what, "--workflow-id", workflow_id, "--address", self.address]
        # It listens before it is ready.
        until(lambda: subprocess.run(started, capture_output=True, check=False).returncode == 0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    folder = tmp_path / "temporal"
    folder.mkdir()
    with ExitStack() as ending:
        engine = Engine(folder)
        ending.callback(engine.end)
        engine.begin()
        yield engine


def known(running: Running) -> dict[str, str]:
    return {row["execution_id"]: row["status"] for row in running.select(OPEN)}


def test_a_pull_asks_an_engine_before_serve_would(tmp_path: Path, engine: Engine) -> None:
    engine.start("first")
    # Were the interval short, serve could come first, and the pull would have no news.
    place = Place(tmp_path, f'[engines.temporal]\naddress = "{engine.address}"\nevery = "1h"\n')
    with place.serving() as running:
        until(lambda: known(running) == {"first": "running"})
        engine.start("second")

        def has_news() -> bool:
            # Temporal lists an execution some moments after it said that it began.
            pulled = place.here("pull", "temporal")
            assert (pulled.code, pulled.err) == (0, "")
            return pulled.out.startswith("1 execution with news, ")

        until(has_news)
        assert known(running) == {"first": "running", "second": "running"}
        elsewhere = place.here("pull", "stepfunctions")
        assert elsewhere.code == 2
        assert (
            "has no section [engines.stepfunctions] in the configuration with which the serve began"
            in elsewhere.err
        )
        assert place.here("forget", "first", "--yes").code == 0
        assert known(running) == {"second": "running"}


def test_serve_asks_an_engine_and_lives_through_its_outage(tmp_path: Path, engine: Engine) -> None:
    engine.start("first")
    place = Place(tmp_path, f'[engines.temporal]\naddress = "{engine.address}"\nevery = "1s"\n')
    with place.serving() as running:
        until(lambda: known(running) == {"first": "running"})
        engine.start("second")
        until(lambda: known(running) == {"first": "running", "second": "running"})
        assert "engine temporal: answers" in place.here("doctor").out

        engine.end()
        until(lambda: running.metric("collector_poll_failures_total") > 0)
        told = place.here("doctor")
        assert told.code == 1
        assert "WRONG engine temporal" in told.out
        assert place.here("pull", "temporal").code == 3
        assert known(running) == {"first": "running", "second": "running"}
        assert running.terminate() == 0


def test_histories_are_imported_with_and_without_a_serve(tmp_path: Path) -> None:
    place = Place(tmp_path)
    wanted = [
        ["import", "temporal", str(RECORDED / "temporal" / "history_retry_legacy.json")],
        ["import", "stepfunctions", str(RECORDED / "stepfunctions" / "history_ret*.json")],
        ["import", "durable", str(RECORDED / "durable" / "final_o_ok-1.json")],
        ["import", "dbos", str(RECORDED / "dbos" / "tables.json")],
        ["import", "durable", __file__, str(RECORDED / "durable" / "final_o_ok-1.json")],
        ["import", "temporal", str(tmp_path / "nothing-*.json")],
        ["import", "durable", str(RECORDED / "stepfunctions" / "history_retry.json")],
        [
            "import",
            "stepfunctions",
            str(RECORDED / "stepfunctions" / "history_express.json"),
            "--execution-id",
            "said",
        ],
    ]
    alone = run_all([place.argv(*one) for one in wanted])
    assert [ended.code for ended in alone] == [0, 0, 0, 0, 2, 2, 2, 0]
    assert alone[0].out == "1 document imported, 0 bad documents\n"
    assert f"{__file__}, line 1" in alone[4].err
    assert "nothing-*.json: no file is like that" in alone[5].err
    assert "not one event type is known" in alone[6].err
    assert alone[6].out == "0 documents imported, 1 bad document\n"
    counts = "SELECT engine, count() AS n, sum(attempts) AS attempts FROM executions GROUP BY engine ORDER BY engine"
    with place.serving() as running:
        first = running.select(counts)
        assert {row["engine"] for row in first} == {"temporal", "stepfunctions", "durable", "dbos"}
        assert running.select("SELECT 1 FROM executions WHERE execution_id = 'said'")
        for one, before in zip(wanted, alone, strict=True):
            again = place.here(*one)
            assert (again.code, again.out) == (before.code, before.out)
        assert running.select(counts) == first
        assert not running.select("SELECT 1 FROM executions WHERE NOT historical")
