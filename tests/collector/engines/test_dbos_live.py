"""A real DBOS application, looked at while it runs. Its system database: a SQLite file, or a PostgreSQL of our own."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from pydantic import SecretStr, ValidationError

from collector.documents import Document
from collector.engines.dbos import Dbos
from collector.engines.dbos.database import PostgresDatabase
from collector.engines.reading import Hints, Parts, Poller, Reading
from stallwatch.app.demo.temporal_processes import Child
from stallwatch.clock import SystemClock
from stallwatch.config.engines.dbos import DbosConfig
from stallwatch.errors import ConfigError, Permanent, Transient
from stallwatch.store import Store
from tests.collector.engines.timelines import NOW, read_all, stored
from tests.requirements import require

pytestmark = pytest.mark.slow
ENGINE: Final = Dbos()
CLOCK: Final = SystemClock()
APP: Final = Path(__file__).with_name("dbos_app.py")
GRANTS: Final = Path(__file__).parents[3] / "docs" / "engines" / "dbos-grants.sql"
WITHIN_S: Final = 30.0
PAUSE_S: Final = 0.2
BINARIES: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PASSWORD: Final = "s3cret-of-the-app"
READER: Final = "s3cret-of-the-reader"


@dataclass
class Watcher:
    """Polls, and keeps what the shelf would keep."""

    poller: Poller
    parts: list[Parts] = field(default_factory=list)
    mark: str | None = None
    historical: set[str] = field(default_factory=set)

    def look(self) -> int:
        """How many facts came."""
        count = 0
        for piece in self.poller.poll(self.mark, CLOCK.now()):
            self.parts.append(piece.parts)
            self.mark = piece.mark or self.mark
            count += sum(len(fragment.facts) for fragment in piece.parts.fragments)
            if piece.historical:
                self.historical |= {fragment.execution for fragment in piece.parts.fragments}
        return count

    def readings(self) -> dict[str, Reading]:
        return {
            reading.events[0].execution_id: reading
            for reading in read_all(ENGINE, self.parts)
            if reading.events
        }

    def until(self, is_so: Callable[[dict[str, Reading]], bool]) -> dict[str, Reading]:
        """Look again and again until something is seen."""
        since_s = CLOCK.monotonic_s()
        while CLOCK.monotonic_s() - since_s < WITHIN_S:
            self.look()
            readings = self.readings()
            if is_so(readings):
                return readings
            CLOCK.wait(threading.Event(), PAUSE_S)
        pytest.fail(f"not seen in {WITHIN_S} s: {self.readings()}")


def has(readings: dict[str, Reading], id_: str, event: str, step: str = "") -> bool:
    reading = readings.get(id_)
    return reading is not None and any(
        (one.event, one.step) == (event, step) for one in reading.events
    )


@contextlib.contextmanager
def application(url: str, folder: Path) -> Iterator[Child]:
    app = Child("dbos", [sys.executable, str(APP), url], folder)
    try:
        app.hear_until("started", CLOCK, threading.Event())
        yield app
    finally:
        app.stop()


def poller(**keys: Any) -> Poller:
    return ENGINE.poller(DbosConfig(**keys))


OPEN: Final = {
    "approval-1": ("waiting", "DBOS.recv", "signal", ""),
    "queued-2": ("scheduled", "DBOS.dequeue", "", "payments"),
    "queued-3": ("waiting", "DBOS.dequeue", "timer", "payments"),
    "sleeper-1": ("waiting", "DBOS.sleep", "timer", ""),
}
ENDED: Final = {
    "approved-1": "completed",
    "broken-1": "failed",
    "cancelled-1": "cancelled",
    "late-1": "timed_out",
    "napper-1": "completed",
    "order-1": "completed",
    "parent-1": "completed",
    "parent-1-1": "completed",
}


def watch(app: Child, watcher: Watcher, store: Store) -> None:
    """All situations, seen as they come about; then what the store makes of them."""

    def all_open(readings: dict[str, Reading]) -> bool:
        return (
            has(readings, "approved-1", "step.waiting", "DBOS.recv")
            and has(readings, "cancelled-1", "step.waiting", "DBOS.sleep")
            and has(readings, "queued-1", "step.completed", "DBOS.dequeue")
            and has(readings, "hung-1", "step.completed", "reserve")
        )

    before = watcher.until(all_open)
    assert not any(before[id_].is_closed for id_ in ("approved-1", "cancelled-1", "hung-1"))
    app.tell("")
    app.hear_until("told", CLOCK, threading.Event())

    def all_ended(readings: dict[str, Reading]) -> bool:
        return all(id_ in readings and readings[id_].is_closed for id_ in ENDED)

    after = watcher.until(all_ended)
    assert not any(
        count
        for one in after.values()
        for (fate, _), count in one.kinds.items()
        if fate == "unknown"
    )
    stored(store, after.values(), CLOCK.now())
    executions = {row["execution_id"]: row for row in store.select("SELECT * FROM executions")}
    assert {id_: executions[id_]["status"] for id_ in ENDED} == ENDED
    still = {id_ for id_, row in executions.items() if row["status"] == "running"}
    assert still == {*OPEN, "hung-1", "queued-1"}
    rows = store.select(
        "SELECT execution_id, status, step, waiting_on, queue FROM attempts "
        "WHERE status IN ('scheduled', 'waiting', 'running')"
    )
    assert {row["execution_id"]: tuple(row.values())[1:] for row in rows} == OPEN
    # A step that hangs has no row: what is known is that nothing follows the one before.
    assert executions["hung-1"]["open_steps"] == 0
    assert executions["parent-1-1"]["parent_execution_id"] == "parent-1"
    assert executions["broken-1"]["error_type"] == "DBOSMaxStepRetriesExceeded"
    assert executions["late-1"]["timeout_s"] == 0.5
    calls = store.select(
        "SELECT step, count() AS n FROM attempts WHERE execution_id = 'order-1' GROUP BY step ORDER BY step"
    )
    assert [tuple(row.values()) for row in calls] == [("flaky", 1), ("reserve", 2)]


def test_sqlite(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "shop.sqlite"
    with application(f"sqlite:///{file}", tmp_path) as app:
        watcher = Watcher(poller(url=f"sqlite:///{file}"))
        watch(app, watcher, store)
    # A collector that comes later sees the same, the closed as history.
    late = Watcher(poller(url=f"sqlite:///{file}", every="10s"))
    late.look()
    assert late.historical == set(ENDED)
    imported = read_all(ENGINE, documents(file))
    assert {one.events[0].execution_id for one in imported} == set(late.readings())
    assert events_of(imported) >= events_of(late.readings().values())


def documents(file: Path) -> list[Parts]:
    found = ENGINE.file_documents(file)
    assert found is not None
    return [ENGINE.parts(decoded(document), Hints(CLOCK.now())) for document in found]


def decoded(document: Document) -> Any:
    assert document.problem == ""
    return msgspec.json.decode(document.data)


def events_of(readings: Iterable[Reading]) -> set[tuple[str, str, datetime]]:
    return {(e.execution_id, e.event_id, e.time) for one in readings for e in one.events}


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    text = tmp_path / "tables.json"
    text.write_text("{}")
    assert ENGINE.file_documents(text) is None
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    (problem,) = list(ENGINE.file_documents(damaged) or ())
    assert "cannot be read" in problem.problem
    strange = tmp_path / "strange.sqlite"
    with contextlib.closing(sqlite3.connect(strange)) as connection:
        connection.execute("CREATE TABLE t (a)")
    (problem,) = list(ENGINE.file_documents(strange) or ())
    assert "workflow_status of DBOS is not there" in problem.problem
    with pytest.raises(Permanent, match="workflow_status of DBOS"):
        list(poller(url=f"sqlite:///{strange}").poll(None, NOW))
    with pytest.raises(Transient, match="cannot be read now"):
        list(poller(url=f"sqlite:///{tmp_path / 'none.sqlite'}").poll(None, NOW))


def test_what_is_wrong_with_the_url(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="set url or url_file"):
        DbosConfig()
    for url in ("mysql://root:s3cret@db", "postgresql://u:s3cret@[db/x"):
        with pytest.raises(ConfigError) as caught:
            poller(url=url)
        assert "engines.dbos.url" in str(caught.value)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="url_file"):
        poller(url_file=tmp_path / "none")
    assert "s3cret" not in repr(DbosConfig(url=SecretStr("postgresql://u:s3cret@db/x")))


@dataclass(frozen=True)
class Postgres:
    """A server of our own, on a port of this machine."""

    port: int
    binaries: Path
    folder: Path

    def url(self, user: str, password: str, database: str = "shop") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def run(self, sql: str, database: str = "shop") -> None:
        url = self.url("postgres", PASSWORD, database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.encode())


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    require(BINARIES, "PostgreSQL: apt-get install postgresql")
    binaries = BINARIES[-1]
    folder = Path(tempfile.mkdtemp(prefix="stallwatch-postgres-"))
    # The server refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", str(data), *arguments]
        # The server inherits what it is started with, and would keep a pipe open.
        with (folder / "log").open("ab") as log:
            subprocess.run(command, user=user, cwd=folder, check=True, stdout=log, stderr=log)

    try:
        run("initdb", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
        options = f"-p {port} -k {folder} -h 127.0.0.1 -F"
        run("pg_ctl", "-o", options, "-w", "start")
        try:
            server = Postgres(port, binaries, folder)
            server.run("CREATE DATABASE shop", "postgres")
            yield server
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def test_postgresql(postgres: Postgres, store: Store, tmp_path: Path) -> None:
    with application(postgres.url("postgres", PASSWORD), tmp_path) as app:
        postgres.run(GRANTS.read_text())
        postgres.run(f"ALTER ROLE stallwatch PASSWORD '{READER}'")
        file = tmp_path / "url"
        file.write_text(postgres.url("stallwatch", READER) + "\n")
        with contextlib.closing(poller(url_file=file)) as asking:
            watch(app, Watcher(asking), store)
    with psycopg.connect(postgres.url("stallwatch", READER), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for refused in (
            "SELECT inputs FROM dbos.workflow_status",
            "DELETE FROM dbos.notifications",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(refused.encode())


def test_what_postgresql_refuses_is_said_without_the_password(postgres: Postgres) -> None:
    def refusal(url: str, kind: type[Exception]) -> str:
        with contextlib.closing(poller(url=url)) as asking, pytest.raises(kind) as caught:
            list(asking.poll(None, NOW))
        assert PASSWORD not in str(caught.value)
        assert "wr0ng" not in str(caught.value)
        return str(caught.value)

    assert "authentication failed" in refusal(postgres.url("postgres", "wr0ng"), Permanent)
    missing = postgres.url("postgres", PASSWORD, "nowhere")
    assert "does not exist" in refusal(missing, Permanent)
    empty = postgres.url("postgres", PASSWORD, "postgres")
    assert "workflow_status of DBOS is not there" in refusal(empty, Permanent)
    away = f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/shop"
    assert "cannot be reached" in refusal(away, Transient)


def test_a_connection_that_broke_is_opened_again(postgres: Postgres) -> None:
    database = PostgresDatabase(postgres.url("postgres", PASSWORD), "dbos", 0.2)
    own = "SELECT pg_backend_pid() AS pid"
    (row,) = database.select(own, {})
    postgres.run(f"SELECT pg_terminate_backend({row['pid']})")
    with pytest.raises(Transient):
        database.select(own, {})
    (again,) = database.select(own, {})
    assert again["pid"] != row["pid"]
    with pytest.raises(Transient, match=r"took longer than 0\.2 s"):
        database.select("SELECT pg_sleep(5)", {})
    with pytest.raises(Permanent, match="read-only"):
        database.select("CREATE TABLE written (a int)", {})
    database.close()
