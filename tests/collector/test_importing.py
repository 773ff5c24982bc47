"""Files to the store: every format, bad documents named, the rest stored, all of it history."""

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.importing import CHUNK_EVENTS, Progress
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.errors import InputError, Transient
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, span, step_event, trace_request

START_NS = int(NOW.timestamp()) * 10**9


@pytest.fixture
def collector(store: Store) -> Iterator[Collector]:
    with collecting(store, ManualClock(NOW)) as collector:
        yield collector


def json_document(number: int) -> dict[str, object]:
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
