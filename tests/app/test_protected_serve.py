"""A `serve` with TLS, client certificates, tokens and redaction: who gets in, and that its commands still work."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import msgspec
import pytest
import trustme

from stallwatch.app.claim import FILE_NAME, Serving
from stallwatch.clock import SystemClock
from stallwatch.config.tokens import Token, add_token, hash_of
from stallwatch.model.durations import rfc3339
from tests.app.running import WAIT_S, Place, Running
from tests.otlp import request

pytestmark = pytest.mark.slow

READER, SENDER = "secret of a reader", "secret of a sender"
PROTECTION = """
[collector]
otlp_http = "127.0.0.1:0"
otlp_grpc = "127.0.0.1:0"
tokens_file = "{folder}/senders.toml"
tls_cert = "{folder}/server.pem"
tls_key = "{folder}/server.key"
tls_client_ca = "{folder}/ca.pem"
redact = ["customer.*", {{ value = '\\d{{4}}-\\d{{4}}' }}, {{ name = "user", do = "hash" }}]
[web]
listen = "127.0.0.1:0"
tokens_file = "{folder}/readers.toml"
tls_cert = "{folder}/server.pem"
tls_key = "{folder}/server.key"
"""


@dataclass
class Protected:
    """A running service and what a client needs to speak to it."""

    place: Place
    running: Running
    web: str
    ingest: str
    context: ssl.SSLContext
    local: Serving

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"{self.web}{path}", verify=self.context, timeout=WAIT_S, **more)


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    folder = tmp_path_factory.mktemp("protected")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    server = ca.issue_cert("127.0.0.1")
    (folder / "server.pem").write_bytes(b"".join(p.bytes() for p in server.cert_chain_pems))
    server.private_key_pem.write_to_path(folder / "server.key")
    (folder / "server.key").chmod(0o600)
    add_token(folder / "readers.toml", Token(name="reader", hash=hash_of(READER)))
    add_token(
        folder / "senders.toml", Token(name="sender", hash=hash_of(SENDER), namespace="billing")
    )
    place = Place(folder)
    text = place.config.read_text()
    begin, end = text.index("[collector]"), text.index("[telemetry]")
    place.config.write_text(text[:begin] + PROTECTION.format(folder=folder) + text[end:])
    context = ssl.create_default_context()
    ca.configure_trust(context)
    ca.issue_cert("client.example", common_name="client").configure_cert(context)
    with place.serving() as running:
        web, ingest = (
            next(line.rpartition(" ")[2].strip() for line in running.said if line.startswith(what))
            for what in ("web: ", "OTLP/HTTP")
        )
        announced = (place.data / FILE_NAME).read_bytes()
        local = msgspec.json.decode(announced, type=Serving)
        yield Protected(place, running, web, ingest, context, local)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def event(execution_id: str, **said: Any) -> dict[str, Any]:
    return {
        "event": "workflow.started",
        "time": rfc3339(SystemClock().now()),
        "workflow": "order",
        "execution_id": execution_id,
        **said,
    }


@pytest.mark.parametrize(
    "path", ["/", "/steps", "/api/findings", "/metrics", "/clickhouse", "/static/stallwatch.css"]
)
def test_pages_need_a_token(path: str, protected: Protected) -> None:
    for headers in ({}, bearer("wrong"), bearer(SENDER), {"X-ClickHouse-Key": "wrong"}):
        answer = protected.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert protected.get(path, headers=bearer(READER)).status_code == 200
    assert protected.get(path, auth=("anyone", READER)).status_code == 200
    assert protected.get(path, headers={"X-ClickHouse-Key": READER}).status_code == 200


def test_whoever_watches_needs_none(protected: Protected) -> None:
    assert protected.get("/healthz").status_code == 200
    assert protected.get("/readyz").status_code == 200


def test_refusals_are_counted(protected: Protected) -> None:
    protected.get("/")
    metrics = protected.get("/metrics", headers=bearer(READER)).text
    assert 'web_unauthorized_total{reason="missing"}' in metrics


def test_every_listener_counts_the_connections_that_it_ends(protected: Protected) -> None:
    metrics = protected.get("/metrics", headers=bearer(READER)).text
    for server in ("otlp-http", "otlp-http-local", "web", "web-local"):
        labels = f'reason="gave_way",server="{server}"'
        assert f"stallwatch_connections_ended_total{{{labels}}} 0.0" in metrics


def test_clickhouses_clients_send_the_token_as_a_password(protected: Protected) -> None:
    host, _, port = protected.web.removeprefix("https://").rpartition(":")
    settings: dict[str, Any] = {
        "interface": "https",
        "host": host,
        "port": int(port),
        "proxy_path": "/clickhouse",
        "database": "stallwatch",
        "username": "me",
        "ca_cert": str(protected.place.folder / "ca.pem"),
    }
    client = clickhouse_connect.get_client(**settings, password=READER)
    assert client.query("SELECT 1").result_rows == [(1,)]
    with pytest.raises(clickhouse_connect.driver.exceptions.Error, match="516"):
        clickhouse_connect.get_client(**settings, password="wrong")


def test_commands_still_work(protected: Protected, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps([event("imported", namespace="anywhere")]))
    assert protected.place.here("import", "events", str(file)).code == 0
    shown = protected.place.here("executions", "--format", "json", "--namespace", "anywhere")
    assert [row["execution_id"] for row in shown.data] == ["imported"]
    assert protected.place.here("forget", "imported", "--yes").code == 0
    assert protected.place.here("detect").code in (0, 1)
    doctor = protected.place.here("doctor", "--format", "json")
    assert (doctor.code, [row for row in doctor.data if not row["ok"]]) == (0, [])
    said = {row["check"]: row["detail"] for row in doctor.data}
    assert "1 tokens" in said["collector protection"]
    assert "TLS with client certificates" in said["collector protection"]
    assert said["web protection"].endswith("TLS")
    assert said["detectors"] == "judge"


def test_the_way_for_commands_is_closed_to_others(protected: Protected) -> None:
    assert (protected.place.data / FILE_NAME).stat().st_mode & 0o777 == 0o600
    local = protected.local
    assert local.web.startswith("http://127.0.0.1:")
    for token in ({}, bearer(READER), bearer(SENDER)):
        for url in (f"{local.web}/", f"{local.ingest}/v1/events"):
            assert httpx.get(url, headers=token, timeout=WAIT_S).status_code == 401
        answer = httpx.post(f"{local.web}/control/fold", json={}, headers=token, timeout=WAIT_S)
        assert answer.status_code == 401
    answer = httpx.post(f"{local.web}/control/fold", json={}, headers=local.headers, timeout=WAIT_S)
    assert answer.json() == {"folded": True}


def test_what_is_configured_is_redacted_before_it_is_stored(protected: Protected) -> None:
    attributes = {"customer.mail": "a@b.c", "card": "no 1234-5678", "user": "ada", "note": "kept"}
    answer = httpx.post(
        f"{protected.ingest}/v1/events",
        json=[event("redacted", attributes=attributes), event("other", namespace="shop")],
        headers=bearer(SENDER),
        verify=protected.context,
        timeout=WAIT_S,
    )
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    rows = protected.get(
        "/clickhouse",
        params={
            "query": "SELECT namespace, attributes FROM step_events WHERE execution_id = 'redacted'",
            "default_format": "JSONEachRow",
        },
        headers=bearer(READER),
    )
    row = json.loads(rows.text)
    assert row["namespace"] == "billing"
    user = row["attributes"].pop("user")
    assert user.startswith("sha256:")
    assert row["attributes"] == {
        "customer.mail": "[redacted]",
        "card": "no [redacted]",
        "note": "kept",
    }


def test_what_spans_say_of_a_namespace_does_not_count(protected: Protected) -> None:
    at_ns = int(SystemClock().now().timestamp()) * 10**9
    root = {
        "trace_id": "1" * 32,
        "span_id": "1" * 16,
        "name": "order",
        "start_ns": at_ns,
        "attributes": {
            "stallwatch.workflow": "order",
            "stallwatch.execution_id": "by-span",
            "stallwatch.namespace": "shop",
        },
    }
    answer = httpx.post(
        f"{protected.ingest}/v1/traces",
        content=request([root]),
        headers={**bearer(SENDER), "Content-Type": "application/x-protobuf"},
        verify=protected.context,
        timeout=WAIT_S,
    )
    assert answer.status_code == 200
    shown = protected.place.here("executions", "--format", "json", "--workflow", "order")
    rows = {row["execution_id"]: row["namespace"] for row in shown.data}
    assert rows["by-span"] == "billing"
