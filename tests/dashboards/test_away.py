"""What a reader is told when the store's server is away, refuses, or hides behind a proxy that is in trouble."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from dashboards.web import web_app
from stallwatch.clock import ManualClock
from stallwatch.store import Store, sql_endpoint
from stallwatch.store.engine import Address, Engine
from stallwatch.store.sql_endpoint import QUERIES_MAX, SqlEndpoint
from stallwatch.store.state import State
from tests.clickhouse_twin import Handler, Twin

PAGES = ("/", "/executions")
API = ("/api/steps", "/api/incidents")
SQL = "/clickhouse?query=SELECT+count()+FROM+executions"
PROXY = b"<html>\n<title>proxy.internal</title> asked 10.1.2.3 for watcher:secret"
AWAY, REFUSES = "the store is away: ", "the store refuses: "


@dataclass(frozen=True)
class Trouble:
    """What is answered in the place of the server."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def of_clickhouse(code: int) -> Trouble:
    text = f"Code: {code}. DB::Exception: watcher: 10.1.2.3 says no."
    return Trouble(500, text.encode(), {"X-ClickHouse-Exception-Code": str(code)})


class Server(Twin):
    """A server in front of the shop, until there is trouble."""

    trouble: Trouble | None = None


class Answering(Handler):
    """Answers as the server does."""

    server: Server

    def _run(self, body: bytes) -> None:
        trouble = self.server.trouble
        if trouble is None:
            super()._run(body)
        else:
            self._answer(trouble.status, trouble.body, dict(trouble.headers))


@pytest.fixture
def server(shop: Store) -> Iterator[Server]:
    server = Server(str(shop.engine.address.path), 0, "")
    server.RequestHandlerClass = Answering
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(shop: Store, server: Server) -> Iterator[Store]:
    """The shop by way of the server."""
    address = Address(
        host="127.0.0.1", port=server.server_port, username="watcher", password="secret"
    )
    store = Store(Engine(address, shop.engine.database))
    yield store
    store.close()


@pytest.fixture
def endpoint(remote: Store) -> Iterator[SqlEndpoint]:
    endpoint = SqlEndpoint(remote.engine)
    yield endpoint
    endpoint.close()


@pytest.fixture
def client(
    remote: Store, endpoint: SqlEndpoint, state: State, now: datetime
) -> Iterator[TestClient]:
    app = web_app(remote, state, ManualClock(now), CollectorRegistry(), list, endpoint)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("known", [True, False], ids=["connected", "new"])
@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (Trouble(502, PROXY, {}), AWAY),
        (Trouble(403, PROXY, {}), AWAY),
        (Trouble(400, PROXY, {}), REFUSES),
        (of_clickhouse(210), AWAY),
        (of_clickhouse(202), AWAY),
        (of_clickhouse(516), REFUSES),
    ],
    ids=["502", "403", "400", "network", "busy", "password"],
)
def test_readers_are_told_to_come_again(
    client: TestClient, server: Server, trouble: Trouble, says: str, known: bool
) -> None:
    if known:
        assert {client.get(path).status_code for path in ("/api/incidents", SQL)} == {200}
    server.trouble = trouble
    for path in (*PAGES, *API, SQL):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
        assert says in answer.text
        for secret in ("10.1.2.3", "proxy", "watcher", "secret", str(server.server_port)):
            assert secret not in answer.text, path
        if path in PAGES:
            assert answer.headers["content-type"].startswith("text/html")
            assert "<nav" in answer.text
        elif path in API:
            assert answer.json()["error"].startswith(says)
        else:
            assert answer.headers["x-clickhouse-exception-code"] == "210"
            assert answer.text.startswith(f"Code: 210. DB::Exception: {says}")
    server.trouble = None
    assert {client.get(path).status_code for path in ("/api/incidents", SQL)} == {200}


def test_a_log_says_what_a_reader_is_not_told(
    client: TestClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.trouble = of_clickhouse(516)
    for path in ("/executions", "/api/steps", SQL):
        caplog.clear()
        client.get(path)
        (record,) = (each for each in caplog.records if each.name == "dashboards.web.away")
        assert "10.1.2.3 says no" in record.__dict__["reason"]


def test_what_takes_too_long_is_another_matter(client: TestClient, server: Server) -> None:
    assert client.get(SQL).status_code == 200
    server.trouble = of_clickhouse(159)
    for path in ("/executions", "/api/steps"):
        answer = client.get(path)
        assert (answer.status_code, AWAY in answer.text) == (503, False)
        assert "retry-after" not in answer.headers
    assert client.get(SQL).status_code == 408


def test_what_a_server_says_of_a_query_comes_without_its_address(
    client: TestClient, server: Server
) -> None:
    answer = client.get("/clickhouse?query=SELECT+nope+FROM+executions")
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (404, "47")
    assert answer.text.startswith("Code: 47. DB::Exception: ")
    assert "nope" in answer.text
    assert str(server.server_port) not in answer.text
    assert answer.text.count("Code: ") == 1


def test_too_many_queries_are_not_a_store_that_is_away(
    client: TestClient, endpoint: SqlEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_endpoint, "WAIT_S", 0.01)
    with ExitStack() as running:
        for _ in range(QUERIES_MAX):
            running.enter_context(endpoint._borrowed())
        answer = client.get(SQL)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (503, "202")
    assert answer.text.startswith("Code: 202. DB::Exception: too many queries are running")
    assert answer.headers["retry-after"]
    assert client.get(SQL).status_code == 200


def test_findings_that_are_judged_elsewhere_have_nothing_to_do_with_the_store(
    shop: Store, now: datetime
) -> None:
    app = web_app(shop, None, ManualClock(now), CollectorRegistry(), list, guarded=True)
    with TestClient(app) as client:
        answer = client.post("/api/findings/f/feedback", json={"verdict": "real"})
    assert (answer.status_code, answer.json()) == (503, {"error": "findings are judged elsewhere"})
