"""Metrics reach Prometheus, traces reach a collector that is not this process."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from stallwatch.errors import ConfigError
from stallwatch.telemetry import setup


class Collector:
    """Keeps the path and body of every POST."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        received = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.append((self.path, self.rfile.read(length)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_an_instrument_shows_in_the_registry_until_shutdown() -> None:
    registry = CollectorRegistry()
    telemetry = setup("1.2.3", registry)
    telemetry.meter("collector").create_counter("spans").add(3, {"sender": "a"})
    text = generate_latest(registry).decode()
    assert 'spans_total{sender="a"} 3.0' in text
    assert 'service_name="stallwatch"' in text
    assert 'service_version="1.2.3"' in text
    telemetry.shutdown()
    assert generate_latest(registry) == b""


def test_without_a_registry_it_is_prometheus_own() -> None:
    telemetry = setup("1")
    telemetry.meter("tests").create_counter("tests_telemetry_default").add(1)
    assert b"tests_telemetry_default_total 1.0" in generate_latest(REGISTRY)
    telemetry.shutdown()


def test_traces_go_to_the_endpoint(collector: Collector) -> None:
    telemetry = setup("1.2.3", CollectorRegistry(), f"http://127.0.0.1:{collector.port}")
    with telemetry.tracer("detectors").start_as_current_span("tick"):
        pass
    telemetry.shutdown()
    ((path, body),) = collector.requests
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert attributes["service.name"] == "stallwatch"
    assert attributes["service.version"] == "1.2.3"
    assert resource.scope_spans[0].spans[0].name == "tick"


def test_a_path_in_the_endpoint_is_kept(collector: Collector) -> None:
    telemetry = setup("1", CollectorRegistry(), f"http://127.0.0.1:{collector.port}/tenant/traces")
    telemetry.tracer("detectors").start_span("tick").end()
    telemetry.shutdown()
    assert [path for path, _ in collector.requests] == ["/tenant/traces"]


def test_without_an_endpoint_no_span_is_recorded() -> None:
    telemetry = setup("1", CollectorRegistry())
    assert not telemetry.tracer("detectors").start_span("tick").is_recording()
    telemetry.shutdown()


@pytest.mark.parametrize(
    ("endpoint", "own"),
    [
        ("http://127.0.0.1:4318", ("127.0.0.1", 4318)),
        ("http://localhost:4318/v1/traces", ("127.0.0.1", 4318)),
        ("http://LOCALHOST.:4318", ("::1", 4318)),
        ("http://[::1]:4318", ("0.0.0.0", 4318)),
        ("http://127.3.2.1:4318", ("", 4318)),
        ("http://0.0.0.0:4318", ("::", 4318)),
        ("http://watch.example:4318", ("watch.example", 4318)),
        ("http://localhost", ("127.0.0.1", 80)),
    ],
)
def test_it_never_sends_to_itself(endpoint: str, own: tuple[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.otlp_endpoint: .* is this process itself"):
        setup("1", CollectorRegistry(), endpoint, [("127.0.0.1", 8900), own])


@pytest.mark.parametrize("endpoint", ["http://localhost:4319", "http://other.example:4318"])
def test_another_port_or_machine_is_another_collector(endpoint: str) -> None:
    setup("1", CollectorRegistry(), endpoint, [("0.0.0.0", 4318)]).shutdown()


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://host", "http://", "http://h:99999"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^telemetry\.otlp_endpoint: "):
        setup("1", CollectorRegistry(), endpoint)
