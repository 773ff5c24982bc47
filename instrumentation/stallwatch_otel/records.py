"""The log records that are sent, and their form in OTLP's JSON.

Wire facts: OTLP 1.x, "JSON Protobuf Encoding": ids are hex text, 64-bit integers are decimal text, field names are in
lowerCamelCase. `eventName` came with OTLP 1.5.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from stallwatch_otel.naming import PREFIX, Report, Value

SCOPE: Final = "stallwatch_otel"
SEVERITY_INFO: Final = 9
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Record:
    """One log record: a step event about the span with these ids."""

    event_name: str
    time_ns: int
    trace_id: int
    span_id: int
    attributes: Mapping[str, Value]
    resource: Resource


def start_record(
    report: Report, trace_id: int, span_id: int, time_ns: int, resource: Resource
) -> Record:
    """The start that `report` tells; `time_ns` is the span's start."""
    return Record(
        PREFIX + report.event, time_ns, trace_id, span_id, _prefixed(report.fields), resource
    )


def heartbeat_record(
    report: Report, trace_id: int, span_id: int, time_ns: int, resource: Resource
) -> Record:
    """A sign of life of a step, at `time_ns`. Sent again it is the same event."""
    begun = str(report.fields["event_id"]).removesuffix(":started")
    fields = {**report.identity(), "event_id": f"{begun}:heartbeat:{time_ns // 1000}"}
    name = f"{PREFIX}step.heartbeat"
    return Record(name, time_ns, trace_id, span_id, _prefixed(fields), resource)


def as_json(records: Sequence[Record], version: str) -> bytes:
    """An ExportLogsServiceRequest."""
    by_resource: dict[int, list[Record]] = {}
    for record in records:
        by_resource.setdefault(id(record.resource), []).append(record)
    groups = [
        {
            "resource": {"attributes": _pairs(group[0].resource.attributes)},
            "scopeLogs": [
                {
                    "scope": {"name": SCOPE, "version": version},
                    "logRecords": [_encoded(record) for record in group],
                }
            ],
        }
        for group in by_resource.values()
    ]
    return json.dumps({"resourceLogs": groups}, separators=(",", ":"), allow_nan=False).encode()


def _prefixed(fields: Mapping[str, Value]) -> dict[str, Value]:
    return {
        PREFIX + name: _valid(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _encoded(record: Record) -> dict[str, Any]:
    return {
        "timeUnixNano": str(record.time_ns),
        "observedTimeUnixNano": str(record.time_ns),
        "severityNumber": SEVERITY_INFO,
        "eventName": record.event_name,
        "attributes": _pairs(record.attributes),
        "flags": int(TraceFlags.SAMPLED),
        "traceId": f"{record.trace_id:032x}",
        "spanId": f"{record.span_id:016x}",
    }


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": _valid(key), "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        # JSON has no word for these two; OTLP's JSON takes them as text.
        return {"doubleValue": value if abs(value) < float("inf") else str(value)}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return {"arrayValue": {"values": [_any_value(one) for one in value]}}
    return {"stringValue": _valid(str(value))}


def _valid(text: str) -> str:
    """The text without lone surrogates, which os.fsdecode makes of bytes and neither JSON nor protobuf can hold."""
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
