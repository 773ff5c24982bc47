"""OTLP/HTTP as the specification has it, on real sockets. Every test backs a row of docs/otlp.md."""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from backports import zstd
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
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.store import Body
from tests.collector.helpers import NOW, FakeStore, collecting, serving, span, trace_request

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
WAIT_S = 30
LIMIT_BYTES = 100_000
TYPE = "type.googleapis.com/google.rpc."


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection, byte by byte."""

    def __init__(self, port: int, store: FakeStore, collector: Collector) -> None:
        self.port = port
        self.store = store
        self.collector = collector
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._file = self.socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, to_head: bool = False) -> Answer:
        """The next answer on this connection."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if to_head else int(headers.get("content-length", "0"))
        return Answer(status, headers, self._file.read(length))

    def is_closed(self) -> bool:
        """Whether the other side ended the connection; waits for it."""
        return self._file.read(1) == b""

    def post(
        self, body: bytes, content_type: str = PROTOBUF, path: str = "/v1/traces", **headers: str
    ) -> Answer:
        self.send(head(len(body), content_type, path, **headers) + body)
        return self.answer()


def head(
    length: int | None, content_type: str = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> bytes:
    """Request line and headers; without a length for chunks."""
    lines = [f"POST {path} HTTP/1.1", "host: test"]
    if content_type:
        lines.append(f"content-type: {content_type}")
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A connection to a collector over a fake store, with small limits."""
    fake = FakeStore()
    config = CollectorConfig(
        batch_ms=0,
        max_body_bytes=LIMIT_BYTES,
        max_inflated_bytes=2 * LIMIT_BYTES,
        request_timeout=0.3,
    )
    with collecting(fake, ManualClock(NOW), config) as collector, serving(collector) as url:
        wire = Wire(int(url.rpartition(":")[2]), fake, collector)
        yield wire
        wire.close()


def error_of(answer: Answer) -> status_pb2.Status:
    """The google.rpc.Status in the encoding that the answer says."""
    if answer.headers["content-type"] == PROTOBUF:
        return status_pb2.Status.FromString(answer.body)
    assert answer.headers["content-type"] == JSON
    said = json.loads(answer.body)
    status = status_pb2.Status(code=said["code"], message=said["message"])
    for detail in said.get("details", ()):
        kind = detail.pop("@type").removeprefix(TYPE)
        message = getattr(error_details_pb2, kind)()
        if kind == "BadRequest":
            for violation in detail["fieldViolations"]:
                message.field_violations.add(description=violation["description"])
        else:
            message.retry_delay.FromJsonString(detail["retryDelay"])
        status.details.add().Pack(message)
    return status


ONE = trace_request(span(1))
ONE_JSON = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"}]}]}]}'
BOTH = pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, ONE), (JSON, ONE_JSON)])


# Success ----------------------------------------------------------------------------------------------------


@BOTH
def test_success_is_200_in_the_encoding_of_the_request(
    wire: Wire, content_type: str, body: bytes
) -> None:
    answer = wire.post(body, content_type)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert len(wire.store.stored()) == 1


def test_when_nothing_is_rejected_partial_success_is_not_set(wire: Wire) -> None:
    answer = wire.post(ONE)
    assert not ExportTraceServiceResponse.FromString(answer.body).HasField("partial_success")
    assert json.loads(wire.post(ONE_JSON, JSON).body) == {}
    assert not ExportLogsServiceResponse.FromString(wire.post(b"", path="/v1/logs").body).HasField(
        "partial_success"
    )


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_a_request_without_data_is_a_success(
    wire: Wire, path: str, content_type: str, body: bytes
) -> None:
    answer = wire.post(body, content_type, path)
    assert (answer.status, answer.body) == (200, body)
    assert wire.store.tried == []


def test_the_answer_waits_for_the_commit(wire: Wire) -> None:
    wire.store.gate.clear()
    wire.send(head(len(ONE)) + ONE)
    assert wire.store.entered.wait(WAIT_S)
    wire.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)
    wire.store.gate.set()
    wire.socket.settimeout(WAIT_S)
    assert wire.socket.recv(12) == b"HTTP/1.1 200"


def test_rejected_log_records_are_counted_in_partial_success(wire: Wire) -> None:
    logs = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(), LogRecord()])])]
    )
    answer = wire.post(logs.SerializeToString(), path="/v1/logs")
    told = ExportLogsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_log_records) == (200, 2)
    assert "2 log records are no step events" in told.error_message
    answer = wire.post(b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}', JSON, "/v1/logs")
    assert json.loads(answer.body)["partialSuccess"]["rejectedLogRecords"] == "1"


def test_metrics_are_accepted_and_counted_in_partial_success(wire: Wire) -> None:
    metric = Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint(as_int=1)]))
    request = ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])]
    )
    answer = wire.post(request.SerializeToString(), path="/v1/metrics")
    told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_data_points) == (200, 1)
    assert "not stored" in told.error_message


# Errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body"), [(PROTOBUF, b"\x0a\xff"), (JSON, b'{"resourceThings":7}')]
)
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
def test_bad_data_is_400_with_status_and_bad_request(
    wire: Wire, path: str, content_type: str, body: bytes
) -> None:
    things = {"/v1/traces": b"Spans", "/v1/logs": b"Logs", "/v1/metrics": b"Metrics"}[path]
    answer = wire.post(body.replace(b"Things", things), content_type, path)
    assert (answer.status, answer.headers["content-type"]) == (400, content_type)
    status = error_of(answer)
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].description == status.message != ""
    assert "retry-after" not in answer.headers


@BOTH
def test_an_absent_store_is_503_with_retry_after(
    wire: Wire, content_type: str, body: bytes
) -> None:
    wire.store.away_times, wire.store.retry_after_s = 1000, 7
    answer = wire.post(body, content_type)
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    info = error_details_pb2.RetryInfo()
    assert error_of(answer).details[0].Unpack(info)
    assert info.retry_delay.seconds == 7


@BOTH
def test_full_memory_is_429_with_retry_after(content_type: str, body: bytes) -> None:
    fake = FakeStore()
    config = CollectorConfig(batch_ms=0, max_pending_bytes=1024)
    with collecting(fake, ManualClock(NOW), config) as collector, serving(collector) as url:
        fake.gate.clear()
        held = collector.batcher.submit_otlp(
            Body(trace_request(*map(span, range(50))), NOW, "s"), 1
        )
        wire = Wire(int(url.rpartition(":")[2]), fake, collector)
        answer = wire.post(body, content_type)
        fake.gate.set()
        held.result(WAIT_S)
        wire.close()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert error_of(answer).message


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/grpc", "application/jsonp"]
)
def test_another_content_type_is_415(wire: Wire, content_type: str) -> None:
    answer = wire.post(ONE, content_type)
    assert answer.status == 415
    assert PROTOBUF in error_of(answer).message


def test_another_content_encoding_is_415(wire: Wire) -> None:
    assert wire.post(ONE, content_encoding="br").status == 415
    assert wire.post(ONE, content_encoding="gzip, gzip").status == 415


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/traces/", "/V1/TRACES", "/v1development/profiles"]
)
def test_an_unknown_path_is_404_with_status(wire: Wire, path: str) -> None:
    answer = wire.post(ONE, path=path)
    assert answer.status == 404
    assert "/v1/traces" in error_of(answer).message
    assert wire.post(ONE).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
def test_another_method_is_405_with_status_and_allow(wire: Wire, method: str) -> None:
    wire.send(f"{method} /v1/traces HTTP/1.1\r\nhost: t\r\naccept: */*\r\n\r\n".encode())
    answer = wire.answer(to_head=method == "HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert method in error_of(answer).message
    assert wire.post(ONE).status == 200


def test_a_body_beyond_the_limit_is_413_before_it_is_sent(wire: Wire) -> None:
    wire.send(head(LIMIT_BYTES + 1))
    answer = wire.answer()
    assert (answer.status, str(LIMIT_BYTES) in error_of(answer).message) == (413, True)


def test_a_chunked_body_beyond_the_limit_is_413_while_it_is_sent(wire: Wire) -> None:
    piece = b"%x\r\n%s\r\n" % (60_000, b"x" * 60_000)
    wire.send(head(None) + piece + piece)
    assert wire.answer().status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_body_that_inflates_beyond_the_limit_is_413(wire: Wire, encoding: str) -> None:
    bomb = PACKED[encoding](b"\0" * 50_000_000)
    assert len(bomb) < LIMIT_BYTES
    assert wire.post(bomb, content_encoding=encoding).status == 413
    assert wire.collector.batcher.budget.used_bytes == 0


def test_a_body_that_does_not_arrive_is_408_and_the_connection_is_closed(wire: Wire) -> None:
    wire.send(head(len(ONE)) + ONE[:-1])
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert "0.3 s" in error_of(answer).message
    assert wire.is_closed()
    assert wire.collector.batcher.budget.used_bytes == 0


def test_a_defect_is_500_with_status_and_the_next_request_is_served(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("by a defect")

    with monkeypatch.context() as patched:
        patched.setattr(wire.collector.batcher, "submit_otlp", broken)
        answer = wire.post(ONE)
    assert answer.status == 500
    assert "defect" in error_of(answer).message
    assert wire.post(ONE).status == 200


def test_only_what_may_be_sent_again_says_when() -> None:
    """Senders repeat after 429, 502, 503 and 504: those, and no others, have Retry-After."""
    from collector import refusals
    from stallwatch.errors import InputError, StallwatchError, StoreRefused, Transient

    errors: list[StallwatchError] = [
        InputError(""),
        refusals.TooLarge(""),
        refusals.Unsupported(""),
        refusals.TooSlow(""),
        refusals.Forbidden(""),
        refusals.Unauthorized(""),
        StoreRefused(""),
        Transient(""),
        refusals.Busy(""),
    ]
    for refusal in map(refusals.refusal_of, errors):
        may = refusal.http_status in (429, 502, 503, 504)
        assert (refusal.retry_after_s is not None) == may, refusal


# Encodings --------------------------------------------------------------------------------------------------


def _zstd_stream(data: bytes) -> bytes:
    """As streaming writers do: the length is not said."""
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.content_size_flag: 0})
    return stream.compress(data) + stream.flush()


PACKED: dict[str, Any] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "identity": bytes,
    "GZip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate ": lambda data: zlib.compress(data, wbits=-15),
    "zstd ": _zstd_stream,
    " gzip": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    " zstd": lambda data: zstd.compress(data[:9]) + _zstd_stream(data[9:]),
}


@pytest.mark.parametrize("encoding", PACKED)
def test_compressed_bodies_are_read(wire: Wire, encoding: str) -> None:
    answer = wire.post(PACKED[encoding](ONE), content_encoding=encoding)
    assert answer.status == 200
    assert wire.store.stored() == [ONE]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_small_body_may_inflate_to_a_large_one(encoding: str) -> None:
    body = trace_request(span(1, name="x" * 1_000_000))
    fake = FakeStore()
    with collecting(fake, ManualClock(NOW)) as collector, serving(collector) as url:
        wire = Wire(int(url.rpartition(":")[2]), fake, collector)
        packed = PACKED[encoding](body)
        assert len(packed) < 5000
        assert wire.post(packed, content_encoding=encoding).status == 200
        wire.close()
    assert fake.stored() == [body]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_damaged_compression_is_400(wire: Wire, encoding: str) -> None:
    for damaged in (b"", b"nothing of the kind", PACKED[encoding](ONE)[:-4]):
        answer = wire.post(damaged, content_encoding=encoding)
        assert answer.status == 400
        assert encoding in error_of(answer).message


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-protobuf; charset=utf-8", ONE),
        ("Application/X-Protobuf;messageType=x", ONE),
        ('application/json ; charset="UTF-8"', ONE_JSON),
    ],
)
def test_content_types_may_have_parameters(wire: Wire, content_type: str, body: bytes) -> None:
    answer = wire.post(body, content_type)
    assert answer.status == 200
    assert answer.headers["content-type"] == (JSON if body is ONE_JSON else PROTOBUF)


def test_header_names_and_values_are_read_in_any_case(wire: Wire) -> None:
    packed = gzip.compress(ONE)
    wire.send(
        b"POST /v1/traces HTTP/1.1\r\nHOST:t\r\nCoNtEnT-tYpE:   APPLICATION/X-PROTOBUF  \r\n"
        b"CONTENT-ENCODING:\tGZIP\r\ncontent-LENGTH: %d\r\n\r\n%s" % (len(packed), packed)
    )
    assert wire.answer().status == 200
    assert wire.store.stored() == [ONE]


def test_unknown_fields_are_ignored(wire: Wire) -> None:
    # Field 1000, of length 3, at the end of the request.
    assert wire.post(ONE + b"\xc2\x3e\x03new").status == 200
    one = {"spans": [{"name": "s", "newField": {"x": [1]}}], "another": None}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [one]}], "x": 1}).encode()
    assert wire.post(body, JSON).status == 200
    assert len(wire.store.stored()) == 2


# JSON -------------------------------------------------------------------------------------------------------


def stored_span(wire: Wire, **fields: Any) -> Any:
    """What is stored of a span that was sent as JSON."""
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()
    answer = wire.post(body, JSON)
    assert answer.status == 200, answer.body
    payload = wire.store.stored()[-1]
    assert isinstance(payload, bytes)
    return ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]


def test_json_ids_are_hex_in_any_case(wire: Wire) -> None:
    read = stored_span(wire, traceId="5B8EFFF798038103D269B633813FC60C", spanId="eee19b7ec3c1b174")
    assert read.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert read.span_id.hex() == "eee19b7ec3c1b174"
    for wrong in ("W47/95gDgQPSabYzgT/GDA==", "xyz"):
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": wrong}]}]}]})
        assert wire.post(body.encode(), JSON).status == 400


def test_json_enums_are_numbers_or_names(wire: Wire) -> None:
    assert stored_span(wire, kind=5).kind == 5
    assert stored_span(wire, kind="SPAN_KIND_CONSUMER").kind == 5
    assert stored_span(wire, status={"code": 2}).status.code == Status.STATUS_CODE_ERROR


def test_json_64_bit_numbers_are_text_or_numbers(wire: Wire) -> None:
    assert stored_span(wire, startTimeUnixNano="1544712660300000001").start_time_unix_nano == (
        1544712660300000001
    )
    assert stored_span(wire, startTimeUnixNano=1544712660300000001).start_time_unix_nano == (
        1544712660300000001
    )


def attribute(wire: Wire, **value: Any) -> Any:
    return stored_span(wire, attributes=[{"key": "k", "value": value}]).attributes[0].value


def test_json_bytes_are_base64_and_doubles_may_be_text(wire: Wire) -> None:
    assert attribute(wire, bytesValue="AP8=").bytes_value == b"\x00\xff"
    assert attribute(wire, intValue="-9223372036854775808").int_value == -(2**63)
    assert attribute(wire, doubleValue="-Infinity").double_value == float("-inf")
    assert str(attribute(wire, doubleValue="NaN").double_value) == "nan"


def test_json_names_are_in_camel_case_only(wire: Wire) -> None:
    assert wire.post(b'{"resource_spans":7}', JSON).status == 200
    assert wire.store.tried == []
    assert stored_span(wire, name="s", trace_id="no").trace_id == b""


# HTTP/1.1 ---------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_for_more_requests_also_after_errors(wire: Wire) -> None:
    assert wire.post(ONE).status == 200
    assert wire.post(b"\x0a\xff").status == 400
    assert wire.post(b"x", "text/plain").status == 415
    assert wire.post(b"x" * (LIMIT_BYTES + 1)).status == 413
    assert wire.post(b"", path="/nowhere").status == 404
    assert wire.post(ONE).status == 200


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    bodies = [trace_request(span(number)) for number in (1, 2)]
    asked = [
        ("/v1/traces", bodies[0], 200),
        ("/nowhere", b"", 404),
        ("/v1/metrics", b"", 200),
        ("/v1/traces", b"\x0a\xff", 400),
        ("/healthz", b"", 405),
        ("/v1/traces", bodies[1], 200),
    ]
    wire.send(b"".join(head(len(body), path=path) + body for path, body, _ in asked))
    assert [wire.answer().status for _ in asked] == [status for _, _, status in asked]
    assert wire.store.stored() == bodies


def test_chunked_bodies_are_read_however_they_are_cut(wire: Wire) -> None:
    wire.send(head(None, content_encoding="gzip"))
    packed = gzip.compress(ONE)
    for byte in packed:
        wire.send(b"1;extension=x\r\n%c\r\n" % byte)
    wire.send(b"0\r\ntrailer: x\r\n\r\n")
    assert wire.answer().status == 200
    assert wire.store.stored() == [ONE]
    assert wire.post(ONE).status == 200


def test_a_sender_that_asks_first_is_told_to_go_on(wire: Wire) -> None:
    wire.send(head(len(ONE), expect="100-continue"))
    assert wire.answer().status == 100
    wire.send(ONE)
    assert wire.answer().status == 200
    wire.send(head(LIMIT_BYTES + 1, expect="100-continue"))
    assert wire.answer().status == 413


def test_http_1_0_and_connection_close_are_honoured(wire: Wire) -> None:
    assert wire.post(ONE, connection="close").status == 200
    assert wire.is_closed()
    again = Wire(wire.port, wire.store, wire.collector)
    again.send(head(len(ONE)).replace(b"HTTP/1.1", b"HTTP/1.0") + ONE)
    assert again.answer().status == 200
    assert again.is_closed()
    again.close()


def test_what_is_not_http_is_answered_and_closed(wire: Wire) -> None:
    wire.send(b"\x16\x03\x01 this is TLS, or something else\r\n\r\n")
    assert wire.answer().status == 400
    assert wire.is_closed()


def test_a_sender_that_goes_away_leaves_nothing_behind(wire: Wire) -> None:
    going = Wire(wire.port, wire.store, wire.collector)
    going.send(head(len(ONE)) + ONE[:-1])
    going.close()
    assert wire.post(ONE).status == 200
    assert wire.store.stored() == [ONE]
    while wire.collector.batcher.budget.used_bytes:
        assert wire.post(b"").status == 200
