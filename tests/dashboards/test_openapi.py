"""The web's OpenAPI document against its routes and its answers."""

from datetime import datetime, timedelta
from urllib.parse import quote

import jsonschema_rs
import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from dashboards.web import web_app
from dashboards.web.api import api_routes
from dashboards.web.feedback import feedback_routes
from dashboards.web.openapi import document
from stallwatch.clock import ManualClock
from stallwatch.model.findings import Incident, Severity
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.dashboards.conftest import HOSTILE, finding, shop_events

OTHERS = {"/healthz", "/readyz", "/metrics"}
"""Described, and not under `/api/`."""


def test_every_route_is_described_and_the_other_way_round(shop: Store, now: datetime) -> None:
    clock = ManualClock(now)
    every = [*api_routes(shop, None, clock), *feedback_routes(None, clock, guarded=False)]
    routes = {route.path for route in every if route.path.startswith("/api/")}
    described = {
        path.replace("{execution_id}", "{execution_id:anything}") for path in document()["paths"]
    }
    assert described == (routes - {"/api/{rest:anything}"}) | OTHERS


def test_it_is_served_and_is_one(client: TestClient) -> None:
    said = client.get("/api/openapi.json")
    assert said.json() == document()
    assert said.headers["content-type"] == "application/json"
    assert said.json()["openapi"].startswith("3.1")


ASKED = [
    ("/api/findings", "/api/findings"),
    ("/api/incidents", "/api/incidents"),
    ("/api/executions", "/api/executions"),
    (f"/api/executions/{quote(HOSTILE, safe='')}", "/api/executions/{execution_id}"),
    ("/api/executions/bad-1", "/api/executions/{execution_id}"),
    ("/api/steps", "/api/steps"),
    ("/api/recommendations", "/api/recommendations"),
    ("/readyz", "/readyz"),
    ("/api/steps?limit=1", "/api/steps"),
    ("/api/executions/nobody", "/api/executions/{execution_id}"),
    ("/api/executions/no%0D%0Abody", "/api/executions/{execution_id}"),
]


def test_answers_are_as_described(store: Store, state: State, now: datetime) -> None:
    store.insert_events(shop_events(now), now, "shop-api")
    store.fold(now)
    store.refresh_statistics()
    state.save_findings([finding(now)])
    opened_at = now - timedelta(minutes=5)
    one = Incident(
        id="i-9", cause="stripe", severity=Severity.CRITICAL, opened_at=opened_at, closed_at=None,
        findings=(finding(now),),
    )  # fmt: skip
    store.write_incidents([one], now)
    columns = ("week", "namespace", "engine", "workflow", "step", "n", "verdict", "written_at")
    row = (now.date(), "default", "custom", "order", "charge", 100, "ok", now)
    store.engine.insert_rows("recommendation_log", columns, [row])
    described = document()
    app = web_app(store, state, ManualClock(now), CollectorRegistry(), lambda: [])
    with TestClient(app) as client:
        for url, path in ASKED:
            answer = client.get(url)
            assert answer.json() != [], url
            said = described["paths"][path]["get"]["responses"][str(answer.status_code)]
            schema = said["content"]["application/json"]["schema"]
            whole = {**schema, "components": described["components"]}
            jsonschema_rs.validate(whole, answer.json())


@pytest.mark.parametrize(
    "query",
    [
        "limit=" + "9" * 5000, "limit=-1", "limit=1e3", "limit=٣", "since=-99999999999999w", "since=-" + "9" * 60000,
        "until=0001-01-01T00:00:00%2B23:59", "since=%00", "status=%ff", "limit=1&limit=x",
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/executions?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01T00:00:00Z", "since=1900-01-01T00:00:00Z&until=9999-12-31T23:59:59Z", "since=-1000000000s",
        "workflow=%00", "workflow=%ff%fe", "workflow='%3B+DROP+TABLE+x", "step=\\", "namespace=" + "x" * 20000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/executions", "/api/steps", "/executions"])
def test_what_is_odd_is_answered(client: TestClient, path: str, query: str) -> None:
    assert client.get(f"{path}?{query}").status_code == 200


def test_another_method_is_told_which_it_could_be(client: TestClient) -> None:
    answer = client.post("/api/findings")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert set(answer.json()) == {"error"}
