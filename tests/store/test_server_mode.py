"""The store on a ClickHouse server: the same engine behind real HTTP, in a process of its own."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stallwatch.clock import SystemClock
from stallwatch.errors import ConfigError, StoreRefused, StoreUnavailable
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Body, Store, engine, folding, open_store
from stallwatch.store.sql_endpoint import SqlEndpoint, SqlRefused
from stallwatch.store.statements import sql_text

ROOT = Path(__file__).parents[2]


@contextmanager
def twin(folder: Path, version: str = "") -> Iterator[int]:
    """A server; the port it listens on."""
    command = [sys.executable, "-m", "tests.clickhouse_twin", str(folder), "0"]
    with subprocess.Popen(
        [*command, version] if version else command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with twin(tmp_path_factory.mktemp("twin")) as port:
        yield port


@pytest.fixture(scope="module")
def server_store(server: int) -> Iterator[Store]:
    store = open_store(f"clickhouse://127.0.0.1:{server}/stallwatch")
    changes = store.migrate(datetime.fromisoformat("2026-01-05T12:00:00Z"))
    assert len(changes) > 20
    yield store
    store.close()


def event(when: datetime, name: str, **fields: object) -> StepEvent:
    data = {"event": name, "time": when.isoformat(), "workflow": "order", **fields}
    return event_from_dict(data, when)


def test_migrating_again_changes_nothing(server_store: Store, now: datetime) -> None:
    assert server_store.migrate(now) == []


def test_events_become_attempts_executions_and_statistics(
    server_store: Store, now: datetime
) -> None:
    began = now - timedelta(minutes=10)
    name = "it's o-1 \\ \t ü"
    events = [
        event(began, "workflow.started", execution_id=name),
        event(began, "step.started", execution_id=name, step="charge", attempt=1),
        event(began + timedelta(seconds=2), "step.failed", execution_id=name, step="charge", attempt=1),
        event(began + timedelta(seconds=3), "step.started", execution_id=name, step="charge", attempt=2),
        event(began + timedelta(seconds=8), "step.completed", execution_id=name, step="charge", attempt=2),
        event(began + timedelta(seconds=8), "workflow.completed", execution_id=name),
    ]  # fmt: skip
    server_store.insert_events(events, now, "sender", token="t-1")
    server_store.insert_events(events, now, "sender", token="t-1")
    assert server_store.fold(now) == 1
    sql = "SELECT attempt, status, duration_s FROM attempts WHERE execution_id = {id:String} ORDER BY attempt"
    tries = server_store.select(sql, {"id": name})
    assert [(row["attempt"], row["status"], row["duration_s"]) for row in tries] == [
        (1, "failed", 2.0),
        (2, "completed", 5.0),
    ]
    [run] = server_store.select("SELECT * FROM executions WHERE execution_id = {id:String}", {"id": name})  # fmt: skip
    assert (run["status"], run["duration_s"]) == ("completed", 8.0)
    assert run["started_at"] == began
    assert server_store.refresh_statistics() >= 1
    [window] = server_store.select("SELECT * FROM step_latency WHERE window_s = 60")
    assert (window["completed"], window["failed"]) == (1, 1)
    assert window["p50_s"] == pytest.approx(5, rel=0.03)
    [sender] = server_store.select("SELECT * FROM ingest_health")
    assert sender["accepted"] == len(events)


def test_on_a_server_a_scratch_database_of_today_may_be_in_use(
    server_store: Store, now: datetime
) -> None:
    with server_store.scratch("replay_9", now):
        assert server_store.drop_left_over_scratch() == []
        assert server_store.select("EXISTS DATABASE scratch_replay_9") == [{"result": 1}]


def test_on_a_server_only_an_old_copy_of_ours_is_left_over(tmp_path: Path, now: datetime) -> None:
    with twin(tmp_path) as port:
        url = f"clickhouse://127.0.0.1:{port}"
        store, killed = open_store(f"{url}/stallwatch"), open_store(f"{url}/scratch_replay_1f0e9b")
        somebodys = open_store(f"{url}/scratch_shop")
        killed.migrate(now)
        somebodys.migrate(now)
        killed.engine.command_in_default("CREATE DATABASE scratch_detect_7")
        killed.engine.command_in_default("CREATE TABLE scratch_detect_7.t (n Int8) ORDER BY n")
        store.engine.create_database()
        assert store.drop_left_over_scratch() == []
        two_days_ago_s = SystemClock().now().timestamp() - 2 * 86_400
        for file in tmp_path.rglob("*.sql"):
            os.utime(file, (two_days_ago_s, two_days_ago_s))
        assert store.drop_left_over_scratch() == ["scratch_replay_1f0e9b"]
        assert store.drop_left_over_scratch() == []


def test_a_second_fold_in_the_same_session(server_store: Store, now: datetime) -> None:
    """The fold's temporary tables live in its session and are used again."""
    for name in ("again-1", "again-2"):
        server_store.insert_events([event(now, "workflow.started", execution_id=name)], now, "s")
        assert server_store.fold(now) == 1
    frame = server_store.frame("SELECT execution_id FROM executions WHERE status = 'running'")
    assert {"again-1", "again-2"} <= set(frame["execution_id"])


def test_a_batch_that_another_process_overtook_is_folded(
    server: int, server_store: Store, now: datetime
) -> None:
    """Batches carry the time they were received, and a slow collector commits after a quick one was folded."""
    slow = open_store(f"clickhouse://127.0.0.1:{server}/stallwatch")
    slow.insert_events([event(now, "workflow.started", execution_id="slow-1")], now, "s")
    later, latest = now + timedelta(seconds=30), now + timedelta(seconds=60)
    quick = event(latest, "workflow.started", execution_id="quick")
    server_store.insert_events([quick], latest, "s")
    server_store.fold(latest)
    slow.insert_events([event(later, "workflow.started", execution_id="slow-2")], later, "s")
    assert server_store.fold(latest) == 1
    assert server_store.fold(latest) == 0
    rows = server_store.select("SELECT execution_id FROM executions WHERE execution_id = 'slow-2'")
    assert len(rows) == 1
    slow.close()


def test_raw_otlp(server_store: Store, now: datetime) -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    began = int(now.timestamp() * 1e9)
    scope.spans.add(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /", start_time_unix_nano=began,
        end_time_unix_nano=began + 1_500_000_000,
    )  # fmt: skip
    server_store.insert_otlp([Body(request.SerializeToString(), now, "sdk")])
    server_store.fold(now)
    [span] = server_store.select("SELECT * FROM spans")
    assert (span["name"], span["duration_s"], span["sender"]) == ("GET /", 1.5, "sdk")
    assert span["trace_id"] == (b"t" * 16).hex()


def test_strangers_sql_is_read_only_there_too(server_store: Store) -> None:
    endpoint = SqlEndpoint(server_store.engine)
    answer = endpoint.query("SELECT {x:String}, count() >= 0 FROM executions", {"x": "a\\tb"})
    assert answer.body == b"a\\tb\t1\n"
    with pytest.raises(SqlRefused, match="attempt_fold cannot be read"):
        endpoint.query("SELECT * FROM attempt_fold")
    with pytest.raises(SqlRefused, match="READONLY"), endpoint._borrowed() as client:
        client.command("CREATE TABLE x (a UInt8) ENGINE = Memory")
    endpoint.close()


def test_what_the_server_refuses_and_that_it_is_away(server_store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="nope"):
        server_store.select("SELECT nope FROM executions")
    with twin(tmp_path) as port:
        pass
    with pytest.raises(StoreUnavailable):
        open_store(f"clickhouse://127.0.0.1:{port}").select("SELECT 1")


def test_what_a_fuller_fold_closed_a_slower_one_does_not_open_again(
    server: int, server_store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collectors fold beside the brain, and who saw less may write last."""
    slow = open_store(f"clickhouse://127.0.0.1:{server}/stallwatch")
    one = {"execution_id": "overtaken"}
    begun = [event(now, "workflow.started", **one), event(now, "step.started", step="pay", **one)]
    later = now + timedelta(seconds=1)
    ended = [
        event(later, "step.completed", step="pay", **one),
        event(later, "workflow.completed", **one),
    ]

    def overtaken(folder: str, name: str) -> str:
        if name == "7_open_attempts" and ended:
            events = ended.copy()
            ended.clear()
            server_store.insert_events(events, later, "s")
            server_store.fold(later)
        return sql_text(folder, name)

    monkeypatch.setattr(folding, "sql_text", overtaken)
    slow.insert_events(begun, now, "s")
    slow.fold(now)
    assert not ended
    for table in ("open_attempt", "open_execution"):
        sql = f"SELECT status FROM {table} FINAL WHERE execution_key = sipHash64('default', 'custom', 'overtaken')"
        assert server_store.select(sql) == []
    slow.close()


def test_what_closes_while_another_process_computes_statistics_is_counted(
    server: int, server_store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what a fold notes and what it writes another process may count."""
    monkeypatch.setattr("stallwatch.store.store.NOTED_LATE_US", 0)
    slow = open_store(f"clickhouse://127.0.0.1:{server}/stallwatch")
    said = {"execution_id": "counted", "workflow": "counted", "step": "pay"}
    counted = []

    def overtaken(folder: str, name: str) -> str:
        if name == "8_attempts_kept":
            counted.append(server_store.refresh_statistics())
        return sql_text(folder, name)

    server_store.refresh_statistics()
    monkeypatch.setattr(folding, "sql_text", overtaken)
    slow.insert_events(
        [event(now, f"step.{kind}", **said) for kind in ("started", "completed")], now, "s"
    )
    slow.fold(now)
    assert counted == [1]
    server_store.refresh_statistics()
    for window_s in (60, 3600, 86400):
        [row] = server_store.select(
            "SELECT sum(completed) AS n FROM step_histogram FINAL WHERE workflow = 'counted' AND window_s = {w:UInt32}",
            {"w": window_s},
        )
        assert row["n"] == 1, window_s
    slow.close()


@contextmanager
def answering(status: int, code: int | None) -> Iterator[int]:
    """A server, or what stands before it, that answers everything alike; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            if code is not None:
                self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.end_headers()
            text = "<html>\nproxy" if code is None else f"Code: {code}. DB::Exception: no."
            self.wfile.write(text.encode())

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "of_rows", "of_queries"),
    [
        (502, None, StoreUnavailable, StoreUnavailable),
        (404, None, StoreUnavailable, StoreUnavailable),
        (413, None, StoreRefused, StoreRefused),
        (401, 516, StoreUnavailable, StoreRefused),  # the password is wrong
        (500, 164, StoreUnavailable, StoreRefused),  # read-only
        (404, 60, StoreUnavailable, StoreRefused),  # no such table
        (500, 252, StoreUnavailable, StoreUnavailable),  # too many parts
        (400, 27, StoreRefused, StoreRefused),  # the rows cannot be parsed
    ],
)
def test_rows_are_given_up_only_for_what_is_wrong_with_them(
    status: int,
    code: int | None,
    of_rows: type[Exception],
    of_queries: type[Exception],
    now: datetime,
) -> None:
    with answering(status, code) as port:
        store = open_store(f"clickhouse://127.0.0.1:{port}/stallwatch")
        with pytest.raises(of_rows) as told:
            store.engine.insert_rows("step_event_log", ["workflow"], [["order"]])
        assert str(port) not in str(told.value)
        assert "html" not in str(told.value)
        with pytest.raises(of_queries):
            store.select("SELECT 1")


def test_a_server_that_says_nothing_is_away_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOOK_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = open_store(f"clickhouse://127.0.0.1:{port}/stallwatch")
        asking = ThreadPoolExecutor(1).submit(store.select, "SELECT 1")
        with pytest.raises(StoreUnavailable, match=r"^the server does not answer in time$"):
            asking.result(60)
    with pytest.raises(
        StoreUnavailable, match=r"^no connection to the server: Connection refused$"
    ):
        store.select("SELECT 1")


def test_a_server_that_is_too_old_is_refused_by_name(tmp_path: Path, now: datetime) -> None:
    with (
        twin(tmp_path, "25.8.3.1") as port,
        pytest.raises(ConfigError, match=r"25\.8\.3\.1; 25\.9 or newer"),
    ):
        open_store(f"clickhouse://127.0.0.1:{port}").migrate(now)
