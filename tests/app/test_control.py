"""What other commands ask of a serve: from this machine only, never from a page in a browser."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stallwatch.app.control import control_app
from stallwatch.errors import StoreUnavailable, UsageError


def echo(fields: dict[str, Any]) -> dict[str, Any]:
    match fields.get("fail"):
        case "usage":
            raise UsageError("no such thing")
        case "store":
            raise StoreUnavailable("away")
        case _:
            return fields


def client(peer: str = "127.0.0.1", host: str = "127.0.0.1:8900") -> TestClient:
    return TestClient(control_app({"echo": echo}), base_url=f"http://{host}", client=(peer, 5000))


def test_answers_from_this_machine() -> None:
    assert client().post("/echo", json={"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize(
    ("peer", "host"), [("10.0.0.7", "127.0.0.1"), ("127.0.0.1", "rebound.example.com")]
)
def test_refuses_everyone_else(peer: str, host: str) -> None:
    assert client(peer, host).post("/echo", json={}).status_code == 403


def test_refuses_what_a_form_can_send() -> None:
    answer = client().post("/echo", content="{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(("fail", "status"), [("usage", 400), ("store", 503)])
def test_errors_are_told(fail: str, status: int) -> None:
    answer = client().post("/echo", json={"fail": fail})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_unknown_and_broken() -> None:
    assert client().post("/nope", json={}).status_code == 404
    broken = client().post("/echo", content="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


@pytest.mark.parametrize("content", ["7", "[]", '"x"', "null", "[" * 100_000])
def test_what_is_no_object_is_refused(content: str) -> None:
    answer = client().post("/echo", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]
