"""ClickHouse's HTTP interface, spoken by its own client over a real socket, and by hand."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from starlette.testclient import TestClient

from stallwatch.store import Store
from tests.dashboards.conftest import HOSTILE


@pytest.fixture
def connected(port: int, shop: Store) -> Iterator[Client]:
    client = clickhouse_connect.get_client(
        interface="http", host="127.0.0.1", port=port, proxy_path="/clickhouse",
        database=shop.engine.database, tz_mode="aware",
    )  # fmt: skip
    yield client
    client.close()


def test_the_client_connects_and_asks(connected: Client) -> None:
    assert connected.ping()
    assert connected.server_version
    assert connected.protocol_version
    result = connected.query(
        "SELECT execution_id, status, started_at, duration_s FROM executions "
        "WHERE status IN {wanted:Array(String)} AND execution_id != {other:String} ORDER BY execution_id",
        parameters={"wanted": ["failed", "it's"], "other": "tab\tback\\slash'quote"},
    )
    assert [row[0] for row in result.result_rows] == ["bad-1", "bad-2"]
    assert isinstance(result.result_rows[0][2], datetime)
    assert result.result_rows[0][3] == 10.0


def test_frames_maps_arrays_and_nulls(connected: Client) -> None:
    frame = connected.query_df("SELECT step, attempt, ended_at FROM attempts ORDER BY step")
    assert len(frame) == 105
    rows = connected.query(
        "SELECT number AS n, toLowCardinality(toString(number % 3)) AS s, [n, n + 1] AS a, map('k', n) AS m, "
        "if(n = 1, NULL, n) AS x, (n, 'y') AS t FROM numbers(70000)"
    ).result_rows
    assert len(rows) == 70000
    assert rows[1] == (1, "1", [1, 2], {"k": 1}, None, (1, "y"))
    assert rows[69999][3] == {"k": 69999}
    assert connected.query("SELECT * FROM attempts WHERE step = 'none'").result_rows == []
    assert connected.query("SELECT * FROM spans LIMIT 0").column_names[0] == "trace_id"
    assert connected.command("SELECT count() FROM attempts") == 105


def test_streams_and_formats(connected: Client) -> None:
    with connected.query_row_block_stream("SELECT execution_id FROM executions") as stream:
        assert sum(len(block) for block in stream) == 103
    lines = connected.raw_query("SELECT step FROM attempts LIMIT 3", fmt="JSONEachRow")
    assert len(lines.splitlines()) == 3
    table = connected.query_arrow("SELECT execution_id FROM executions")
    assert table.num_rows == 103


def test_errors_arrive_as_errors(connected: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_IDENTIFIER") as caught:
        connected.query("SELECT nope FROM executions")
    assert caught.value.code == 47
    with pytest.raises(DatabaseError, match="attempt_fold cannot be read here"):
        connected.query("SELECT count() FROM attempt_fold")
    with pytest.raises(DatabaseError, match="INSERT cannot be used here"):
        connected.command("INSERT INTO executions VALUES (1)")


def test_an_old_client_without_protocol(client: TestClient) -> None:
    assert client.get("/clickhouse/ping").text == "Ok.\n"
    assert client.get("/clickhouse").text == "Ok.\n"
    assert client.head("/clickhouse/ping").status_code == 200
    answer = client.post(
        "/clickhouse/?default_format=JSONCompact", content="SELECT count() FROM executions"
    )
    assert answer.json()["data"] == [[103]]
    assert answer.headers["x-clickhouse-format"] == "JSONCompact"
    assert answer.headers["x-clickhouse-timezone"]
    assert json.loads(answer.headers["x-clickhouse-summary"])["result_bytes"]
    bound = client.get(
        "/clickhouse",
        params={
            "query": "SELECT status FROM executions WHERE execution_id = {id:String}",
            "param_id": HOSTILE,
        },
    )
    assert bound.text == "running\n"


def test_compression_both_ways(client: TestClient) -> None:
    sql = "SELECT execution_id, step, status FROM attempts ORDER BY ALL"
    plain = client.post("/clickhouse", content=sql, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = client.post(
        "/clickhouse",
        content=gzip.compress(sql.encode()),
        headers={"Accept-Encoding": "gzip", "Content-Encoding": "gzip"},
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text
    bomb = gzip.compress(b" " * 50_000_000)
    answer = client.post("/clickhouse", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 403


def test_refusals_have_a_status_and_a_code(client: TestClient) -> None:
    for sql, status, code in (
        ("SELECT * FROM span_log", 403, "497"),
        ("SELECT 1 FROM nowhere.nothing", 403, "497"),
        ("SELEC 1", 400, "62"),
        ("SELECT 1 FORMAT Nonsense", 404, "73"),
        ("SELECT nonsense(1)", 404, "46"),
        ("SELECT 1 SETTINGS readonly = 0", 400, "164"),
    ):
        answer = client.post("/clickhouse", content=sql)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)
        assert answer.text.startswith(f"Code: {code}.")
        assert (answer.text.count("Code: "), answer.text.count("version")) <= (1, 1)
    unknown = client.post(
        "/clickhouse?default_format=Native&client_protocol_version=54460",
        content="SELECT '{}'::JSON",
    )
    assert (unknown.status_code, "cast it to String" in unknown.text) == (403, True)
    assert unknown.text.startswith("Code: 497. DB::Exception: ")
    missing = client.post("/clickhouse?database=elsewhere", content="SELECT 1")
    assert missing.status_code == 404
    framed = client.post("/clickhouse?compress=1", content="SELECT 1")
    assert framed.status_code == 403
    form = client.post("/clickhouse", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert form.status_code == 403


def test_a_query_has_the_name_that_was_given_to_it(client: TestClient) -> None:
    name = "X-ClickHouse-Query-Id"
    assert client.get("/clickhouse?query=SELECT+1&query_id=mine").headers[name] == "mine"
    assert client.get("/clickhouse?query=SELEC+1&query_id=mine").headers[name] == "mine"
    first, second = (client.get("/clickhouse?query=SELECT+1").headers[name] for _ in range(2))
    assert first != second
    odd = client.get("/clickhouse", params={"query": "SELECT 1", "query_id": "a\r\nb: c"})
    assert (odd.status_code, "b" in odd.headers) == (200, False)


def test_as_grafana_connects(port: int, shop: Store) -> None:
    """What its data source's driver (clickhouse-go over HTTP) sends first: the newest protocol, Native, gzip."""
    url = f"http://127.0.0.1:{port}/clickhouse"
    asked = {
        "database": "default", "default_format": "Native", "client_protocol_version": "54460",
        "max_execution_time": "60", "enable_http_compression": "1",
    }  # fmt: skip
    answer = httpx.post(
        url,
        params=asked,
        content="SELECT displayName(), version(), revision(), timezone()",
        headers={"Accept-Encoding": "gzip"},
        trust_env=False,
    )
    assert answer.status_code == 200
    # A block info, four columns, one row; the name, the type, and a byte that says "serialized as usual".
    assert answer.content.startswith(
        b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01\x0ddisplayName()\x06String\x00"
    )
