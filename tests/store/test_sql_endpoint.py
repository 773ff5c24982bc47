"""Strangers' SQL: reads the public views, and nothing gets through the walls."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from stallwatch.store.sql_endpoint import LIMITS, SqlEndpoint
from stallwatch.store.sql_guard import SqlRefused


@pytest.fixture(scope="module")
def shop(store_root: Store) -> Iterator[Store]:
    now = datetime.fromisoformat("2026-01-05T12:00:00Z")
    data = {"event": "workflow.started", "time": now.isoformat(), "workflow": "w"}
    data["execution_id"] = "e"
    with store_root.scratch("endpoint", now) as store:
        store.insert_events([event_from_dict(data, now)], now, "s")
        store.fold(now)
        yield store


@pytest.fixture(scope="module")
def endpoint(shop: Store) -> Iterator[SqlEndpoint]:
    endpoint = SqlEndpoint(shop.engine)
    yield endpoint
    endpoint.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM executions",
        "select count() from {db}.executions -- comment\n;",
        "WITH e AS (SELECT * FROM executions) SELECT count() FROM e",
        "WITH 1 AS one SELECT one",
        "SELECT 1 WHERE 'e' IN (SELECT execution_id FROM executions)",
        "SELECT count() FROM executions AS a JOIN attempts AS b USING (execution_id) ARRAY JOIN [1, 2] AS n",
        "SELECT x FROM (SELECT 1 AS x UNION ALL SELECT 2)",
        "SELECT sum(number) FROM numbers(10)",
        "SELECT 'attempt_fold; INTO OUTFILE file(''/etc/passwd'')'",
        "SELECT name, value, readonly FROM system.settings LIMIT 1",
        "SELECT name FROM system.tables WHERE database = currentDatabase()",
        "SELECT count() AS `n: all` FROM `executions` AS `e, x`",
        "SELECT version(), timezone()",
        "SHOW TABLES",
        "SHOW TABLES FROM {db}",
        "SHOW DATABASES",
        "DESCRIBE TABLE executions FORMAT TSV",
        "EXISTS TABLE executions",
        "SELECT * FROM (SELECT 1) FORMAT JSON",
        "SELECT 1 FORMAT Values",
    ],
)
def test_what_may_be_asked(endpoint: SqlEndpoint, shop: Store, sql: str) -> None:
    assert endpoint.query(sql.replace("{db}", shop.engine.database)).body


def test_every_column_of_every_view_may_be_named(endpoint: SqlEndpoint) -> None:
    for view in sorted(endpoint.views):
        columns = endpoint.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {v:String}",
            {"v": view},
        )
        for column in columns.body.decode().split():
            endpoint.query(f"SELECT {column} FROM {view} LIMIT 0")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM attempt_fold",
        "SELECT * FROM {db}.step_event_log",
        "SELECT (SELECT count() FROM span_log)",
        "SELECT 1 WHERE 'x' IN attempt_fold",
        "SELECT 1 WHERE 'x' IN system.processes",
        "SELECT * FROM executions JOIN span_log ON 1 = 1",
        "SELECT 1 UNION ALL SELECT 1 FROM finding_log",
        "WITH a AS (SELECT * FROM attempt_fold) SELECT * FROM a",
        "SELECT * FROM system.query_log",
        "SELECT * FROM `attempt_fold`",
        "SELECT 1 AS attempt_fold, (SELECT count() FROM attempt_fold)",
        "SELECT 'cte_name: attempt_fold', * FROM attempt_fold",
        "SELECT 'cte_name: system.processes', * FROM system.processes",
        "SELECT * FROM attempt_fold AS `identifier: executions`",
        "SELECT * FROM attempt_fold AS `identifier: executions\n`",
        "SELECT * FROM merge('{db}', '.*') AS `table_function_name: numbers`",
        "SELECT * FROM executions ORDER BY (SELECT any(step) FROM attempt_fold)",
        "SELECT count() FROM executions WHERE NOT 1 GLOBAL IN (attempt_fold)",
        "SELECT count() FROM executions PREWHERE execution_id NOT IN span_log",
        "SELECT count() FROM executions, attempt_fold",
        "SELECT count() FROM executions LEFT ARRAY JOIN [1] AS a ASOF JOIN attempt_fold ON 1 = 1",
        "FROM attempt_fold SELECT 1",
        "SELECT 1 FROM executions WHERE EXISTS (SELECT 1 FROM attempt_fold)",
        "SELECT arrayMap(x -> (SELECT count() FROM attempt_fold), [1])",
        "SELECT 1 INTERSECT SELECT 1 FROM attempt_fold",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT 1 FROM attempt_fold) SELECT * FROM r",
        "SELECT * FROM system.processes",
        # The text of functions and views holds the rules of redaction, and their salt.
        "SELECT create_query FROM system.functions",
        "SELECT create_table_query FROM system.tables",
        "SELECT t.as_select AS a FROM executions JOIN system.tables AS t ON 1 = 1",
        "SELECT tuple(*) FROM system.tables",
        "SELECT COLUMNS('create') FROM system.tables",
        "WITH t AS (SELECT * EXCEPT name FROM `system`.tables) SELECT 1 FROM t",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM default.executions",
        "SELECT * FROM merge('{db}', '.*')",
        "SELECT * FROM view(SELECT * FROM attempt_fold)",
        "SELECT * FROM viewExplain('', '', (SELECT 1))",
        "SELECT * FROM loop(attempt_fold)",
        "SELECT * FROM python(x)",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT file('/etc/passwd')",
        "SELECT `FILE`('/etc/passwd')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        "SELECT sleep(3)",
        "SELECT joinGet('{db}.x', 'y', 1)",
        "INSERT INTO executions VALUES (1)",
        "CREATE TABLE x (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a UInt8)",
        "DROP TABLE attempt_fold",
        "ALTER TABLE attempt_fold DELETE WHERE 1",
        "TRUNCATE TABLE attempt_fold",
        "SYSTEM SHUTDOWN",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "USE system",
        "BACKUP DATABASE {db} TO File('x')",
        "EXPLAIN SELECT * FROM attempt_fold",
        "DESCRIBE TABLE attempt_fold",
        "DESCRIBE file('/etc/passwd')",
        "SHOW CREATE TABLE executions",
        "SHOW TABLES FROM default",
        "SELECT 1 PARALLEL WITH SELECT 2",
        "SELECT 1; DROP TABLE attempt_fold",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT {db",
        "",
    ],
)
def test_what_is_refused(endpoint: SqlEndpoint, shop: Store, sql: str) -> None:
    with pytest.raises(SqlRefused):
        endpoint.query(sql.replace("{db}", shop.engine.database))


def test_show_tables_offers_what_can_be_read(endpoint: SqlEndpoint, shop: Store) -> None:
    for sql in ("SHOW TABLES", f"SHOW TABLES FROM `{shop.engine.database}` FORMAT TSV"):
        assert set(endpoint.query(sql).body.decode().split()) == endpoint.views
    for view in endpoint.views:
        endpoint.query(f"SELECT * FROM {view} LIMIT 1")


def test_nothing_is_written_to_files(endpoint: SqlEndpoint, tmp_path: Path) -> None:
    for sql in (
        f"SELECT 1 INTO OUTFILE '{tmp_path}/x'",
        f"SELECT 1) INTO OUTFILE '{tmp_path}/x' -- ",
        f"SELECT 1 INTO /* */ OUTFILE '{tmp_path}/x' FORMAT TSV",
        f"SELECT 1\n INTO\tOUTFILE '{tmp_path}/x' APPEND AND STDOUT",
    ):
        with pytest.raises(SqlRefused):
            endpoint.query(sql)
    assert list(tmp_path.iterdir()) == []


def test_the_session_itself_is_read_only(shop: Store) -> None:
    """The guard aside, the wall behind it stands."""
    endpoint = SqlEndpoint(shop.engine)
    with pytest.raises(SqlRefused, match="READONLY"), endpoint._borrowed() as client:
        client.command("CREATE TABLE x (a UInt8) ENGINE = Memory")
    with pytest.raises(SqlRefused, match="READONLY"), endpoint._borrowed() as client:
        client.command("SET readonly = 0")
    endpoint.close()


def test_parameters(endpoint: SqlEndpoint) -> None:
    given = {"text": "a\\tb\\\\c\\'", "list": "['x\\'y','z']", "n": "-3", "unused": "1", "t": "executions"}  # fmt: skip
    answer = endpoint.query(
        "SELECT {text:String}, {list:Array(String)}[1], {n:Int64}, '100%s' FORMAT JSONCompactEachRow",
        given,
    )
    assert answer.body == b'["a\\tb\\\\c\'", "x\'y", -3, "100%s"]\n'.replace(b", ", b", ")
    assert endpoint.query("SELECT count() FROM {t:Identifier}", given).body == b"1\n"
    with pytest.raises(SqlRefused, match="cannot be read"):
        endpoint.query("SELECT count() FROM {t:Identifier}", {"t": "attempt_fold"})


def test_limits_hold(shop: Store) -> None:
    endpoint = SqlEndpoint(shop.engine, {**LIMITS, "max_result_rows": 100, "max_execution_time": 1})
    with pytest.raises(SqlRefused, match="TOO_MANY_ROWS"):
        endpoint.query("SELECT number FROM numbers(1000)")
    with pytest.raises(SqlRefused, match="TIMEOUT_EXCEEDED"):
        endpoint.query("SELECT max(sipHash64(number)) FROM numbers(1000000000000)")
    assert endpoint.query("SELECT 1").body == b"1\n"
    endpoint.close()


def test_databases_by_their_names(endpoint: SqlEndpoint, shop: Store) -> None:
    for database in ("", "default", shop.engine.database):
        assert endpoint.query("SELECT count() FROM executions", database=database).body == b"1\n"
    with pytest.raises(SqlRefused) as caught:
        endpoint.query("SELECT 1", database="other")
    assert caught.value.code == 81


def test_many_ask_at_once(endpoint: SqlEndpoint) -> None:
    def ask(i: int) -> bytes:
        return endpoint.query(f"SELECT {i}, count() FROM executions, numbers(1000) AS n").body

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(40))) == [f"{i}\t1000\n".encode() for i in range(40)]
