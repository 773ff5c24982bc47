"""The roads on which the shop reports: OTLP over gRPC and HTTP with the OpenTelemetry SDK, and `/v1/events`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import httpx
import msgspec
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from stallwatch.model.durations import rfc3339
from stallwatch.model.events import StepEvent

TIMEOUT_S: Final = 30.0
SPAN_DELAY_MS: Final = 500
_ENDS: Final = ("completed", "failed", "timed_out", "cancelled")
_STEP_FIELDS: Final = ("step", "step_run_id", "attempt", "queue", "downstream")


class Road(Protocol):
    """Takes events at their time and reports them its way."""

    def tell(self, events: list[StepEvent]) -> None: ...

    def close(self) -> None: ...


class EventRoad:
    """`POST /v1/events`, one request for what happened at about the same time."""

    def __init__(self, ingest: str) -> None:
        self._client = httpx.Client(base_url=ingest, timeout=TIMEOUT_S, trust_env=False)

    def tell(self, events: list[StepEvent]) -> None:
        body = b"\n".join(msgspec.json.encode(_without_empty(event)) for event in events)
        answer = self._client.post(
            "/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"}
        )
        answer.raise_for_status()

    def close(self) -> None:
        self._client.close()


@dataclass
class _Open:
    """The spans of one execution that have begun and not ended."""

    root: Span
    steps: dict[tuple[str, str, int | None], Span] = field(default_factory=dict)


class SpanRoad:
    """Spans made by the OpenTelemetry SDK: as everywhere, they are exported when they end."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=SPAN_DELAY_MS)
        )
        self._tracer = self._provider.get_tracer("shop")
        self._open: dict[str, _Open] = {}

    @classmethod
    def grpc(cls, address: str) -> "SpanRoad":
        return cls("shop-refunds", GrpcExporter(endpoint=f"http://{address}", insecure=True))

    @classmethod
    def http(cls, ingest: str) -> "SpanRoad":
        return cls("shop-media", HttpExporter(endpoint=f"{ingest}/v1/traces"))

    def tell(self, events: list[StepEvent]) -> None:
        for event in events:
            room, kind = event.event.split(".")
            if room == "workflow":
                self._workflow(event, kind)
            else:
                self._step(event, kind)

    def close(self) -> None:
        self._provider.shutdown()

    def _workflow(self, event: StepEvent, kind: str) -> None:
        if kind == "started":
            attributes = {
                "stallwatch.workflow": event.workflow,
                "stallwatch.execution_id": event.execution_id,
            }
            root = self._tracer.start_span(
                event.workflow, attributes=attributes, start_time=_nanoseconds(event.time)
            )
            self._open[event.execution_id] = _Open(root)
        elif kind in _ENDS:
            self._open.pop(event.execution_id).root.end(_nanoseconds(event.time))

    def _step(self, event: StepEvent, kind: str) -> None:
        execution = self._open[event.execution_id]
        key = (event.step, event.step_run_id, event.attempt)
        if kind == "started":
            attributes = {
                "stallwatch.workflow": event.workflow,
                "stallwatch.execution_id": event.execution_id,
            }
            for name in _STEP_FIELDS:
                value = getattr(event, name)
                if value:
                    attributes[f"stallwatch.{name}"] = value
            execution.steps[key] = self._tracer.start_span(
                event.step,
                context=set_span_in_context(execution.root),
                attributes=attributes,
                start_time=_nanoseconds(event.time),
            )
        elif kind in _ENDS:
            span = execution.steps.pop(key)
            if kind != "completed":
                span.set_status(Status(StatusCode.ERROR, event.error_message))
                span.set_attribute("error.type", event.error_type)
            span.end(_nanoseconds(event.time))


def _without_empty(event: StepEvent) -> dict[str, object]:
    return {**msgspec.to_builtins(event), "time": rfc3339(event.time)}


def _nanoseconds(when: datetime) -> int:
    return round(when.timestamp() * 1e6) * 1000
