"""`/v1/events`: what a body may look like, and that one bad event never spoils the others."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events import ERRORS_MAX, EVENTS_MAX, parse_events
from collector.limits import TEXT_MAX
from collector.refusals import TooLarge, Unsupported
from stallwatch.clock import ManualClock
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.helpers import NOW, FakeStore, collecting, serving, step_event

LINES = "application/x-ndjson"


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    with (
        collecting(store, ManualClock(NOW)) as collector,
        serving(collector) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def text(*events: object) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def cloud_event(**fields: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "type": "dev.stallwatch.step.started",
        "source": "/shop",
        "id": "1",
        "data": step_event(1),
        **fields,
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", text(step_event(1))),
        ("application/json; charset=utf-8", b"\xef\xbb\xbf" + text(step_event(1))),
        (None, text(step_event(1))),
        ("application/json", json.dumps([step_event(1), step_event(2)], indent=2).encode()),
        ("application/json", json.dumps(step_event(1), indent=2).encode()),
        ("application/json", text(step_event(1), step_event(2))),
        (LINES, text(step_event(1), step_event(2))),
        (LINES, text(step_event(1)) + b"\r\n\r\n" + text(step_event(2)) + b"\n"),
        ("application/jsonl", text(step_event(1))),
        ("application/cloudevents+json", text(cloud_event())),
        ("application/json", text(cloud_event())),
        (LINES, text(cloud_event(), step_event(2))),
        ("application/cloudevents-batch+json", json.dumps([cloud_event()] * 2).encode()),
    ],
)
def test_every_form_of_a_body_is_stored(
    client: httpx.Client, store: Store, content_type: str | None, body: bytes
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = client.post("/v1/events", content=body, headers=headers)
    count = body.count(b"order")
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": count, "rejected": 0, "errors": []},
    )
    rows = store.select("SELECT DISTINCT execution_id FROM step_event_log ORDER BY 1")
    assert rows[0] == {"execution_id": "o-1"}


def test_cloud_event_in_binary_mode(client: httpx.Client, store: Store) -> None:
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": "dev.stallwatch.step.completed",
        "ce-source": "/shop",
        "ce-id": "7%207",
        "ce-time": "2026-01-05T11:00:00Z",
    }
    event = step_event(1)
    del event["event"], event["time"]
    assert client.post("/v1/events", json=event, headers=headers).status_code == 200
    row = store.select("SELECT event, event_id, time FROM step_event_log")[0]
    assert (row["event"], row["event_id"], row["time"].hour) == ("step.completed", "/shop 7 7", 11)


def test_bad_events_are_told_by_index_and_their_neighbours_stored(
    client: httpx.Client, store: Store
) -> None:
    events = [
        step_event(0),
        step_event(1, attempt="two"),
        step_event(2, time="1970-01-01T00:00:00Z"),
        step_event(3, time="2100-01-01T00:00:00Z"),
        step_event(4, event="step.exploded"),
        {"specversion": "1.0", "type": "com.example.other", "source": "/", "id": "1", "data": {}},
        7,
        step_event(7),
    ]
    answer = client.post("/v1/events", json=events)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (200, 2, 6)
    said = {error["index"]: error["message"] for error in told["errors"]}
    assert list(said) == [1, 2, 3, 4, 5, 6]
    for index, word in enumerate(
        ["attempt", "before 2000", "24 h ahead", "step.exploded", "com.example.other", "a number"],
        1,
    ):
        assert word in said[index]
    rows = store.select("SELECT execution_id FROM step_event_log ORDER BY 1")
    assert [row["execution_id"] for row in rows] == ["o-0", "o-7"]


def test_a_bad_line_is_one_rejection(client: httpx.Client, store: Store) -> None:
    body = text(step_event(0)) + b"\nnot json\n\n" + text(step_event(2)) + b'\n"\xff"\n{"a":NaN}'
    told = client.post("/v1/events", content=body, headers={"content-type": LINES}).json()
    assert (told["accepted"], told["rejected"]) == (2, 3)
    assert [error["index"] for error in told["errors"]] == [1, 3, 4]
    assert len(store.select("SELECT 1 FROM step_event_log")) == 2


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        (b"", 1),
        (b"nonsense", 1),
        (b'{"event":', 1),
        (b"[1,2", 1),
        (b"\xff\xfe\x00", 1),
        (b"[" * 100_000, 1),
        (b'{"event": NaN}', 1),
        (b'{"event": "\\ud800"}', 1),
        (b"[1, null, {}]", 3),
        (json.dumps({"event": "step.started"}).encode(), 1),
        (json.dumps(step_event(1, timeout_s=-1)).encode(), 1),
        (json.dumps(step_event(1, due="9999-12-31T23:59:59-23:59")).encode(), 1),
        (b'{"attempt":' + b"9" * 5000 + b"}", 1),
    ],
)
def test_a_body_without_a_good_event_is_400_in_the_same_form(
    client: httpx.Client, body: bytes, rejected: int
) -> None:
    answer = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
    told = answer.json()
    assert answer.status_code == 400
    assert (told["accepted"], told["rejected"], len(told["errors"])) == (0, rejected, rejected)
    assert all(error["message"] for error in told["errors"])


def test_an_empty_array_is_fine(client: httpx.Client) -> None:
    assert client.post("/v1/events", json=[]).json() == {
        "accepted": 0,
        "rejected": 0,
        "errors": [],
    }


def test_an_unknown_content_type_says_what_is_read(client: httpx.Client) -> None:
    answer = client.post("/v1/events", content=b"a=b", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["message"]


def test_extreme_values_that_are_allowed_reach_the_store(
    client: httpx.Client, store: Store
) -> None:
    events = [
        step_event(1, sequence=2**63 - 1, payload_bytes=2**63 - 1, attempt=2**31 - 1),
        step_event(2, timeout_s=1e18, backoff_rate=1e-300, due="9999-01-01T00:00:00Z"),
        step_event(3, step="x" * TEXT_MAX, error_message="\u0000\U0001f600"),
        step_event(4, big=10**40, nested={"a": [1, {"b": None}]}),
        step_event(5, time="2000-01-01T00:00:00Z", due="1900-01-01T00:00:00Z"),
    ]
    answer = client.post("/v1/events", json=events)
    assert answer.json() == {"accepted": 5, "rejected": 0, "errors": []}
    rows = store.select(
        "SELECT sequence, payload_bytes, attempt, attributes FROM step_event_log ORDER BY execution_id"
    )
    assert (rows[0]["sequence"], rows[0]["payload_bytes"]) == (2**63 - 1, 2**63 - 1)
    assert rows[0]["attempt"] == 2**31 - 1
    assert rows[3]["attributes"] == {"big": str(10**40), "nested": '{"a":[1,{"b":null}]}'}


def test_only_the_first_errors_are_told_and_all_are_counted() -> None:
    parsed = parse_events(b"[" + b",".join([b"{}"] * 500) + b"]", "application/json", NOW)
    assert (parsed.rejected, len(parsed.errors)) == (500, ERRORS_MAX)


def test_a_body_of_too_many_events_is_too_large() -> None:
    with pytest.raises(TooLarge):
        parse_events(b"1\n" * (EVENTS_MAX + 1), LINES, NOW)
    with pytest.raises(TooLarge):
        parse_events(b"[" + b"1," * EVENTS_MAX + b"1]", "", NOW)


def test_the_last_of_two_equal_keys_counts() -> None:
    body = b'{"step":"a",' + text(step_event(1))[1:]
    assert parse_events(body, "", NOW).events[0].step == "charge"


def test_history_is_not_taken_from_other_machines() -> None:
    fake = FakeStore()

    async def post(app: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=("10.0.0.9", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.post(
                "/v1/events", json=step_event(1), headers={"stallwatch-historical": "true"}
            )

    with collecting(fake, ManualClock(NOW)) as collector:
        answer = asyncio.run(post(collector.http_app))
    assert answer.status_code == 403
    assert fake.stored() == []


def test_events_that_the_store_refuses_are_all_rejected() -> None:
    fake = FakeStore(bad={"o-1"})
    with (
        collecting(fake, ManualClock(NOW)) as collector,
        serving(collector) as url,
        httpx.Client(base_url=url) as client,
    ):
        answer = client.post("/v1/events", json=[step_event(1), step_event(2), 7])
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (400, 0, 3)
    assert "refused" in told["errors"][0]["message"]


# Fuzz ----------------------------------------------------------------------------------------------------

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(
        ["step.started", "workflow.failed", "2026-01-05T11:00:00Z", "0001-01-01T00:00:00+23:59"]
    )
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_keys = st.sampled_from(
    [*StepEvent.__struct_fields__, "specversion", "type", "source", "id", "data", "data_base64"]
)
_events = st.dictionaries(_keys, _values).map(lambda odd: {**step_event(1), **odd})
_media = st.sampled_from(
    [
        "",
        "application/json",
        LINES,
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "text/csv",
    ]
)


@given(st.lists(_events | _values, max_size=3), _media, st.booleans())
def test_no_event_makes_the_parser_fail(events: list[Any], media: str, as_lines: bool) -> None:
    body = text(*events) if as_lines else json.dumps(events).encode()
    _parses_or_says_why(body, media)


@given(st.binary(max_size=200), _media)
def test_no_bytes_make_the_parser_fail(body: bytes, media: str) -> None:
    _parses_or_says_why(body, media)


@given(st.integers(0, 300), st.binary(max_size=4), _media)
def test_no_damage_makes_the_parser_fail(at: int, damage: bytes, media: str) -> None:
    body = text(cloud_event(data=step_event(1, attributes={"a": [1.5, "é"]})), step_event(2))
    _parses_or_says_why(body[:at] + damage + body[at + len(damage) :], media)


def _parses_or_says_why(body: bytes, media: str) -> None:
    try:
        parsed = parse_events(body, media, NOW)
    except InputError as error:
        reason = str(error)
        unsupported = isinstance(error, Unsupported)
    else:
        assert len(parsed.events) <= parsed.accepted
        assert all(error.message for error in parsed.errors)
        return
    assert reason
    assert not unsupported or media == "text/csv"


def test_ids_of_traces_are_lower_case_as_those_of_spans() -> None:
    said = {
        "event": "workflow.started",
        "time": NOW.isoformat(),
        "workflow": "w",
        "execution_id": "e",
    }
    body = json.dumps({**said, "trace_id": "AB" * 16, "span_id": "CD" * 8}).encode()
    [event] = parse_events(body, "application/json", NOW).events
    assert (event.trace_id, event.span_id) == ("ab" * 16, "cd" * 8)
