"""Tokens, TLS and client certificates in front of the collector, with real senders over real sockets."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from prometheus_client import CollectorRegistry

from collector.otlp import TRACES
from collector.service import Collector
from stallwatch.app.connections import ended_counter
from stallwatch.app.listening import HttpServer, bind
from stallwatch.app.tls import Tls, tls_of
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.config.tokens import Token, add_token, hash_of
from stallwatch.errors import ConfigError
from stallwatch.store import Body, EventRow
from tests.collector.helpers import NOW, FakeStore, span, step_event, trace_request

WAIT_S = 30.0
SECRET = {"billing": "secret of billing", "free": "secret of free"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass
class Bodies(FakeStore):
    """Remembers what else is known of each body and event."""

    bodies: list[Body] = field(default_factory=list)
    rows: list[EventRow] = field(default_factory=list)

    def insert_otlp(self, bodies: Sequence[Body], token: str = "") -> None:
        self.bodies += bodies

    def insert_event_rows(self, rows: Sequence[EventRow], token: str = "") -> None:
        self.rows += rows


@dataclass
class Protected:
    """A collector with its addresses."""

    store: Bodies
    clock: ManualClock
    registry: CollectorRegistry
    url: str
    grpc_address: str

    def post(
        self, token: str | None = None, path: str = "/v1/traces", **more: Any
    ) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= more.pop("headers", PROTOBUF)
        more.setdefault("content", trace_request(span(1)))
        return httpx.post(f"{self.url}{path}", headers=headers, timeout=WAIT_S, **more)

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"collector_{name}_total", labels) or 0.0


@contextmanager
def collecting(config: CollectorConfig) -> Iterator[Protected]:
    tls = tls_of("collector", config)
    store, clock, registry = Bodies(), ManualClock(NOW), CollectorRegistry()
    collector = Collector(config, store, clock, registry)
    server = HttpServer(
        "test",
        collector.http_app,
        bind("test", "127.0.0.1:0"),
        ended_counter(registry),
        None if tls is None else tls.context,
    )
    server.start()
    try:
        credentials = None if tls is None else tls.grpc_credentials()
        port = collector.start_grpc("127.0.0.1:0", credentials)
        yield Protected(store, clock, registry, server.url, f"127.0.0.1:{port}")
    finally:
        server.stop()
        collector.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    add_token(path, Token(name="billing", hash=hash_of(SECRET["billing"]), namespace="billing"))
    add_token(path, Token(name="free", hash=hash_of(SECRET["free"]), items_per_second=10))
    return path


@pytest.fixture
def protected(tokens: Path) -> Iterator[Protected]:
    config = CollectorConfig(batch_ms=0, tokens_file=tokens, max_inflated_bytes=500_000)
    with collecting(config) as protected:
        yield protected


class Authority:
    """A certificate authority, with the files of a server and of a client."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        self.cert, self.key = self.issue(folder, "server", self.ca.issue_cert("127.0.0.1"))
        client = self.ca.issue_cert("billing.example", common_name="billing")
        self.client_cert, self.client_key = self.issue(folder, "client", client)

    def issue(self, folder: Path, name: str, leaf: trustme.LeafCert) -> tuple[Path, Path]:
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return cert, key


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    # They would be asked instead of the file that an exporter is given.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return Authority(tmp_path)


def export(exporter: SpanExporter) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("work").end()
    provider.shutdown()


# Tokens -------------------------------------------------------------------------------------------


def test_a_token_says_who_sends_and_for_which_namespace(protected: Protected) -> None:
    assert protected.post(SECRET["billing"]).status_code == 200
    named = protected.post(SECRET["free"], headers={**PROTOBUF, "stallwatch-sender": "eu"})
    assert named.status_code == 200
    billing, free = protected.store.bodies
    assert (billing.sender, billing.namespace, billing.pinned) == ("billing", "billing", True)
    assert (free.sender, free.namespace, free.pinned) == ("free/eu", "default", False)


def test_the_address_may_say_the_namespace_of_what_does_not(protected: Protected) -> None:
    path = "/v1/traces?namespace=caf%C3%A9"
    assert protected.post(SECRET["free"], path).status_code == 200
    told = protected.post(SECRET["billing"], path)
    assert told.status_code == 400
    assert b"the token is for 'billing'" in told.content
    (body,) = protected.store.bodies
    assert (body.sender, body.namespace, body.pinned) == ("free", "café", False)
    for token, status in (("free", 200), ("billing", 400)):
        answer = httpx.post(
            f"{protected.url}/v1/events?namespace=shop",
            json=[step_event(1), step_event(2, namespace="own")],
            headers={"Authorization": f"Bearer {SECRET[token]}"},
            timeout=WAIT_S,
        )
        assert answer.status_code == status
    assert [row.event.namespace for row in protected.store.rows] == ["shop", "own"]


@pytest.mark.parametrize("token", [None, "unknown"])
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics", "/v1/events"])
def test_others_get_401_over_http(path: str, token: str | None, protected: Protected) -> None:
    answer = protected.post(token, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="stallwatch"'
    status = status_pb2.Status.FromString(answer.content)
    assert status.code == 16
    assert "token" in status.message
    in_json = protected.post(
        token, path, content="{}", headers={"Content-Type": "application/json"}
    )
    assert (in_json.status_code, in_json.json()["code"]) == (401, 16)
    reason = "missing" if token is None else "unknown"
    assert protected.counted("unauthorized", reason=reason) == 2
    assert (protected.store.bodies, protected.store.rejections) == ([], [])


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer unknown"),)])
def test_others_get_unauthenticated_over_grpc(
    metadata: tuple[tuple[str, str], ...], protected: Protected
) -> None:
    with grpc.insecure_channel(protected.grpc_address) as channel:
        call = channel.unary_unary(f"/{TRACES.service}/Export")
        # The second would be too large, if it were looked at.
        for body in (trace_request(span(1)), b"\xff" * 1_000_000):
            with pytest.raises(grpc.RpcError) as told:
                call(body, metadata=metadata, timeout=WAIT_S)
            assert told.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert protected.store.bodies == []


def test_a_body_is_not_waited_for_of_a_sender_without_a_token(protected: Protected) -> None:
    host, _, port = protected.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as sock:
        sock.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_health_needs_no_token(protected: Protected) -> None:
    assert httpx.get(f"{protected.url}/healthz", timeout=WAIT_S).status_code == 200


def test_events_of_another_namespace_go_back_one_by_one(protected: Protected) -> None:
    events = [step_event(1), step_event(2, namespace="shop"), step_event(3, namespace="billing")]
    answer = httpx.post(
        f"{protected.url}/v1/events",
        json=events,
        headers={"Authorization": f"Bearer {SECRET['billing']}"},
        timeout=WAIT_S,
    )
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
    (error,) = answer.json()["errors"]
    assert error["index"] == 1
    assert "the token is for 'billing', the event says 'shop'" in error["message"]
    assert [row.event.namespace for row in protected.store.rows] == ["billing", "billing"]


def test_log_records_are_held_to_the_namespace_too(protected: Protected) -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number, namespace in enumerate(("", "shop")):
        fields = {"workflow": "order", "execution_id": f"o-{number}", "namespace": namespace}
        record = records.add(
            event_name="stallwatch.workflow.started", time_unix_nano=int(NOW.timestamp()) * 10**9
        )
        for name, value in fields.items():
            if value:
                record.attributes.add(key=f"stallwatch.{name}").value.string_value = value
    answer = protected.post(SECRET["billing"], "/v1/logs", content=request.SerializeToString())
    assert answer.status_code == 200
    assert b"the token is for 'billing'" in answer.content
    assert [row.event.execution_id for row in protected.store.rows] == ["o-0"]


def test_over_its_rate_a_sender_hears_when_to_come_back(protected: Protected) -> None:
    many = trace_request(*(span(number) for number in range(1, 171)))
    assert protected.post(SECRET["free"], content=many).status_code == 200
    answer = protected.post(SECRET["free"])
    # Twenty were saved up, ten come back each second.
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "15")
    with grpc.insecure_channel(protected.grpc_address) as channel:
        call = channel.unary_unary(f"/{TRACES.service}/Export")
        metadata = (("authorization", f"Bearer {SECRET['free']}"),)
        with pytest.raises(grpc.RpcError) as told:
            call(trace_request(span(1)), metadata=metadata, timeout=WAIT_S)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = {pair.key: pair.value for pair in told.value.trailing_metadata()}
    info = error_details_pb2.RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    assert info.retry_delay.seconds == 15
    assert protected.counted("limited", limit="rate") == 2
    protected.clock.advance(15.1)
    assert protected.post(SECRET["free"]).status_code == 200
    assert len(protected.store.bodies) == 2


def test_limits_hold_on_the_wire(tokens: Path) -> None:
    with collecting(CollectorConfig(batch_ms=0, max_names=1, max_attributes=2)) as protected:
        events = [
            step_event(number, step=f"s{number}", attributes=dict.fromkeys("abc", "x"))
            for number in range(2)
        ]
        answer = httpx.post(f"{protected.url}/v1/events", json=events, timeout=WAIT_S)
        assert answer.status_code == 200
        stored = [row.event for row in protected.store.rows]
    assert [event.workflow for event in stored] == ["order", "order"]
    assert [(event.step, event.step_run_id) for event in stored] == [
        ("(other)", "s0"),
        ("(other)", "s1"),
    ]
    assert all(len(event.attributes) == 2 for event in stored)


def test_grpc_holds_as_many_connections_as_it_may() -> None:
    with collecting(CollectorConfig(batch_ms=0, max_connections=3)) as protected:
        host, _, port = protected.grpc_address.rpartition(":")
        idle = [socket.create_connection((host, int(port)), timeout=WAIT_S) for _ in range(3)]
        for sock in idle:
            assert sock.recv(1)
        refused = socket.create_connection((host, int(port)), timeout=WAIT_S)
        assert refused.recv(1) == b""
        for sock in (*idle, refused):
            sock.close()
        # A sender tries again until there is room.
        with grpc.insecure_channel(protected.grpc_address) as channel:
            call = channel.unary_unary(f"/{TRACES.service}/Export")
            call(trace_request(span(1)), timeout=WAIT_S, wait_for_ready=True)
        assert len(protected.store.bodies) == 1


# TLS ----------------------------------------------------------------------------------------------


def test_sdks_deliver_over_tls_with_a_token(authority: Authority, tokens: Path) -> None:
    config = CollectorConfig(
        batch_ms=0, tokens_file=tokens, tls_cert=authority.cert, tls_key=authority.key
    )
    headers = {"authorization": f"Bearer {SECRET['billing']}"}
    with collecting(config) as protected:
        assert protected.url.startswith("https://")
        export(
            HttpExporter(
                f"{protected.url}/v1/traces",
                certificate_file=str(authority.ca_file),
                headers=headers,
            )
        )
        roots = authority.ca_file.read_bytes()
        export(
            GrpcExporter(
                f"https://{protected.grpc_address}",
                credentials=grpc.ssl_channel_credentials(roots),
                headers=tuple(headers.items()),
            )
        )
        assert [body.sender for body in protected.store.bodies] == ["billing", "billing"]
        with pytest.raises(httpx.TransportError):
            httpx.get(protected.url.replace("https", "http"), timeout=WAIT_S)


def test_with_a_client_authority_a_certificate_is_needed_and_names_the_sender(
    authority: Authority,
) -> None:
    config = CollectorConfig(
        batch_ms=0,
        tls_cert=authority.cert,
        tls_key=authority.key,
        tls_client_ca=authority.ca_file,
    )
    roots = authority.ca_file.read_bytes()
    with collecting(config) as protected:
        export(
            HttpExporter(
                f"{protected.url}/v1/traces",
                certificate_file=str(authority.ca_file),
                client_certificate_file=str(authority.client_cert),
                client_key_file=str(authority.client_key),
            )
        )
        known = grpc.ssl_channel_credentials(
            roots, authority.client_key.read_bytes(), authority.client_cert.read_bytes()
        )
        export(GrpcExporter(f"https://{protected.grpc_address}", credentials=known))
        assert [body.sender for body in protected.store.bodies] == ["billing", "billing"]
        with pytest.raises(httpx.TransportError):
            protected.post(verify=ssl.create_default_context(cafile=authority.ca_file))
        strange = grpc.ssl_channel_credentials(roots)
        with grpc.secure_channel(protected.grpc_address, strange) as channel:
            call = channel.unary_unary(f"/{TRACES.service}/Export")
            with pytest.raises(grpc.RpcError) as told:
                call(trace_request(span(1)), timeout=WAIT_S)
        assert told.value.code() is grpc.StatusCode.UNAVAILABLE
        assert len(protected.store.bodies) == 2


def tls(**files: Path) -> Tls | None:
    return tls_of("collector", CollectorConfig.model_validate(files))


def test_files_that_are_wrong_are_named_at_start(authority: Authority, tmp_path: Path) -> None:
    good = {"tls_cert": authority.cert, "tls_key": authority.key}
    assert tls(**good) is not None
    assert tls() is None
    missing = tmp_path / "nowhere.pem"
    for key in ("tls_cert", "tls_key", "tls_client_ca"):
        with pytest.raises(ConfigError, match=rf"collector\.{key}: .*nowhere\.pem cannot be read"):
            tls(**{**good, key: missing})
    with pytest.raises(ConfigError, match=r"collector\.tls_key = .*client\.key.*mismatch"):
        tls(**{**good, "tls_key": authority.client_key})
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"collector\.tls_cert = .*garbage\.pem"):
        tls(**{**good, "tls_cert": garbage})
    with pytest.raises(ConfigError, match=r"collector\.tls_client_ca = .*garbage\.pem"):
        tls(**good, tls_client_ca=garbage)
