"""OTLP bodies: are they well-formed, how much is in them, and what is answered.

Wire facts: the OTLP specification 1.x (protobuf and JSON over HTTP, partial success, google.rpc.Status errors).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector import bounds, otlp_json
from collector.encodings import BOM
from collector.limits import Accept, as_it_is
from collector.logs import read_records
from collector.refusals import INVALID_ARGUMENT, Refusal
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a well-formed request holds."""

    request: bytes
    """Its spans in protobuf; empty for the other signals."""
    count: int
    """Of items in all, stored or not."""
    events: Sequence[StepEvent] = ()
    """The step events among its log records."""
    refused: int = 0
    """How many step events are refused."""
    rejected: int = 0
    """How many items are not stored, for partial_success."""
    told: str = ""
    """Why they are not."""


class Signal(Protocol):
    """One of the services of OTLP: how a body is checked and how the answer looks."""

    name: str
    service: str
    item: str
    """What the batcher's meters call its items; empty if none are stored."""

    def read(
        self,
        body: bytes,
        is_json: bool,
        received_at: datetime,
        namespace: str,
        accept: Accept = as_it_is,
    ) -> Checked:
        """Check a body; `accept` has the last word on each step event. Raises InputError with the reason."""

    def response(self, rejected: int, told: str) -> Message:
        """The answer; partial_success is set only if something is rejected."""


def encode(message: Message, is_json: bool) -> bytes:
    """An answer in the encoding of its request."""
    if is_json:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def status(refusal: Refusal) -> Message:
    """google.rpc.Status: the body of an error over HTTP, `grpc-status-details-bin` over gRPC.

    Its details are what the OTLP specification asks for: BadRequest for bad data, RetryInfo where waiting helps.
    """
    answer = status_pb2.Status(code=refusal.code, message=refusal.message)
    if refusal.code == INVALID_ARGUMENT:
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(description=refusal.message)
        answer.details.add().Pack(bad)
    if refusal.retry_after_s is not None:
        answer.details.add().Pack(retry_info(refusal))
    encoded: Message = answer
    return encoded


def retry_info(refusal: Refusal) -> Message:
    """How long to wait. Over gRPC nothing else tells it."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round((refusal.retry_after_s or 0) * 1000))
    answer: Message = info
    return answer


class _Traces:
    name = "traces"
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    item = "span"

    def check(self, body: bytes, is_json: bool) -> Checked:
        """Raises InputError with the reason."""
        with bounds.turn(len(body)):
            return self.check_json(body) if is_json else self.check_protobuf(body)

    def read(
        self,
        body: bytes,
        is_json: bool,
        _received_at: datetime,
        _namespace: str,
        _accept: Accept = as_it_is,
    ) -> Checked:
        return self.check(body, is_json)

    def check_protobuf(self, body: bytes) -> Checked:
        request = _parsed(ExportTraceServiceRequest, body)
        return Checked(body, bounds.check_spans(request, body))

    def check_json(self, body: bytes) -> Checked:
        written = otlp_json.trace_bytes(body.removeprefix(BOM))
        return Checked(written, bounds.check_spans(otlp_json.parsed_traces(written), written))

    def response(self, rejected: int, told: str) -> Message:
        answer = ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = rejected
            answer.partial_success.error_message = told
        return answer


class _Logs:
    name = "logs"
    service = "opentelemetry.proto.collector.logs.v1.LogsService"
    item = "event"

    def read(
        self,
        body: bytes,
        is_json: bool,
        received_at: datetime,
        namespace: str,
        accept: Accept = as_it_is,
    ) -> Checked:
        with bounds.turn(len(body)):
            request = (
                otlp_json.logs_request(body.removeprefix(BOM))
                if is_json
                else _parsed(ExportLogsServiceRequest, body)
            )
            records = read_records(request, received_at, namespace, accept)
        return Checked(
            b"",
            records.count,
            records.steps.events,
            records.steps.rejected,
            records.rejected,
            records.told(),
        )

    def response(self, rejected: int, told: str) -> Message:
        answer = ExportLogsServiceResponse()
        if rejected:
            answer.partial_success.rejected_log_records = rejected
            answer.partial_success.error_message = told
        return answer


class _Metrics:
    name = "metrics"
    service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    item = ""

    def read(
        self,
        body: bytes,
        is_json: bool,
        _received_at: datetime,
        _namespace: str,
        _accept: Accept = as_it_is,
    ) -> Checked:
        if is_json:
            count = otlp_json.data_points(body.removeprefix(BOM))
        else:
            count = _data_points(_parsed(ExportMetricsServiceRequest, body))
        told = "metrics are not stored: send them to a metrics backend"
        return Checked(b"", count, rejected=count, told=told)

    def response(self, rejected: int, told: str) -> Message:
        answer = ExportMetricsServiceResponse()
        if rejected:
            answer.partial_success.rejected_data_points = rejected
            answer.partial_success.error_message = told
        return answer


def _parsed(kind: type[M], body: bytes) -> M:
    bounds.check_protobuf(body)
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InputError(f"not an {kind.DESCRIPTOR.name}: {error}") from None


def _data_points(request: ExportMetricsServiceRequest) -> int:
    metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
    kinds = ((metric, metric.WhichOneof("data")) for metric in metrics)
    return sum(len(getattr(m, kind).data_points) for m, kind in kinds if kind)


TRACES: Final = _Traces()
LOGS: Final = _Logs()
METRICS: Final = _Metrics()
SIGNALS: Final[tuple[Signal, ...]] = (TRACES, LOGS, METRICS)
