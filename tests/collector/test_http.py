"""OTLP/HTTP on a real socket: what is taken, what is refused and how it is told."""

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from google.rpc import status_pb2

from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.store import Body, Store
from tests.collector.helpers import (
    NOW,
    FakeStore,
    collecting,
    serving,
    span,
    step_event,
    trace_request,
    zip_bomb,
)

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def fake() -> FakeStore:
    return FakeStore()


@pytest.fixture
def client(fake: FakeStore) -> Iterator[httpx.Client]:
    """Over a fake store, with small limits."""
    config = CollectorConfig(batch_ms=0, max_body_bytes=100_000, max_inflated_bytes=200_000)
    with (
        collecting(fake, ManualClock(NOW), config) as collector,
        serving(collector) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


@pytest.fixture
def stored(store: Store) -> Iterator[httpx.Client]:
    """Over the real store."""
    with (
        collecting(store, ManualClock(NOW)) as collector,
        serving(collector) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def error_of(response: httpx.Response) -> str:
    """The message of a google.rpc.Status in the encoding of the answer."""
    if response.headers["content-type"] == "application/x-protobuf":
        status = status_pb2.Status.FromString(response.content)
        assert status.code
        return str(status.message)
    assert response.headers["content-type"] == "application/json"
    assert response.json()["code"]
    return str(response.json()["message"])


@pytest.mark.parametrize(
    ("headers", "content", "status", "says"),
    [
        (PROTOBUF, b"\x0a\xff", 400, "ExportTraceServiceRequest"),
        (PROTOBUF, trace_request(span(1))[:-5], 400, "ExportTraceServiceRequest"),
        (JSON, b'{"resourceSpans":[', 400, "ends in the middle"),
        (JSON, b'{"resourceSpans":5}', 400, "resourceSpans"),
        (JSON, b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}', 400, "hex"),
        (JSON, b"\xff\xfe", 400, "malformed"),
        ({"content-type": "text/plain"}, b"hello", 415, "text/plain"),
        ({}, b"hello", 415, "send application/x-protobuf"),
        ({"content-type": "application/json; charset=utf-16"}, b"{}", 415, "utf-16"),
        ({**PROTOBUF, "content-encoding": "br"}, b"x", 415, "br"),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"not gzip", 400, "gzip"),
        (
            {**PROTOBUF, "content-encoding": "gzip"},
            gzip.compress(b"x" * 999, mtime=0)[:-9],
            400,
            "early",
        ),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"", 400, "empty"),
        (
            {**PROTOBUF, "content-encoding": "gzip"},
            gzip.compress(b"", mtime=0) * 99,
            400,
            "members",
        ),
        ({**PROTOBUF, "content-encoding": "gzip"}, zip_bomb(50_000_000), 413, "200000"),
        ({**JSON, "content-encoding": "deflate"}, zlib.compress(b" " * 300_000), 413, "200000"),
        (PROTOBUF, b"x" * 100_001, 413, "100000"),
        (JSON, b"x" * 100_001, 413, "100000"),
    ],
)
def test_what_cannot_be_read_goes_back_with_the_reason(
    client: httpx.Client,
    fake: FakeStore,
    headers: dict[str, str],
    content: bytes,
    status: int,
    says: str,
) -> None:
    answer = client.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == status
    assert says in error_of(answer)
    assert "retry-after" not in answer.headers
    good = trace_request(span(1))
    assert client.post("/v1/traces", content=good, headers=PROTOBUF).status_code == 200
    assert fake.stored() == [good]


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/v1/trace", 404, "/v1/traces"),
        ("POST", "/v1/traces/", 404, "/v1/traces"),
        ("GET", "/v1/traces", 405, "GET"),
        ("DELETE", "/v1/events", 405, "DELETE"),
        ("POST", "/v1/engines/cadence", 404, "stepfunctions"),
    ],
)
@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_unknown_paths_and_methods(
    client: httpx.Client, method: str, path: str, status: int, says: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert says in error_of(answer)
    if status == 405:
        assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_a_store_that_is_away_is_503_with_retry_after(
    client: httpx.Client, fake: FakeStore, headers: dict[str, str]
) -> None:
    fake.away_times = 1000
    one = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "s"}]}]}]}
    content = json.dumps(one).encode() if headers is JSON else trace_request(span(1))
    answer = client.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "away" in error_of(answer)
    answer = client.post("/v1/events", json=step_event(1))
    assert (answer.status_code, int(answer.headers["retry-after"])) == (503, 5)


def test_full_memory_is_429_with_retry_after() -> None:
    fake = FakeStore()
    config = CollectorConfig(batch_ms=0, max_pending_bytes=10_000)
    with (
        collecting(fake, ManualClock(NOW), config) as collector,
        serving(collector) as url,
        httpx.Client(base_url=url) as client,
    ):
        fake.gate.clear()
        body = trace_request(*(span(n) for n in range(200)))
        assert len(body) > 9_000
        held = collector.batcher.submit_otlp(Body(body, NOW, "s"), 200)
        answer = client.post("/v1/traces", content=body, headers=PROTOBUF)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert client.post("/v1/events", content=b" " * 9_000).status_code == 429
        fake.gate.set()
        held.result(30)
        assert client.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
        assert collector.batcher.budget.used_bytes == 0


def test_the_store_refusing_one_body_does_not_harm_others(
    client: httpx.Client, fake: FakeStore
) -> None:
    bad = trace_request(span(1, name="bad"))
    fake.bad = {bad}
    answer = client.post("/v1/traces", content=bad, headers=PROTOBUF)
    assert answer.status_code == 400
    assert "refused" in error_of(answer)
    answer = client.post("/v1/traces", content=trace_request(span(2)), headers=PROTOBUF)
    assert answer.status_code == 200


def test_healthz(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


# With the real store -------------------------------------------------------------------------------------


def test_times_that_cannot_be_are_quarantined_and_their_neighbours_stored(
    stored: httpx.Client, store: Store
) -> None:
    body = trace_request(
        span(1, name="good"),
        span(2, datetime(1970, 1, 2, tzinfo=UTC), name="old"),
        span(3, datetime(2100, 1, 1, tzinfo=UTC), name="far"),
    )
    assert stored.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200
    store.fold(NOW)
    assert store.select("SELECT name FROM span_log") == [{"name": "good"}]
    reasons = [row["reason"] for row in store.select("SELECT reason FROM quarantine ORDER BY 1")]
    assert reasons == ["start is before 2000", "start is more than 24 h ahead"]


def test_json_ids_and_attributes_arrive_as_protobufs_do(stored: httpx.Client, store: Store) -> None:
    attributes = [
        {"key": "text", "value": {"stringValue": "a"}},
        {"key": "integer", "value": {"intValue": "9007199254740993"}},
        {"key": "small", "value": {"intValue": 5}},
        {"key": "flag", "value": {"boolValue": False}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}]}}},
    ]
    one = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "name": "charge",
        "kind": 3,
        "startTimeUnixNano": str(int(NOW.timestamp()) * 10**9),
        "endTimeUnixNano": str(int(NOW.timestamp()) * 10**9 + 5),
        "attributes": attributes,
        "status": {"code": 2, "message": "no"},
        "unknown": {"field": [1]},
    }
    answer = stored.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]})
    assert answer.status_code == 200
    store.fold(NOW)
    row = store.select(
        "SELECT lower(hex(trace_id)) AS t, lower(hex(span_id)) AS s, kind, status, attributes FROM span_log"
    )[0]
    assert (row["t"], row["s"]) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (row["kind"], row["status"]) == ("client", "error")
    assert row["attributes"] == {
        "text": "a",
        "integer": "9007199254740993",
        "small": "5",
        "flag": "false",
        "list": '["1"]',
    }


def test_the_sender_is_named_by_its_header_or_by_address_and_product(
    stored: httpx.Client, store: Store
) -> None:
    agent = {"user-agent": "OTel-OTLP-Exporter-Python/1.45.2"}
    body = trace_request(span(1))
    stored.post("/v1/traces", content=body, headers={**PROTOBUF, **agent})
    stored.post(
        "/v1/traces",
        content=trace_request(span(2)),
        headers={**PROTOBUF, **agent, "stallwatch-sender": "shop gateway"},
    )
    store.fold(NOW)
    senders = store.select("SELECT sender FROM span_log ORDER BY span_id")
    assert [row["sender"] for row in senders] == [
        "127.0.0.1 OTel-OTLP-Exporter-Python",
        "shop gateway",
    ]


def test_the_header_for_history_marks_spans_and_events(stored: httpx.Client, store: Store) -> None:
    history = {"stallwatch-historical": "true"}
    stored.post("/v1/traces", content=trace_request(span(1)), headers={**PROTOBUF, **history})
    stored.post("/v1/traces", content=trace_request(span(2)), headers=PROTOBUF)
    stored.post("/v1/events", json=step_event(1), headers=history)
    stored.post("/v1/events", json=step_event(2))
    store.fold(NOW)
    spans = store.select("SELECT historical FROM span_log ORDER BY span_id")
    events = store.select("SELECT historical FROM step_event_log ORDER BY execution_id")
    assert [row["historical"] for row in spans] == [True, False]
    assert [row["historical"] for row in events] == [True, False]
