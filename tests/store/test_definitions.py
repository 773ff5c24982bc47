"""Migrations: run once, never edited; views are made anew when their text changes."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from stallwatch.errors import ConfigError
from stallwatch.store import Store
from stallwatch.store.definitions import Definition, migrate
from stallwatch.store.engine import Address, Engine, check_version

_numbers = itertools.count(1)
TABLE = Definition("migrations/1.sql", "CREATE TABLE t (a UInt8) ENGINE = Memory", False)
VIEW = Definition("views/v.sql", "CREATE VIEW v AS\nSELECT a FROM t", True)
UPON = Definition("views/w.sql", "CREATE VIEW w AS\nSELECT a FROM v", True)


@pytest.fixture
def engine(store_root: Store) -> Iterator[Engine]:
    engine = Engine(store_root.engine.address, f"definitions_{next(_numbers)}")
    yield engine
    store_root.engine.command(f"DROP DATABASE IF EXISTS {engine.database}")
    engine.close()


def test_applies_once(engine: Engine, now: datetime) -> None:
    assert [c.action for c in migrate(engine, [TABLE, VIEW], now)] == ["create", "create"]
    assert migrate(engine, [TABLE, VIEW], now) == []


def test_dry_run_changes_nothing(engine: Engine, now: datetime) -> None:
    assert [c.name for c in migrate(engine, [TABLE, VIEW], now, dry_run=True)] == [
        "migrations/1.sql",
        "views/v.sql",
    ]
    assert engine.rows("SHOW TABLES") == []


def test_an_edited_migration_is_refused(engine: Engine, now: datetime) -> None:
    migrate(engine, [TABLE], now)
    edited = Definition(TABLE.name, TABLE.sql.replace("UInt8", "UInt16"), False)
    with pytest.raises(ConfigError, match=r"migrations/1\.sql was applied with another text"):
        migrate(engine, [edited], now)


def test_a_view_that_is_no_longer_defined_goes(engine: Engine, now: datetime) -> None:
    migrate(engine, [TABLE, VIEW, UPON], now)
    later = now + timedelta(seconds=1)
    assert [c.sql for c in migrate(engine, [TABLE, VIEW], later)] == ["DROP VIEW IF EXISTS w"]
    assert migrate(engine, [TABLE, VIEW], later) == []
    assert [
        c.action for c in migrate(engine, [TABLE, VIEW, UPON], later + timedelta(seconds=1))
    ] == ["create"]


def test_a_view_that_moves_to_another_file_stays(engine: Engine, now: datetime) -> None:
    migrate(engine, [TABLE, VIEW], now)
    moved = Definition("views/9.sql", VIEW.sql, True)
    later = now + timedelta(seconds=1)
    assert [c.action for c in migrate(engine, [TABLE, moved], later)] == ["drop", "create"]
    assert engine.rows("SELECT count() AS n FROM v") == [{"n": 0}]
    assert migrate(engine, [TABLE, moved], later) == []


def test_a_newer_store_is_refused(engine: Engine, now: datetime) -> None:
    migrate(engine, [TABLE], now)
    with pytest.raises(ConfigError, match="newer Stallwatch"):
        migrate(engine, [VIEW], now)


def test_a_changed_view_and_those_behind_it_are_made_again(engine: Engine, now: datetime) -> None:
    migrate(engine, [TABLE, VIEW, UPON], now)
    engine.command("INSERT INTO t VALUES (1)")
    changed = Definition(VIEW.name, "CREATE VIEW v AS\nSELECT a + 1 AS a FROM t", True)
    changes = migrate(engine, [TABLE, changed, UPON], now)
    assert [(c.action, c.name) for c in changes] == [
        ("replace", "views/v.sql"),
        ("replace", "views/w.sql"),
    ]
    assert engine.rows("SELECT a FROM w") == [{"a": 2}]


@pytest.mark.parametrize("sql", ["ALTER TABLE t DROP COLUMN a", "-- why\nDROP TABLE t"])
def test_what_takes_data_away_has_to_be_allowed(engine: Engine, now: datetime, sql: str) -> None:
    migrate(engine, [TABLE], now)
    losing = Definition("migrations/2.sql", sql, False)
    with pytest.raises(ConfigError, match=r"migrations/2\.sql would take data away"):
        migrate(engine, [TABLE, losing], now)
    assert [c.sql for c in migrate(engine, [TABLE, losing], now, dry_run=True)] == [sql]


def test_what_is_allowed_is_done(engine: Engine, now: datetime) -> None:
    losing = Definition("migrations/2.sql", "DROP TABLE t", False)
    migrate(engine, [TABLE, losing], now, may_lose_data=True)
    assert engine.rows("SHOW TABLES LIKE 't'") == []


def test_a_view_holds_no_data_and_may_go(engine: Engine, now: datetime) -> None:
    gone = Definition("migrations/2.sql", "-- why\nDROP VIEW IF EXISTS old", False)
    migrate(engine, [TABLE], now)
    assert [c.name for c in migrate(engine, [TABLE, gone], now)] == ["migrations/2.sql"]


@pytest.mark.parametrize("version", ["25.8.1.1", "24.12"])
def test_an_old_server_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"25\.9 or newer"):
        check_version(version)


def test_a_new_enough_server_is_taken() -> None:
    check_version("25.9.1.1")
    check_version("26.2")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("chdb://data", "three slashes"),
        ("postgres://x", "begins with"),
        ("clickhouse://", "needs a host"),
        ("clickhouse://h:port", "store.url"),
    ],
)
def test_a_wrong_url_is_named(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Address.parse(url)


def test_urls() -> None:
    assert Address.parse("clickhouses://u:p%40ss@h/db") == Address(
        host="h", port=8443, secure=True, username="u", password="p@ss", database="db"
    )
    assert Address.parse("clickhouse://h").port == 8123
