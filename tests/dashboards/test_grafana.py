"""The Grafana dashboards: committed as generated, and every query runs over the public views."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import dashboards.grafana
from dashboards.grafana import export, panel_queries, render_all
from dashboards.grafana.board import sql
from stallwatch.store import Store
from stallwatch.store.sql_endpoint import SqlEndpoint
from tests.dashboards.conftest import finding

FOLDER = Path(dashboards.grafana.__file__).parent
CHOSEN = {
    "namespace": ["default", "it's"], "engine": ["custom"], "workflow": ["order"], "step": ["charge"],
}  # fmt: skip


def test_the_committed_files_are_the_generated_ones(tmp_path: Path) -> None:
    generated = {path.name: path.read_text() for path in export(tmp_path / "new")}
    assert generated == {path.name: path.read_text() for path in (FOLDER / "json").iterdir()}
    assert len(generated) == 5


def test_dashboards_have_what_grafana_needs() -> None:
    for text in render_all().values():
        board = json.loads(text)
        assert board["uid"].startswith("stallwatch-")
        names = [variable["name"] for variable in board["templating"]["list"]]
        assert names[:2] == ["datasource", "namespace"]
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids) >= 5
        for panel in board["panels"]:
            assert panel["datasource"]["uid"] == "${datasource}"
            for target in panel["targets"]:
                drawn = panel["type"] == "timeseries"
                assert target["queryType"] == ("timeseries" if drawn else "table")


def test_every_query_runs_as_grafana_sends_it(shop: Store, now: datetime) -> None:
    shop.write_findings([finding(now)], now)
    endpoint = SqlEndpoint(shop.engine)
    seen = set()
    for chosen in ({}, CHOSEN):
        for query in panel_queries(now - timedelta(hours=24), now, 3600, chosen):
            assert "$" not in query.sql, query
            answer = endpoint.query(query.sql, default_format="JSON")
            result = json.loads(answer.body)
            if "time" in [column["name"] for column in result["meta"]]:
                assert result["meta"][0]["name"] == "time", query
                assert result["meta"][0]["type"].startswith("DateTime"), query
            if result["data"]:
                seen.add(query.panel)
    endpoint.close()
    # What the shop's story must show; the others only have to run.
    assert {
        "Running", "Failed", "Started", "Ended", "Open longest", "Lately failed", "p50", "p95", "p99",
        "Open now", "Errors", "Most attempts", "Firing now", "Step events", "Lag, p95", "Senders",
        "variable step", "Attempts by outcome",
    } <= seen  # fmt: skip


def test_the_numbers_are_right(shop: Store, now: datetime) -> None:
    endpoint = SqlEndpoint(shop.engine)
    queries = {
        (q.dashboard, q.panel): q.sql for q in panel_queries(now - timedelta(hours=24), now, 3600)
    }
    failed = endpoint.query(queries["executions.json", "Failed"]).body
    assert failed == b"2\n"
    [p95] = json.loads(
        endpoint.query(queries["step-latency.json", "p95"], default_format="JSON").body
    )["data"]
    assert 92 < p95["p95_s"] < 98
    endpoint.close()


def test_no_query_file_is_left_over() -> None:
    used = {query for text in render_all().values() for query in _queries(json.loads(text))}
    files = {path.stem for path in (FOLDER / "sql").iterdir()}
    assert {name for name in files if sql(name) not in used} == set()


def _queries(board: dict[str, object]) -> list[str]:
    text = json.dumps(board)
    found = []
    decoder = json.JSONDecoder()
    for key in ('"rawSql": ', '"query": '):
        start = text.find(key)
        while start >= 0:
            found.append(decoder.raw_decode(text, start + len(key))[0])
            start = text.find(key, start + 1)
    return found
