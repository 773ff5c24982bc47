"""The Grafana dashboards: committed as generated, and every query runs over the public views."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dashboards.grafana
from dashboards.grafana import export, panel_queries, render_all
from dashboards.grafana.board import sql
from stallwatch.clock import SystemClock
from stallwatch.model.findings import Incident, Severity
from stallwatch.store import Store
from stallwatch.store.forgetting import Retention
from stallwatch.store.sql_endpoint import SqlEndpoint
from tests.dashboards.conftest import event, finding

FOLDER = Path(dashboards.grafana.__file__).parent
CHOSEN = {
    "namespace": ["default", "it's"], "engine": ["custom"], "workflow": ["order"], "step": ["charge"],
}  # fmt: skip

PER_WINDOW = (
    "p50", "p95", "p99", "Attempts by outcome", "Share that fails or times out", "Share that is a retry",
)  # fmt: skip


def shown(
    store: Store,
    since: datetime,
    until: datetime,
    chosen: Mapping[str, Sequence[str]] | None = None,
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The rows of every panel, by its dashboard and title."""
    endpoint = SqlEndpoint(store.engine)
    rows = {}
    for query in panel_queries(since, until, 60, chosen):
        answer = endpoint.query(query.sql, default_format="JSON")
        rows[query.dashboard, query.panel] = json.loads(answer.body)["data"]
    endpoint.close()
    return rows


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


def test_a_step_that_backs_off_is_open(store: Store, now: datetime) -> None:
    store.insert_events(
        [
            event(now, 120, "workflow.started", "o-1"),
            event(now, 120, "step.started", "o-1", step="charge"),
            event(now, 60, "step.retrying", "o-1", step="charge"),
            event(now, 90, "step.waiting", "o-1", step="approve", waiting_on="human"),
        ],
        now,
        "test",
    )
    store.fold(now)
    rows = shown(store, now - timedelta(hours=1), now)
    for panel, age in (
        (("step-latency.json", "Open now"), "oldest_s"),
        (("stalls.json", "Open longest"), "age_s"),
    ):
        assert [(row["step"], row["status"], int(row[age])) for row in rows[panel]] == [
            ("charge", "backing_off", 120),
            ("approve", "waiting", 90),
        ]


@pytest.mark.parametrize(("ago", "width_s"), [(1, 60), (3, 3600), (40, 86400)])
def test_a_look_into_the_past_shows_what_is_kept_of_it(
    store: Store, ago: int, width_s: int
) -> None:
    # How old something is, the panels ask ClickHouse.
    today = SystemClock().now()
    then = today - timedelta(days=ago)
    store.insert_events(
        [
            event(then, 20, "workflow.started", "o-1"),
            event(then, 10, "step.started", "o-1", step="charge"),
            event(then, 5, "step.completed", "o-1", step="charge"),
            event(then, 5, "workflow.completed", "o-1"),
        ],
        then,
        "test",
    )
    store.fold(then)
    store.refresh_statistics()
    store.retain(today, Retention(spans_s=0, events_s=1e8, closed_s=1e8, statistics_s=1e8))
    since, until = then - timedelta(minutes=30), then + timedelta(minutes=30)
    panels = shown(store, since, until)
    drawn = {title: rows for (_, title), rows in panels.items() if title in PER_WINDOW}
    assert {title: len(rows) for title, rows in drawn.items()} == dict.fromkeys(PER_WINDOW, 1)
    ended = int((then - timedelta(seconds=5)).timestamp())
    began = max(ended // width_s * width_s, int(since.timestamp()))
    for (row,) in drawn.values():
        assert int(datetime.fromisoformat(f"{row['time']}Z").timestamp()) == began


def test_the_same_step_elsewhere_is_another_curve(store: Store, now: datetime) -> None:
    def events(execution_id: str, **where: str) -> list[Any]:
        return [
            event(now, 95, "workflow.started", execution_id, **where),
            event(now, 95, "step.scheduled", execution_id, step="charge", **where),
            event(now, 90, "step.started", execution_id, step="charge", **where),
            event(now, 80, "step.completed", execution_id, step="charge", **where),
            event(now, 80, "workflow.completed", execution_id, **where),
        ]

    def names() -> dict[str, set[str]]:
        store.fold(now)
        store.refresh_statistics()
        panels = shown(store, now - timedelta(minutes=30), now)
        titles = {*PER_WINDOW, "Time in queue, p95"} - {"Attempts by outcome"}
        return {
            title: {row["name"] for row in rows}
            for (_, title), rows in panels.items()
            if title in titles
        }

    store.insert_events(events("o-1"), now, "test")
    assert set().union(*names().values()) == {"order / charge", "no queue"}
    store.insert_events(events("o-1", namespace="other"), now, "test")
    store.insert_events(events("o-1", namespace="other", engine="dbos"), now, "test")
    places = {"default / custom", "other / custom", "other / dbos"}
    found = names()
    assert found.pop("Time in queue, p95") == {f"{place} / no queue" for place in places}
    for title, series in found.items():
        assert series == {f"{place} / order / charge" for place in places}, title


def test_incidents_follow_the_variables(store: Store, now: datetime) -> None:
    for namespace in ("default", "other"):
        one = finding(now, namespace=namespace, fingerprint=namespace)
        store.write_findings([one], now)
        incident = Incident(
            id=namespace,
            cause=f"trouble in {namespace}",
            severity=Severity.CRITICAL,
            opened_at=now,
            closed_at=None,
            findings=(one,),
        )
        store.write_incidents([incident], now)

    def incidents(chosen: Mapping[str, Sequence[str]]) -> tuple[int, set[str]]:
        rows = shown(store, now - timedelta(hours=1), now, chosen)
        (number,) = rows["stalls.json", "Open incidents"]
        return int(number["open"]), {row["cause"] for row in rows["stalls.json", "Incidents"]}

    assert incidents({}) == (2, {"trouble in default", "trouble in other"})
    assert incidents({"namespace": ["other"]}) == (1, {"trouble in other"})
    assert incidents({"workflow": ["refund"]}) == (0, set())


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
