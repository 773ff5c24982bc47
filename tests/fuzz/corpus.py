"""Real bodies to begin with."""

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList

from collector.engines.registry import ENGINES
from collector.items import Item
from stallwatch.model.events import event_from_dict
from stallwatch.store import Body, EventRow
from tests import otlp
from tests.spans import any_value

ROOT: Final = Path(__file__).parents[2]
CRASHERS: Final = ROOT / "tests" / "fixtures" / "fuzz"
"""Inputs that once broke a target, in a folder of its name."""
NOW: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
EVENT: Final = {
    "event": "step.started", "time": "2026-01-05T11:59:00.123456Z", "workflow": "order", "execution_id": "o-1",
    "step": "charge", "attempt": 1, "sequence": 3, "queue": "payments", "timeout_s": 300, "due": "2026-01-05T13:00:00Z",
    "waiting_on": "timer", "trace_id": "ab" * 16, "span_id": "cd" * 8, "is_replay": False, "payload_bytes": 10,
    "attributes": {"a": 1, "b": {"c": [1.5, None, "x"]}}, "unknown": "kept",
}  # fmt: skip
CLOUD: Final = {
    "specversion": "1.0", "type": "io.serverlessworkflow.task.retried.v1", "source": "s", "id": "1",
    "time": "2026-01-05T11:59:00Z", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
    "data": {"workflow": "order-1.shop", "task": "charge", "retriedAt": "2026-01-05T11:59:00Z", "retryCount": 2},
}  # fmt: skip
PLAIN_CLOUD: Final = {**CLOUD, "type": "dev.stallwatch.step.started", "data": EVENT}


@cache
def engine_documents() -> list[bytes]:
    """Recorded documents behind the number of their engine (see `targets.engine_documents`)."""
    found = []
    for number, name in enumerate(ENGINES):
        folder = ROOT / "tests" / "fixtures" / "engines" / name
        files = sorted(folder.rglob("*.json"), key=lambda file: file.stat().st_size)
        # Small ones: a change in a large one changes little.
        found += [bytes([number]) + file.read_bytes() for file in files[:20]]
    return found


@cache
def traces() -> tuple[bytes, ...]:
    """Recorded spans of real engines, a few a body, and one span with everything."""
    names = ("dbos", "durabletask", "temporal_legacy", "temporal_plugin")
    bodies = [otlp.request(otlp.recorded(name)[:3]) for name in names]
    full = ExportTraceServiceRequest.FromString(bodies[0])
    span = full.resource_spans[0].scope_spans[0].spans[0]
    nested = KeyValueList(values=[KeyValue(key="k", value=any_value([1, 2.5, True, "x"]))])
    span.attributes.append(KeyValue(key="nested", value=AnyValue(kvlist_value=nested)))
    span.attributes.append(KeyValue(key="bytes", value=AnyValue(bytes_value=b"\x00\xff")))
    span.events.add(name="exception", time_unix_nano=1, attributes=[KeyValue(key="k")])
    span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    return (*bodies, full.SerializeToString())


@cache
def logs() -> tuple[bytes, ...]:
    """A step event as a log record, beside another record."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    at_ns = round(NOW.timestamp()) * 10**9
    step = records.add(
        event_name="stallwatch.step.started", time_unix_nano=at_ns, trace_id=b"\x01" * 16
    )
    for name in ("workflow", "execution_id", "step", "attempt", "timeout_s", "attributes"):
        step.attributes.append(KeyValue(key=f"stallwatch.{name}", value=any_value(EVENT[name])))
    records.add(
        severity_text="INFO", body=AnyValue(string_value="hello"), observed_time_unix_nano=at_ns
    )
    return (request.SerializeToString(),)


@cache
def metrics() -> tuple[bytes, ...]:
    """A data point of every kind."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        getattr(metrics.add(name=kind), kind).data_points.add(time_unix_nano=1)
    return (request.SerializeToString(),)


def as_json(kind: type, bodies: tuple[bytes, ...]) -> Iterator[bytes]:
    """The same in OTLP's JSON: ids in hex."""
    for body in bodies:
        said = json_format.MessageToDict(kind.FromString(body))  # type: ignore[attr-defined]
        yield json.dumps(_with_hex_ids(said)).encode()


def _with_hex_ids(value: object) -> object:
    if isinstance(value, dict):
        return {k: "ab" * 8 if k.endswith("Id") else _with_hex_ids(v) for k, v in value.items()}
    return [_with_hex_ids(item) for item in value] if isinstance(value, list) else value


def otlp_bodies() -> list[bytes]:
    """For a first byte that names the signal."""
    return [
        bytes([i]) + b for i, bodies in enumerate((traces(), logs(), metrics())) for b in bodies
    ]


def otlp_texts() -> list[bytes]:
    kinds = (ExportTraceServiceRequest, ExportLogsServiceRequest, ExportMetricsServiceRequest)
    bodies = (traces(), logs(), metrics())
    pairs = enumerate(zip(kinds, bodies, strict=True))
    deep = b'\x01{"resourceLogs":' + b"[" * 5000
    return [deep, *(bytes([i]) + text for i, (kind, some) in pairs for text in as_json(kind, some))]


def events() -> list[bytes]:
    """For a first byte that names the content type (see `targets.MEDIA`)."""
    one, cloud, plain = (json.dumps(value).encode() for value in (EVENT, CLOUD, PLAIN_CLOUD))
    odd = {**EVENT, "due": "9999-12-31T23:59:59-23:59", "attributes": {"large": 2**70}}
    return [
        b"\x00" + json.dumps(odd).encode(), b"\x00" + b"[" * 5000,
        b"\x00" + one, b"\x00[" + one + b"," + cloud + b"]", b"\x01" + one + b"\n" + plain + b"\n",
        b"\x02" + cloud, b"\x02" + plain, b"\x03[" + plain + b"," + cloud + b"]", b"\x04" + one,
    ]  # fmt: skip


def zipped() -> list[bytes]:
    """For a first byte that names the encoding (see `targets.ENCODINGS`)."""
    body = traces()[0]
    return [
        b"\x00" + body, b"\x01" + gzip.compress(body, mtime=0), b"\x01" + gzip.compress(b"", mtime=0) * 3,
        b"\x02" + zlib.compress(body), b"\x02" + zlib.compress(body)[2:-4],
        b"\x01" + gzip.compress(bytes(10**6), mtime=0),
        b"\x03" + bytes.fromhex("28b52ffd2003190000616263"),
    ]  # fmt: skip


def documents() -> list[bytes]:
    """Files for `import`: the first byte says whether of OTLP (even) or of events."""
    texts = otlp_texts()
    one = json.dumps(EVENT).encode()
    body = traces()[0]
    return [
        b"\x00" + texts[1][1:] + b"\n" + texts[2][1:] + b"\n", b"\x00" + body,
        b"\x00" + len(body).to_bytes(4, "big") + body, b"\x00" + gzip.compress(body, mtime=0),
        b"\x01" + one + b"\n" + one + b"\n", b"\x01[" + one + b",\n" + one + b"]",
        b"\x01" + json.dumps(EVENT, indent=1).encode(),
    ]  # fmt: skip


def scenarios() -> list[bytes]:
    """The repository's own, the smaller ones."""
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    return [data for data in (path.read_bytes() for path in files) if len(data) < 3000]


def settings() -> list[bytes]:
    alerts = (
        b'[[alerts.receivers]]\nname = "hook"\nwebhook_configs = [{ url = "http://127.0.0.1:1/" }]\n'
        b'[[detectors.policy]]\nworkflow = "order*"\nmax_wait = "3d"\n'
    )
    return [(ROOT / "stallwatch.example.toml").read_bytes(), alerts]


def tokens() -> list[bytes]:
    """A file of tokens, and headers that carry one."""
    token = f'[[token]]\nname = "a"\nhash = "sha256:{"0f" * 32}"\nnamespace = "shop"\nitems_per_second = 5\n'
    return [token.encode(), b"Bearer swt_abc", b"Basic eDpzd3RfYWJj", b"Basic eA=", b"Bearer  \xff"]


def spool_records() -> list[bytes]:
    """For a first byte that says whether of a body or of step events."""
    rows = [EventRow(event_from_dict(dict(EVENT), NOW), NOW, "shop")]
    return [
        b"\x00" + Item(1, 1, body=Body(traces()[0], NOW, "shop")).encoded(),
        b"\x01" + Item(1, 1, rows=rows).encoded(),
    ]


def words() -> list[bytes]:
    """Durations and times."""
    return [
        b"250ms", b"1h30m", b"0", b"2.5d", b"now", b"-15m", b"2026-11-22T10:00:00Z", b"2026-11-22T10:00:00.123+01:00",
        b"-99999999999999999999w", b"0001-01-01T00:00:00+23:59", b"9" * 400 + b"s", b"20261122T100000Z",
    ]  # fmt: skip


def queries() -> list[bytes]:
    """Query strings of the web."""
    return [
        b"namespace=a&engine=b&workflow=c&step=d&status=running&since=-15m&until=now&limit=10",
        b"since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00%2B01:00&detector=stalled_step", b"limit=0", b"x=1",
        b"limit=" + b"9" * 5000, b"since=-99999999999999w", b"workflow=%00%ff&workflow=b",
    ]  # fmt: skip


def statements() -> list[bytes]:
    """The engine's own texts: statements in one line, and trees."""
    return [
        b"SELECT * FROM stallwatch.attempts WHERE (step = 'a\\'b') AND (x IN (1, 2)) FORMAT JSON",
        b"WITH a AS (SELECT 1 FROM `executions`) SELECT * FROM a, numbers(10)", b"SHOW TABLES FROM `stallwatch`",
        b"DESCRIBE TABLE attempts", b"EXISTS VIEW stallwatch.`attempts`", b"SELECT file('/etc/passwd')",
        b"SELECT 1 INTO OUTFILE '/tmp/x' PARALLEL WITH SELECT 2", b"", b"FORMAT",
        b"QUERY id: 0\n  JOIN TREE\n    IDENTIFIER id: 3, identifier: system.users\n",
        b"QUERY id: 0\n  JOIN TREE\n    TABLE_FUNCTION id: 3, alias: __table1, table_function_name: file\n",
    ]  # fmt: skip


def headers() -> list[bytes]:
    """Header lines, an empty one, a body: what tells the type, the encoding and the sender of a request."""
    one = json.dumps(EVENT).encode()
    return [
        b'content-type: application/json; charset="utf-8"\nuser-agent: x/1 (y)\nstallwatch-sender: me\n\n' + one,
        b"ce-specversion: 1.0\nce-type: dev.stallwatch.step.started\nce-id: a%20b\nce-source: /s\n\n" + one,
        b"content-type: multipart/form-data; boundary=x\ncontent-encoding: gzip, deflate\ncontent-length: 9\n\n{}",
    ]  # fmt: skip
