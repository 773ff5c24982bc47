"""What Stallwatch says of itself: metrics for Prometheus, traces over OTLP, logs on standard error."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import Tracer
from prometheus_client import REGISTRY, CollectorRegistry

from stallwatch.errors import ConfigError
from stallwatch.telemetry.logs import configure_logging

__all__ = ["SERVICE_NAME", "Telemetry", "configure_logging", "setup"]

SERVICE_NAME: Final = "stallwatch"
EXPORT_TIMEOUT_S: Final = 5.0
_TRACES_PATH: Final = "/v1/traces"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Address = tuple[str, int]


@dataclass(frozen=True)
class Telemetry:
    """The providers, for the composition root to hand out; nothing is registered globally."""

    meters: MeterProvider
    tracers: TracerProvider

    def meter(self, name: str) -> Meter:
        """Instruments of one room; they show in the Prometheus registry given to `setup`."""
        return self.meters.get_meter(name)

    def tracer(self, name: str) -> Tracer:
        """Spans of one room; they are dropped, at almost no cost, where no endpoint is set."""
        return self.tracers.get_tracer(name)

    def shutdown(self) -> None:
        """Send what is left, and leave the Prometheus registry."""
        self.tracers.shutdown()
        self.meters.shutdown()


def setup(
    service_version: str,
    registry: CollectorRegistry | None = None,
    otlp_endpoint: str | None = None,
    listening: Sequence[Address] = (),
) -> Telemetry:
    """Set up metrics into `registry` (None: Prometheus's own), and traces to `otlp_endpoint` if given.

    `otlp_endpoint`: OTLP over HTTP, `http://host:4318`; without a path, /v1/traces is meant.
    `listening`: (host, port) at which this process receives telemetry. ConfigError if the endpoint
    is one of them: every export would be a request worth a span, for ever.
    """
    # First what can be refused: a reader stays in the registry once it is made.
    exporter = None if otlp_endpoint is None else _exporter(otlp_endpoint, listening)
    resource = Resource.create({"service.name": SERVICE_NAME, "service.version": service_version})
    reader = PrometheusMetricReader(
        scope_info_enabled=False, registry=REGISTRY if registry is None else registry
    )
    tracers = TracerProvider(
        sampler=ALWAYS_OFF if exporter is None else ALWAYS_ON,
        resource=resource,
        shutdown_on_exit=False,
    )
    if exporter is not None:
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    return Telemetry(meters, tracers)


def _exporter(endpoint: str, listening: Sequence[Address]) -> OTLPSpanExporter:
    parts = urlsplit(endpoint)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"telemetry.otlp_endpoint: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigError(
            f"telemetry.otlp_endpoint: an address such as http://host:4318 is needed, not {endpoint!r}"
        )
    target = (parts.hostname, port or _DEFAULT_PORTS[parts.scheme])
    if any(_reaches(target, own) for own in listening):
        raise ConfigError(
            f"telemetry.otlp_endpoint: {endpoint!r} is this process itself: its traces would "
            "report on their own arrival without end. Send them to another collector"
        )
    if parts.path in ("", "/"):
        endpoint = parts._replace(path=_TRACES_PATH).geturl()
    return OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)


def _reaches(target: Address, own: Address) -> bool:
    """Whether `target` leads to a socket that listens at `own`, as far as names alone tell."""
    (target_host, target_port), (own_host, own_port) = target, own
    if target_port != own_port:
        return False
    both = (_kind(target_host), _kind(own_host))
    return target_host.lower() == own_host.lower() or both in {
        ("loopback", "loopback"),
        ("loopback", "any"),
        ("any", "loopback"),
        ("any", "any"),
    }


def _kind(host: str) -> str:
    """`loopback`, `any` (all interfaces, which a client takes for this machine) or `other`."""
    if host.lower().rstrip(".") == "localhost":
        return "loopback"
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "any" if host == "" else "other"
    if address.is_unspecified:
        return "any"
    return "loopback" if address.is_loopback else "other"
