"""Files to the store: every format, bad documents named, the rest stored, all of it history."""

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)

from collector.importing import CHUNK_EVENTS, Progress
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.errors import InputError, Transient
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, span, step_event, trace_request
from tests.collector.test_logs import record, request

START_NS = int(NOW.timestamp()) * 10**9


@pytest.fixture
def collector(store: Store) -> Iterator[Collector]:
    with collecting(store, ManualClock(NOW)) as collector:
        yield collector


def json_document(number: int) -> dict[str, Any]:
    one = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": f"span {number}",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 5),
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}


def lines(*documents: object) -> bytes:
    return b"".join(
        (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n"
        for document in documents
    )


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def errors_of(progress: list[Progress]) -> list[str]:
    return [error for step in progress for error in step.errors]


@pytest.mark.parametrize(
    "content",
    [
        lines(json_document(1), json_document(2)),
        b"\xef\xbb\xbf\n" + lines(json_document(1), b"", json_document(2)),
        json.dumps([json_document(1), json_document(2)], indent=2).encode(),
        trace_request(span(1), span(2)),
        framed(trace_request(span(1)), trace_request(span(2))),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_otlp_files(
    store: Store,
    collector: Collector,
    tmp_path: Path,
    content: bytes,
    pack: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / "traces"
    path.write_bytes(pack(content))
    progress = list(collector.import_otlp([str(path)]))
    assert errors_of(progress) == []
    assert (progress[-1].accepted, progress[-1].bytes_total) == (2, path.stat().st_size)
    assert progress[-1].bytes_done == progress[-1].bytes_total
    store.fold(NOW)
    rows = store.select("SELECT name, historical, sender FROM span_log ORDER BY name")
    assert rows == [
        {"name": f"span {number}", "historical": True, "sender": "import"} for number in (1, 2)
    ]


def test_protobuf_that_begins_like_json(collector: Collector, tmp_path: Path) -> None:
    name_length = 0
    body = trace_request(span(1))
    while body[:2] != b"\n{":
        name_length += 1
        body = trace_request(span(1, name="x" * name_length))
    path = tmp_path / "traces.pb"
    path.write_bytes(body)
    progress = list(collector.import_otlp([str(path)]))
    assert (errors_of(progress), progress[-1].accepted) == ([], 1)


def test_one_json_document_over_many_lines(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(json_document(1), indent=4))
    progress = list(collector.import_otlp([str(path)]))
    assert (errors_of(progress), progress[-1].accepted) == ([], 1)


def test_bad_documents_are_named_and_the_rest_goes_on(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "traces.jsonl"
    bad_id = json.loads(json.dumps(json_document(9)).replace("traceId", "spanId"))
    bad_id["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "xyz"
    path.write_bytes(
        lines(
            json_document(1),
            b"{broken",
            bad_id,
            {"something": "else"},
            {"resourceLogs": []},
            json_document(2),
        )
    )
    progress = list(collector.import_otlp([str(path)]))
    errors = errors_of(progress)
    assert [error.split(":")[0] for error in errors] == [
        f"{path}, line 2",
        f"{path}, line 3",
        f"{path}, line 4",
    ]
    assert "traceId" in errors[1]
    assert progress[-1].accepted == 2
    store.fold(NOW)
    assert len(store.select("SELECT 1 FROM span_log")) == 2


def test_spans_without_a_namespace_get_the_one_that_is_said(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "traces.jsonl"
    own = json_document(2)
    attribute = {"key": "stallwatch.namespace", "value": {"stringValue": "own"}}
    own["resourceSpans"][0]["resource"] = {"attributes": [attribute]}
    path.write_bytes(lines(json_document(1), own))
    assert errors_of(list(collector.import_otlp([str(path)], "shop"))) == []
    store.fold(NOW)
    assert store.select("SELECT name, namespace FROM span_log ORDER BY name") == [
        {"name": "span 1", "namespace": "shop"},
        {"name": "span 2", "namespace": "own"},
    ]


def log_document(message: ExportLogsServiceRequest) -> dict[str, object]:
    """As the OTLP exporters write it in JSON: ids are left out here, protobuf's JSON has no hex for them."""
    return dict(json_format.MessageToDict(message))


def metrics_request() -> ExportMetricsServiceRequest:
    gauge = Gauge(data_points=[NumberDataPoint(as_int=1), NumberDataPoint(as_int=2)])
    metric = Metric(name="a gauge of sixteen", gauge=gauge)
    group = ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[metric])])
    return ExportMetricsServiceRequest(resource_metrics=[group])


@pytest.mark.parametrize("as_json", [True, False])
def test_log_records_that_are_step_events_are_imported(
    store: Store, collector: Collector, tmp_path: Path, as_json: bool
) -> None:
    logged = request(record(1), record(2, namespace="own"), record(3, event_name="other"))
    metrics = metrics_request()
    path = tmp_path / "telemetry"
    path.write_bytes(
        lines(json_document(1), log_document(logged), json_format.MessageToDict(metrics))
        if as_json
        else framed(trace_request(span(1)), logged.SerializeToString(), metrics.SerializeToString())
    )
    progress = list(collector.import_otlp([str(path)], "shop"))
    assert errors_of(progress) == []
    assert (progress[-1].accepted, progress[-1].passed_over) == (3, 3)
    rows = store.select(
        "SELECT execution_id, namespace, historical FROM step_event_log ORDER BY execution_id"
    )
    assert rows == [
        {"execution_id": "o-1", "namespace": "shop", "historical": True},
        {"execution_id": "o-2", "namespace": "own", "historical": True},
    ]
    store.fold(NOW)
    assert store.select("SELECT name FROM span_log") == [{"name": "span 1"}]


def test_many_log_records_go_in_chunks_and_bad_ones_are_told(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    count = CHUNK_EVENTS + 1
    logged = request(*(record(number) for number in range(count)), record(0, attempt=-1))
    path = tmp_path / "logs.jsonl"
    path.write_bytes(lines(log_document(logged)))
    progress = list(collector.import_otlp([str(path)]))
    (error,) = errors_of(progress)
    assert error.startswith(f"{path}, line 1: 1 step event is refused: record {count}: attempt: ")
    assert (progress[-1].accepted, progress[-1].passed_over) == (count, 0)
    assert store.select("SELECT count() AS n FROM step_event_log") == [{"n": count}]


def test_a_log_record_that_the_store_refuses_is_told_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_bytes(lines(log_document(request(*(record(number) for number in range(3))))))
    fake = FakeStore(bad={"o-1"})
    with collecting(fake, ManualClock(NOW)) as collector:
        progress = list(collector.import_otlp([str(path)]))
    (error,) = errors_of(progress)
    assert f"{path}, line 1: the store refused" in error
    assert (progress[-1].accepted, sorted(map(str, fake.stored()))) == (2, ["o-0", "o-2"])


def test_a_document_that_is_cut_off_is_told_as_one(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    for document in (json_document(1), [json_document(1), json_document(2)]):
        path.write_text(json.dumps(document, indent=2)[:-40])
        for progress in (collector.import_otlp([str(path)]), collector.import_events([str(path)])):
            assert errors_of(list(progress)) == [
                f"{path}, line 1: the JSON ends in the middle: it is cut off"
            ]


def test_lines_behind_one_that_is_cut_off_are_read(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(lines(b'{"resourceSpans":[', json_document(1)))
    progress = list(collector.import_otlp([str(path)]))
    assert errors_of(progress) == [f"{path}, line 1: the JSON ends in the middle: it is cut off"]
    assert progress[-1].accepted == 1


@pytest.mark.parametrize(
    ("content", "stored", "says"),
    [
        (framed(trace_request(span(1)), b"\x0a\xff", trace_request(span(2))), 2, "message 1"),
        (framed(trace_request(span(1)), trace_request(span(2)))[:-4], 1, "message 1: ends after"),
        (framed(trace_request(span(1))) + b"\0", 1, "message 1: has no length"),
        (b"\x12\x00garbage", 0, "message 0: not an ExportTraceServiceRequest"),
        (gzip.compress(lines(json_document(1)) * 2, mtime=0)[:-6], 0, "cannot be read further"),
        (lines(b"{nonsense", json_document(1)), 1, "line 1"),
    ],
)
def test_damaged_files(
    collector: Collector, tmp_path: Path, content: bytes, stored: int, says: str
) -> None:
    path = tmp_path / "traces"
    path.write_bytes(content)
    progress = list(collector.import_otlp([str(path)]))
    errors = errors_of(progress)
    assert len(errors) == 1
    assert says in errors[0]
    assert progress[-1].accepted == stored


def test_an_empty_file_and_a_missing_one(collector: Collector, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert [step.accepted for step in collector.import_otlp([str(empty)])] == [0]
    assert [step.accepted for step in collector.import_events([str(empty)])] == [0]
    with pytest.raises(InputError, match="nowhere"):
        list(collector.import_events([str(tmp_path / "nowhere")]))


def test_events_in_chunks_with_progress(store: Store, collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    count = 2 * CHUNK_EVENTS + 1
    documents: list[object] = [step_event(number) for number in range(count)]
    documents[700] = step_event(700, attempt=-1)
    path.write_bytes(lines(*documents))
    progress = list(collector.import_events([str(path)], namespace="shop"))
    assert len(progress) == 3
    assert errors_of(progress) == [f"{path}, line 701: attempt: must be between 0 and 2147483647"]
    assert progress[-1].accepted == count - 1
    row = store.select(
        "SELECT uniqExact(execution_id) AS n, any(namespace) AS namespace, "
        "min(historical) AS historical FROM step_event_log"
    )
    assert row == [{"n": count - 1, "namespace": "shop", "historical": True}]


def test_importing_the_same_file_again_adds_nothing(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "events.json"
    path.write_text(json.dumps([step_event(1), step_event(2)], indent=1))
    for _ in range(2):
        assert errors_of(list(collector.import_events([str(path)]))) == []
    rows = store.select("SELECT execution_id FROM step_event_log FINAL ORDER BY 1")
    assert [row["execution_id"] for row in rows] == ["o-1", "o-2"]


def test_standard_input(
    collector: Collector, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = gzip.compress(lines(step_event(1), b"oops", step_event(2)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    progress = list(collector.import_events(["-"]))
    assert [error.split(":")[0] for error in errors_of(progress)] == ["-, line 2"]
    assert progress[-1].accepted == 2


def test_a_chunk_that_the_store_refuses_is_taken_apart(tmp_path: Path) -> None:
    fake = FakeStore(bad={"o-3"})
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(*(step_event(number) for number in range(6))))
    with collecting(fake, ManualClock(NOW)) as collector:
        progress = list(collector.import_events([str(path)]))
    assert len(errors_of(progress)) == 1
    assert f"{path}, line 4: the store refused" in errors_of(progress)[0]
    assert progress[-1].accepted == 5
    assert sorted(map(str, fake.stored())) == ["o-0", "o-1", "o-2", "o-4", "o-5"]


def test_a_store_that_is_away_ends_the_import(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(step_event(1)))
    fake = FakeStore(away_times=1000)
    with collecting(fake, ManualClock(NOW)) as collector, pytest.raises(Transient):
        list(collector.import_events([str(path)]))
