"""Saying through the web whether a finding was right, and who may."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import jsonschema_rs
import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from dashboards.web import web_app
from dashboards.web.openapi import document
from stallwatch.clock import ManualClock
from stallwatch.model.findings import Status
from stallwatch.store import Store
from stallwatch.store.labels import labels
from stallwatch.store.state import State
from tests.dashboards.conftest import finding

HERE = "http://127.0.0.1:8900"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BUDGET: list[dict[str, Any]] = [
    {
        "detector": "stalled_step", "shared_with": ["overdue_wait"], "allowed_per_week": 0.36,
        "false_alarms_7d": 2, "from_late_completions_7d": 1, "from_feedback_7d": 1, "false_alarms_28d": 3,
        "from_late_completions_28d": 2, "from_feedback_28d": 1, "completed_late_28d": 9,
        "expected_per_week": 0.5, "overspend_per_week": 0.14,
    }
]  # fmt: skip


def client_of(store: Store, state: State, now: datetime, guarded: bool = False) -> TestClient:
    app = web_app(
        store, state, ManualClock(now), CollectorRegistry(), list,
        budget=lambda: BUDGET, guarded=guarded,
    )  # fmt: skip
    return TestClient(app, base_url=HERE, follow_redirects=False)


@pytest.fixture
def client(store: Store, state: State, now: datetime) -> Iterator[TestClient]:
    state.save_findings([finding(now)])
    with client_of(store, state, now) as client:
        yield client


def path(now: datetime) -> str:
    return f"/findings/{finding(now).fingerprint}/feedback"


def test_a_program_says_it(client: TestClient, state: State, now: datetime) -> None:
    answer = client.post(f"/api{path(now)}", json={"verdict": "false-alarm", "note": "as ever"})
    assert (answer.status_code, answer.json()["false_alarm"]) == (200, True)
    (label,) = labels(state)
    assert (label.note, label.by, label.changed_at) == ("as ever", "api", now)
    described = document()
    said = described["paths"]["/api/findings/{fingerprint}/feedback"]["post"]["responses"]["200"]
    schema = said["content"]["application/json"]["schema"]
    jsonschema_rs.validate({**schema, "components": described["components"]}, answer.json())


def test_a_reader_says_it_and_is_where_he_was(
    client: TestClient, state: State, now: datetime
) -> None:
    page = client.get("/").text
    assert f'action="{path(now)}"' in page
    where = {"Origin": HERE, "Referer": f"{HERE}/?incident=i-1"}
    answer = client.post(path(now), content="verdict=real&note=a+b", headers={**FORM, **where})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?incident=i-1")
    assert [(one.verdict, one.note, one.by) for one in labels(state)] == [("real", "a b", "web")]
    page = client.get("/").text
    assert "Somebody said: real" in page
    assert "a b" in page


@pytest.mark.parametrize("referer", ["http://evil.test/x", "", f"{HERE}//evil.test/x"])
def test_nobody_is_sent_to_another_server(client: TestClient, now: datetime, referer: str) -> None:
    headers = {**FORM, "Origin": HERE, "Referer": referer}
    answer = client.post(path(now), content="verdict=real", headers=headers)
    assert answer.headers["location"] in ("/", "/evil.test/x")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Origin": "http://rebound.test:8900", "Host": "rebound.test:8900"}, 403),
        ({"Origin": HERE, "Content-Type": "text/plain"}, 415),
    ],
)
def test_another_page_cannot_say_it(
    client: TestClient, state: State, now: datetime, headers: dict[str, str], status: int
) -> None:
    answer = client.post(path(now), content="verdict=real", headers={**FORM, **headers})
    assert answer.status_code == status
    assert labels(state) == []


def test_nor_through_the_api(client: TestClient, state: State, now: datetime) -> None:
    api = f"/api{path(now)}"
    evil = {"Origin": "http://evil.test"}
    assert client.post(api, json={"verdict": "real"}, headers=evil).status_code == 403
    assert client.post(api, content='{"verdict":"real"}', headers=FORM).status_code == 415
    rebound = {"Host": "rebound.test"}
    assert client.post(api, json={"verdict": "real"}, headers=rebound).status_code == 403
    assert client.get(api).status_code in (404, 405)
    assert labels(state) == []


def test_with_a_token_the_name_does_not_matter(store: Store, state: State, now: datetime) -> None:
    state.save_findings([finding(now)])
    with client_of(store, state, now, guarded=True) as client:
        named = {"Host": "stallwatch.example"}
        answer = client.post(f"/api{path(now)}", json={"verdict": "real"}, headers=named)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b'{"verdict":"maybe"}', 400, "false-alarm, real"),
        (b'{"verdict":7}', 400, "verdict"),
        (b'{"verdict":"real","note":[1]}', 400, "note"),
        (b'{"verdict":"real","note":"' + b"x" * 1001 + b'"}', 400, "note"),
        (b"[]", 400, "object"),
        (b"{", 400, "JSON"),
        (b"[" * 12_000, 400, "JSON"),
        (b'{"note":"' + b"x" * 20_000 + b'"}', 413, "bytes"),
    ],
)
def test_what_is_wrong_is_told(
    client: TestClient, now: datetime, body: bytes, status: int, word: str
) -> None:
    answer = client.post(
        f"/api{path(now)}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert word in answer.json()["error"]


def test_a_finding_that_is_not_there(client: TestClient) -> None:
    answer = client.post("/api/findings/nobody/feedback", json={"verdict": "real"})
    assert (answer.status_code, answer.json()) == (
        404, {"error": "fingerprint: there is no finding 'nobody'"},
    )  # fmt: skip


def test_what_is_only_suspected_is_not_asked_about(
    client: TestClient, state: State, now: datetime
) -> None:
    state.save_findings([replace(finding(now), status=Status.PENDING)])
    assert "Was this right?" not in client.get("/").text


def test_what_became_of_the_budget(client: TestClient) -> None:
    assert client.get("/api/budget").json() == BUDGET
    assert client.get("/api/budget?limit=1").status_code == 400
    page = client.get("/").text
    assert "2 false alarms known in the last 7 days" in page
    assert "0.36" in page
