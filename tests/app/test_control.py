"""What other commands ask of a serve: from this machine only, never from a page in a browser."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from stallwatch.app.connections import ended_counter
from stallwatch.app.control import GoOn, LongWork, control_app
from stallwatch.app.listening import HttpServer, bind
from stallwatch.errors import StoreUnavailable, Transient, UsageError

WAIT_S = 30.0


def echo(fields: dict[str, Any]) -> dict[str, Any]:
    match fields.get("fail"):
        case "usage":
            raise UsageError("no such thing")
        case "store":
            raise StoreUnavailable("away")
        case _:
            return fields


def client(peer: str = "127.0.0.1", host: str = "127.0.0.1:8900") -> TestClient:
    app = control_app({"echo": echo}, {"long": lambda fields, _go_on: echo(fields)}, LongWork())
    return TestClient(app, base_url=f"http://{host}", client=(peer, 5000))


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


def test_what_takes_long_is_answered_like_the_rest() -> None:
    assert client().post("/long", json={"a": 1}).json() == {"a": 1}
    assert client().post("/long", json={"fail": "usage"}).status_code == 400


class Endless:
    """A handler that works until it is told not to go on."""

    def __init__(self) -> None:
        self.begun, self.given_up = threading.Event(), threading.Event()

    def __call__(self, _fields: dict[str, Any], go_on: GoOn) -> None:
        self.begun.set()
        try:
            while not self.given_up.wait(0.01):
                go_on()
        except Transient:
            self.given_up.set()
            raise


@contextmanager
def served(endless: Endless, work: LongWork) -> Iterator[str]:
    app = control_app({}, {"endless": endless}, work)
    server = HttpServer(
        "control", app, bind("test", "127.0.0.1:0"), ended_counter(CollectorRegistry())
    )
    server.start()
    try:
        yield f"{server.url}/endless"
    finally:
        # Also where the test failed.
        endless.given_up.set()
        server.stop()


def test_it_ends_when_its_asker_is_gone() -> None:
    endless = Endless()
    with served(endless, LongWork()) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json={}, timeout=0.5)
        assert endless.begun.is_set()
        assert endless.given_up.wait(WAIT_S)


def test_a_stop_gives_it_up_and_waits_for_it() -> None:
    endless, work = Endless(), LongWork()
    with served(endless, work) as url, ThreadPoolExecutor(1) as asker:
        asked = asker.submit(httpx.post, url, json={}, timeout=WAIT_S)
        assert endless.begun.wait(WAIT_S)
        work.stop()
        assert endless.given_up.is_set()
        answer = asked.result(WAIT_S)
        assert (answer.status_code, "stopping" in answer.json()["error"]) == (503, True)
        assert httpx.post(url, json={}, timeout=WAIT_S).status_code == 503
