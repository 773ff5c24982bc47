"""What a document of OTLP in a file holds: spans, log records or data points.

Over the network the address tells; a file does not say it. In JSON the names of the members do, in protobuf, where
requests of all three begin alike, the first item does.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector import bounds
from collector.json_text import decode
from collector.otlp import LOGS, METRICS, TRACES, Checked, Signal
from stallwatch.errors import InputError

_MEMBERS: Final[Mapping[str, Signal]] = {
    "resourceSpans": TRACES,
    "resourceLogs": LOGS,
    "resourceMetrics": METRICS,
}
_TRACE_ID_BYTES: Final = 16


def read_document(data: bytes, received_at: datetime, namespace: str) -> Iterator[Checked]:
    """What it holds, each signal by itself, read as the receivers read it. Raises InputError with the reason."""
    is_json = data[:1] == b"{"
    for signal in _members(data) if is_json else (_signal(data),):
        yield signal.read(data, is_json, received_at, namespace)


def _members(data: bytes) -> list[Signal]:
    members = decode(data, dict[str, msgspec.Raw])
    found = [signal for name, signal in _MEMBERS.items() if name in members]
    if not found:
        raise InputError("has no resourceSpans, resourceLogs or resourceMetrics")
    return found


def _signal(data: bytes) -> Signal:
    """Whose request it is; one of nothing, or of what is none of these, is left for traces to judge."""
    item = bounds.first_item(data)
    try:
        record = LogRecord.FromString(item)
        # No span and no metric has a fixed number of 64 bits in either place.
        if record.time_unix_nano or record.observed_time_unix_nano:
            return LOGS
    except DecodeError:
        pass
    try:
        if len(Span.FromString(item).trace_id) == _TRACE_ID_BYTES:
            return TRACES
        return METRICS if Metric.FromString(item).WhichOneof("data") else TRACES
    except DecodeError:
        return TRACES
