"""Log records that are step events: over HTTP in both encodings and over gRPC, and what is told of the rest."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry._logs import Logger
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter

from collector import logs
from collector.logs import Records, read_records
from collector.otlp import LOGS
from collector.refusals import TooLarge
from collector.service import Collector
from stallwatch.clock import ManualClock, SystemClock
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, serving

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
PROTOBUF = {"content-type": "application/x-protobuf"}
WAIT_S = 30
NOW_NS = int(NOW.timestamp()) * 1_000_000_000


def any_value(value: Any) -> AnyValue:
    """The typed value that an SDK would send."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
        case None:
            return AnyValue()
        case _:
            return AnyValue(string_value=value)


def pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def record(
    number: int = 1, event_name: str = "stallwatch.step.started", **fields: Any
) -> LogRecord:
    """`fields`: of the step event, with the prefix left out."""
    said = {"workflow": "order", "execution_id": f"o-{number}", "step": "charge", **fields}
    return LogRecord(
        time_unix_nano=NOW_NS,
        event_name=event_name,
        attributes=pairs({f"stallwatch.{name}": value for name, value in said.items()}),
    )


def request(*records: LogRecord, **resource: Any) -> ExportLogsServiceRequest:
    group = ResourceLogs(
        resource=Resource(attributes=pairs(resource)), scope_logs=[ScopeLogs(log_records=records)]
    )
    return ExportLogsServiceRequest(resource_logs=[group])


def read(*records: LogRecord, **resource: Any) -> Records:
    return read_records(request(*records, **resource), NOW, "default")


def event_of(one: LogRecord, **resource: Any) -> StepEvent:
    found = read(one, **resource)
    assert found.told() == ""
    return found.steps.events[0]


# What a record says -----------------------------------------------------------------------------------------


def test_every_field_of_a_step_event_can_be_said() -> None:
    said: dict[str, Any] = {
        "event": "step.waiting",
        "time": "2026-01-05T11:59:00.123456Z",
        "workflow": "order",
        "execution_id": "o-1",
        "step": "charge",
        "engine": "own",
        "namespace": "shop",
        "run_id": "r",
        "workflow_version": "v2",
        "parent_execution_id": "p",
        "step_run_id": "s",
        "attempt": 2,
        "branch": "1.2",
        "event_id": "e",
        "sequence": 0,
        "queue": "q",
        "worker": "w",
        "downstream": "d",
        "region": "eu",
        "idempotency_key": "k",
        "timeout_s": 2.5,
        "heartbeat_timeout_s": 1.5,
        "schedule_to_start_timeout_s": 3.5,
        "schedule_to_close_timeout_s": 4.5,
        "max_attempts": 3,
        "backoff_s": 0.5,
        "backoff_rate": 2.0,
        "backoff_max_s": 9.0,
        "waiting_on": "timer",
        "due": "2026-01-06T00:00:00Z",
        "error_type": "E",
        "error_message": "m",
        "payload_bytes": 10,
        "compensates": "reserve",
        "is_replay": True,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "attributes": {"a": 1},
    }
    expected = event_from_dict(said, NOW)
    assert set(said) == set(StepEvent.__struct_fields__)
    name = f"stallwatch.{said['event']}"
    one = LogRecord(
        event_name=name,
        attributes=pairs({f"stallwatch.{k}": v for k, v in said.items() if k != "event"}),
    )
    assert event_of(one) == expected
    as_text = {
        key: value
        if isinstance(value, dict)
        else str(value).lower()
        if value is True
        else str(value)
        for key, value in said.items()
        if key != "event"
    }
    one = LogRecord(
        event_name=name, attributes=pairs({f"stallwatch.{k}": v for k, v in as_text.items()})
    )
    assert event_of(one) == expected


def test_the_name_may_be_an_attribute_and_the_field_wins() -> None:
    one = record(event_name="")
    one.attributes.extend(pairs({"event.name": "stallwatch.workflow.completed"}))
    assert event_of(one).event == "workflow.completed"
    assert event_of(one).attributes == {}
    one.event_name = "stallwatch.step.started"
    assert event_of(one).event == "step.started"


def test_other_attributes_are_kept_with_their_types() -> None:
    one = record(attributes={"own": 1, "x": "said"}, new_field="later")
    values = {"x": "other", "n": 7, "f": 0.5, "b": False, "l": [1, "a"], "d": {"k": None}}
    one.attributes.extend(pairs({**values, "raw": b"\x00\xff"}))
    assert event_of(one).attributes == {
        **values,
        "raw": "AP8=",
        "own": 1,
        "x": "said",
        "new_field": "later",
    }


def test_the_time_is_said_or_of_the_record_or_when_it_was_seen() -> None:
    one = record()
    one.observed_time_unix_nano = 5
    assert event_of(one).time == NOW
    one.time_unix_nano, one.observed_time_unix_nano = 0, NOW_NS + 1_999
    assert event_of(one).time == NOW.replace(microsecond=1)
    one.attributes.extend(pairs({"stallwatch.time": "2026-01-05T10:00:00+01:00"}))
    assert event_of(one).time == datetime(2026, 1, 5, 9, tzinfo=UTC)


def test_ids_are_the_records_unless_said_and_zeros_are_none() -> None:
    one = record()
    one.trace_id, one.span_id = bytes(range(16)), bytes(range(8))
    assert event_of(one).trace_id == bytes(range(16)).hex()
    assert event_of(one).span_id == bytes(range(8)).hex()
    one.attributes.extend(pairs({"stallwatch.trace_id": "a" * 32}))
    assert event_of(one).trace_id == "a" * 32
    one = record()
    one.trace_id, one.span_id = bytes(16), bytes(8)
    assert (event_of(one).trace_id, event_of(one).span_id) == ("", "")


def test_the_namespace_is_the_records_or_the_resources_or_the_senders() -> None:
    assert event_of(record()).namespace == "default"
    resource = {"stallwatch.namespace": "shop"}
    assert event_of(record(), **resource).namespace == "shop"
    assert event_of(record(namespace="own"), **resource).namespace == "own"


def test_the_same_record_sent_again_is_the_same_event() -> None:
    assert event_of(record()).event_id == event_of(record()).event_id
    assert event_of(record()).event_id != event_of(record(2)).event_id


# What is not taken ------------------------------------------------------------------------------------------


def test_records_that_are_not_ours_are_counted_in_words() -> None:
    others = [LogRecord(), LogRecord(event_name="step.started"), LogRecord(event_name="stallwatch")]
    found = read(record(), *others)
    assert (found.steps.accepted, found.others, found.rejected, found.count) == (1, 3, 3, 4)
    assert found.told() == (
        "3 log records are no step events (event name stallwatch.*) and not stored"
    )
    assert read(LogRecord()).told().startswith("1 log record is no step event")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"step": ""}, "step: is required"),
        ({"workflow": None}, "workflow: is required"),
        ({"execution_id": 5}, "execution_id: Expected `str`"),
        ({"attempt": "two"}, "attempt: Expected `int"),
        ({"attempt": 1.5}, "attempt: Expected `int"),
        ({"attempt": 0}, "attempt: is counted from 1"),
        ({"timeout_s": float("nan")}, "timeout_s: must not be negative"),
        ({"timeout_s": "nan"}, "timeout_s: "),
        ({"is_replay": "perhaps"}, "is_replay: Expected `bool`"),
        ({"attributes": "a"}, "attributes: Expected `object`"),
        ({"time": "1999-12-31T23:59:59Z"}, "before 2000"),
        ({"time": "2026-01-06T12:00:01Z"}, "more than 24 h ahead"),
        ({"time": "2026-01-05T12:00:00"}, "needs an offset"),
        ({"trace_id": "xyz"}, "trace_id: must be 32 hex digits"),
        ({"event_name": "stallwatch.step.exploded"}, "'step.exploded' is not a known event"),
        ({"event_name": "stallwatch."}, "event: is required"),
    ],
)
def test_a_step_event_is_refused_by_the_rules_of_v1_events(
    fields: dict[str, Any], says: str
) -> None:
    found = read(record(1), record(2, **fields), LogRecord(), record(3))
    assert [event.execution_id for event in found.steps.events] == ["o-1", "o-3"]
    assert (found.steps.rejected, found.others, found.rejected) == (1, 1, 2)
    assert says in found.told()
    assert "1 step event is refused: record 1: " in found.told()
    assert found.told().startswith("1 log record is no step event")


@pytest.mark.parametrize(
    ("nanoseconds", "says"),
    [(0, "time: is required"), (5, "before 2000"), (NOW_NS * 2, "24 h"), (2**64 - 1, "24 h")],
)
def test_times_of_records_that_cannot_be(nanoseconds: int, says: str) -> None:
    one = record()
    one.time_unix_nano = nanoseconds
    assert says in read(one).told()


def test_the_first_reasons_are_told() -> None:
    told = read(*(record(n, step="") for n in range(20))).told()
    assert told.startswith("20 step events are refused: record 0: step: ")
    assert "record 2: " in told
    assert "record 3: " not in told
    assert told.endswith("; …")


def test_nesting_is_bounded() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    assert "nested" in read(record(deep=deep)).told()


def test_too_many_are_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "EVENTS_MAX", 2)
    assert read(record(1), LogRecord(), record(2)).steps.accepted == 2
    with pytest.raises(TooLarge, match="split"):
        read(record(1), record(2, step=""), record(3))


# Over the wire ----------------------------------------------------------------------------------------------

Post = Callable[[ExportLogsServiceRequest], ExportLogsPartialSuccess]


def as_json(message: ExportLogsServiceRequest) -> bytes:
    """A request of `request()` as OTLP has it in JSON: ids in hex, 64-bit numbers as text."""

    def value(one: AnyValue) -> dict[str, Any]:
        kind = one.WhichOneof("value")
        return (
            {"intValue": str(one.int_value)}
            if kind == "int_value"
            else {"stringValue": one.string_value}
        )

    return json.dumps(
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": str(one.time_unix_nano),
                                    "severityNumber": "SEVERITY_NUMBER_INFO",
                                    "traceId": one.trace_id.hex().upper(),
                                    "eventName": one.event_name,
                                    "attributes": [
                                        {"key": p.key, "value": value(p.value)}
                                        for p in one.attributes
                                    ],
                                    "newField": {"unknown": True},
                                }
                                for scope in group.scope_logs
                                for one in scope.log_records
                            ]
                        }
                    ]
                }
                for group in message.resource_logs
            ]
        }
    ).encode()


@pytest.fixture
def collector(store: Store) -> Iterator[Collector]:
    with collecting(store, ManualClock(NOW)) as collector:
        yield collector


@pytest.fixture(params=["protobuf", "json", "grpc"])
def post(request: pytest.FixtureRequest, collector: Collector) -> Iterator[Post]:
    def over_http(message: ExportLogsServiceRequest) -> ExportLogsPartialSuccess:
        body = message.SerializeToString()
        answer = httpx.post(f"{url}/v1/logs", content=body, headers=PROTOBUF)
        assert answer.status_code == 200
        return ExportLogsServiceResponse.FromString(answer.content).partial_success

    def over_json(message: ExportLogsServiceRequest) -> ExportLogsPartialSuccess:
        headers = {"content-type": "application/json"}
        answer = httpx.post(f"{url}/v1/logs", content=as_json(message), headers=headers)
        assert answer.status_code == 200
        said = answer.json().get("partialSuccess", {})
        return ExportLogsPartialSuccess(
            rejected_log_records=int(said.get("rejectedLogRecords", "0")),
            error_message=said.get("errorMessage", ""),
        )

    def over_grpc(message: ExportLogsServiceRequest) -> ExportLogsPartialSuccess:
        answer = channel.unary_unary(EXPORT)(message.SerializeToString(), timeout=WAIT_S)
        return ExportLogsServiceResponse.FromString(answer).partial_success

    if request.param == "grpc":
        with grpc.insecure_channel(f"127.0.0.1:{collector.start_grpc('127.0.0.1:0')}") as channel:
            yield over_grpc
    else:
        with serving(collector) as url:
            yield over_json if request.param == "json" else over_http


def test_step_events_in_logs_are_stored_as_events(post: Post, store: Store) -> None:
    one = record(1, attempt=2, timeout_s="30", queue="q")
    one.trace_id = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
    assert post(request(one)) == ExportLogsPartialSuccess()
    columns = "event, time, workflow, execution_id, step, attempt, timeout_s, queue, trace_id, road, namespace"
    assert store.select(f"SELECT {columns} FROM step_event_log") == [
        {
            "event": "step.started",
            "time": NOW,
            "workflow": "order",
            "execution_id": "o-1",
            "step": "charge",
            "attempt": 2,
            "timeout_s": 30.0,
            "queue": "q",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "road": "event",
            "namespace": "default",
        }
    ]


def test_what_is_not_stored_is_told_and_counted(
    post: Post, store: Store, collector: Collector
) -> None:
    told = post(
        request(LogRecord(), record(1), record(2, step=""), record(3, time="1970-01-01T00:00:00Z"))
    )
    assert told.rejected_log_records == 3
    assert "1 log record is no step event" in told.error_message
    assert "2 step events are refused: record 2: step: is required" in told.error_message
    assert "record 3: time: " in told.error_message
    rows = store.select("SELECT execution_id FROM step_event_log")
    assert [row["execution_id"] for row in rows] == ["o-1"]
    collector.close()
    assert [
        row["rejected"] for row in store.select("SELECT sum(rejected) AS rejected FROM sender_beat")
    ] == [2]


def emit(logger: Logger) -> None:
    for number in range(300):
        logger.emit(
            timestamp=NOW_NS,
            event_name="stallwatch.step.started",
            attributes={
                "stallwatch.workflow": "order",
                "stallwatch.execution_id": f"o-{number}",
                "stallwatch.step": "charge",
                "stallwatch.attempt": 1,
                "stallwatch.timeout_s": 2.5,
            },
        )


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_the_python_sdks_log_emitter_tells_of_steps(store: Store, way: str) -> None:
    with collecting(store, SystemClock()) as collector, serving(collector) as url:
        exporter: LogRecordExporter
        if way == "http":
            exporter = HttpExporter(endpoint=f"{url}/v1/logs")
        else:
            port = collector.start_grpc("127.0.0.1:0")
            exporter = GrpcExporter(endpoint=f"127.0.0.1:{port}", insecure=True)
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        emit(provider.get_logger("stallwatch-test"))
        provider.shutdown()
    rows = store.select(
        "SELECT count() AS n, uniqExact(execution_id) AS different, max(attempt) AS attempt, "
        "max(timeout_s) AS timeout_s FROM step_event_log"
    )
    assert rows == [{"n": 300, "different": 300, "attempt": 1, "timeout_s": 2.5}]


@pytest.mark.parametrize("headers", [PROTOBUF, {"content-type": "application/json"}])
def test_a_store_that_is_away_is_told_so_that_logs_are_sent_again(headers: dict[str, str]) -> None:
    fake = FakeStore(away_times=1000)
    message = request(record())
    body = message.SerializeToString() if headers is PROTOBUF else as_json(message)
    with collecting(fake, ManualClock(NOW)) as collector, serving(collector) as url:
        answer = httpx.post(f"{url}/v1/logs", content=body, headers=headers)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def test_what_is_no_logs_request_is_refused() -> None:
    for body, is_json in ((b"\x0a\xff", False), (b'{"resourceLogs":1}', True), (b"[]", True)):
        with pytest.raises(InputError):
            LOGS.read(body, is_json, NOW, "default")
