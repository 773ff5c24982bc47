"""OTLP bodies: are they well-formed, how much is in them, and what is answered.

Wire facts: the OTLP specification 1.x (protobuf and JSON over HTTP, partial success, google.rpc.Status errors).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector import otlp_json
from collector.encodings import BOM
from collector.refusals import Refusal
from stallwatch.errors import InputError


@dataclass(frozen=True, slots=True)
class Checked:
    """A well-formed request in protobuf (empty for what is not stored) and how many items are in it."""

    request: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the services of OTLP: how a body is checked and how the answer looks."""

    name: str
    service: str
    stored: bool
    check_protobuf: Callable[[bytes], Checked]
    check_json: Callable[[bytes], Checked]
    response: Callable[[int], Message]

    def check(self, body: bytes, is_json: bool) -> Checked:
        """Raises InputError with the reason."""
        if is_json:
            return self.check_json(body.removeprefix(BOM))
        return self.check_protobuf(body)


def encode(message: Message, is_json: bool) -> bytes:
    """An answer in the encoding of its request."""
    if is_json:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def status(refusal: Refusal) -> Message:
    """The body of an error: google.rpc.Status."""
    answer: Message = status_pb2.Status(code=refusal.code, message=refusal.message)
    return answer


def retry_info(refusal: Refusal) -> bytes:
    """The trailer `google.rpc.retryinfo-bin`, the only thing from which gRPC senders learn how long to wait."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round((refusal.retry_after_s or 0) * 1000))
    encoded: bytes = info.SerializeToString()
    return encoded


def _trace_protobuf(body: bytes) -> Checked:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise InputError(f"not an ExportTraceServiceRequest: {error}") from None
    return Checked(body, sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans))


def _trace_json(body: bytes) -> Checked:
    request = otlp_json.trace_request(body)
    count = sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
    return Checked(request.SerializeToString(), count)


def _trace_response(_count: int) -> Message:
    return ExportTraceServiceResponse()


def _logs_protobuf(body: bytes) -> Checked:
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise InputError(f"not an ExportLogsServiceRequest: {error}") from None
    return Checked(
        b"", sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)
    )


def _logs_json(body: bytes) -> Checked:
    return Checked(b"", otlp_json.log_records(body))


def _logs_response(count: int) -> Message:
    if count == 0:
        return ExportLogsServiceResponse()
    return ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(
            rejected_log_records=count, error_message="log records are not stored"
        )
    )


def _metrics_protobuf(body: bytes) -> Checked:
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise InputError(f"not an ExportMetricsServiceRequest: {error}") from None
    metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
    kinds = ((metric, metric.WhichOneof("data")) for metric in metrics)
    return Checked(b"", sum(len(getattr(m, kind).data_points) for m, kind in kinds if kind))


def _metrics_json(body: bytes) -> Checked:
    return Checked(b"", otlp_json.data_points(body))


def _metrics_response(count: int) -> Message:
    if count == 0:
        return ExportMetricsServiceResponse()
    return ExportMetricsServiceResponse(
        partial_success=ExportMetricsPartialSuccess(
            rejected_data_points=count,
            error_message="metrics are not stored: send them to a metrics backend",
        )
    )


TRACES: Final = Signal(
    "traces",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    True,
    _trace_protobuf,
    _trace_json,
    _trace_response,
)
LOGS: Final = Signal(
    "logs",
    "opentelemetry.proto.collector.logs.v1.LogsService",
    False,
    _logs_protobuf,
    _logs_json,
    _logs_response,
)
METRICS: Final = Signal(
    "metrics",
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    False,
    _metrics_protobuf,
    _metrics_json,
    _metrics_response,
)
SIGNALS: Final = (TRACES, LOGS, METRICS)
