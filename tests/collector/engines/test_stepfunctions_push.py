"""What AWS pushes: status changes, log subscriptions, Firehose deliveries; and how they meet the history."""

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from collector.engines.reading import Delivery, Hints, Parts
from collector.engines.stepfunctions import StepFunctions, push
from collector.refusals import TooLarge
from stallwatch.clock import ManualClock
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.timelines import (
    FIXTURES,
    NOW,
    gathered,
    load,
    parts_of,
    read_all,
    stored,
    timeline,
)
from tests.collector.helpers import collecting, serving

ENGINE = StepFunctions()
HANDMADE = FIXTURES / "stepfunctions" / "handmade"
ARN = "arn:aws:states:us-east-1:123456789012:execution:retry:e-retry"
HINTS = Hints(NOW)


def change(status: str, stop: str | None = None, **detail: Any) -> dict[str, Any]:
    """The status change that EventBridge would have pushed of the recorded execution `retry`."""
    return {
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "time": "2026-11-22T09:38:18Z",
        "detail": {
            "executionArn": ARN,
            "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:retry",
            "name": "e-retry",
            "status": status,
            "startDate": milliseconds("2026-11-22T09:38:15.005+00:00"),
            "stopDate": milliseconds(stop) if stop else None,
            **detail,
        },
    }


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def read(*parts: Parts) -> list[StepEvent]:
    return [event for reading in read_all(ENGINE, parts) for event in reading.events]


def documents(delivery: Delivery | None) -> list[Any]:
    assert delivery is not None
    return list(delivery.documents)


def packed(document: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()


def message(id: int, type_: str = "ExecutionStarted", **more: Any) -> str:
    return json.dumps(
        {
            "id": str(id),
            "type": type_,
            "previous_event_id": "0",
            "event_timestamp": "1795338000000",
            "execution_arn": "arn:aws:states:eu-west-1:123456789012:express:m:e:1",
            **more,
        }
    )


def logged(*messages: str) -> dict[str, Any]:
    return {
        "messageType": "DATA_MESSAGE",
        "logEvents": [{"id": "1", "timestamp": 1, "message": one} for one in messages],
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("SUCCEEDED", "workflow.completed"),
        ("FAILED", "workflow.failed"),
        ("TIMED_OUT", "workflow.timed_out"),
        ("ABORTED", "workflow.terminated"),
    ],
)
def test_status_changes(status: str, told: str) -> None:
    end = change(status, "2026-11-22T09:38:17.215+00:00", error="E", cause="c")
    running, ended = read(ENGINE.parts([change("RUNNING"), end], HINTS))
    assert (running.event, running.time.isoformat()) == (
        "workflow.started",
        "2026-11-22T09:38:15.005000+00:00",
    )
    assert (ended.event, ended.time, ended.error_type, ended.error_message) == (
        told,
        datetime(2026, 11, 22, 9, 38, 17, 215000, tzinfo=UTC),
        "E",
        "c",
    )
    assert {e.workflow for e in (running, ended)} == {"retry"}
    assert {e.execution_id for e in (running, ended)} == {ARN}


def test_a_status_change_without_a_time_of_its_end_has_its_own() -> None:
    _, ended = read(ENGINE.parts(change("TIMED_OUT"), HINTS))
    assert ended.time == datetime(2026, 11, 22, 9, 38, 18, tzinfo=UTC)


@pytest.mark.parametrize("first", ["change", "history"])
def test_a_status_change_and_the_history_tell_of_one_start_and_one_end(
    store: Store, first: str
) -> None:
    """The times of the two differ by milliseconds: those of the first stay."""
    history = parts_of(ENGINE, FIXTURES / "stepfunctions" / "history_retry.json")
    changes = ENGINE.parts(
        [change("RUNNING"), change("SUCCEEDED", "2026-11-22T09:38:17.219+00:00")], HINTS
    )
    roads = [changes, history] if first == "change" else [history, changes]
    readings = read_all(ENGINE, roads)
    ids = [event.event_id for reading in readings for event in reading.events]
    assert ids.count("started") == ids.count("ended/0") == 1
    assert len(set(ids)) == len(ids)
    stored(store, readings)
    assert timeline(store).startswith(
        f"retry completed took={'2.214' if first == 'change' else '2.206'}\n  T #1 failed"
    )
    told = {(e.event_id, e.time) for e in read(roads[0]) if e.event.startswith("workflow.")}
    assert told <= {(e.event_id, e.time) for e in readings[0].events}


def test_a_redrive_opens_the_execution_again(store: Store) -> None:
    failed = change("FAILED", "2026-11-22T09:38:17.215+00:00")
    again = change("RUNNING", redriveCount=1, redriveDate=milliseconds("2026-11-22T10:00:00+00:00"))
    assert not read_all(ENGINE, [ENGINE.parts([failed, again], HINTS)])[0].is_closed
    stored(store, read_all(ENGINE, [ENGINE.parts([failed, again], HINTS)]))
    assert timeline(store).startswith("retry running")
    done = change("SUCCEEDED", "2026-11-22T10:05:00+00:00", redriveCount=1)
    readings = read_all(ENGINE, [ENGINE.parts([done, failed, again], HINTS)])
    assert readings[0].is_closed
    stored(store, readings)
    assert timeline(store).startswith("retry completed")


def test_a_child_that_waits_to_be_redriven(store: Store) -> None:
    """It is neither at work nor stalled."""
    pending = ENGINE.parts(change("PENDING_REDRIVE", "2026-11-22T09:38:17.215+00:00"), HINTS)
    stored(store, read_all(ENGINE, [pending]))
    assert timeline(store).startswith("retry suspended")
    again = change("RUNNING", redriveCount=1, redriveDate="2026-11-22T10:00:00Z")
    stored(store, read_all(ENGINE, [pending, ENGINE.parts(again, HINTS)]))
    assert timeline(store).startswith("retry running")


@pytest.mark.parametrize(
    ("status", "fate"), [("PENDING_REDRIVE", "ignored"), ("HIBERNATING", "unknown")]
)
def test_other_statuses_are_counted(status: str, fate: str) -> None:
    (reading,) = read_all(ENGINE, [ENGINE.parts(change(status), HINTS)])
    assert reading.kinds == {(fate, status): 1}
    assert [event.event for event in reading.events] == ["workflow.started"]


def test_firehose() -> None:
    delivery = ENGINE.delivery(load(HANDMADE / "firehose.json"))
    assert delivery is not None
    assert delivery.answer == {
        "requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f",
        "timestamp": 1795338000000,
    }
    assert len(delivery.documents) == 19
    told = read(*(ENGINE.parts(one, HINTS) for one in delivery.documents))
    assert told == read(ENGINE.parts(load(HANDMADE / "firehose.json"), HINTS))
    assert {event.step for event in told} == {"", "Ask", "One", "Two"}


def test_firehose_over_http(store: Store) -> None:
    """As Amazon Data Firehose posts it, with `ContentEncoding: GZIP` and an access key."""
    body = gzip.compress((HANDMADE / "firehose.json").read_bytes())
    headers = {
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "X-Amz-Firehose-Protocol-Version": "1.0",
        "X-Amz-Firehose-Access-Key": "not asked for on loopback",
    }
    with collecting(store, ManualClock(NOW)) as collector, serving(collector) as base:
        url = f"{base}/v1/engines/stepfunctions"
        answers = [
            httpx.post(url, content=body, headers=headers, trust_env=False) for _ in range(2)
        ]
    for answer in answers:
        assert (answer.status_code, answer.headers["Content-Type"], answer.json()) == (
            200,
            "application/json",
            {"requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", "timestamp": 1795338000000},
        )
    store.fold(NOW)
    assert timeline(store).startswith("quote completed took=0.6\n  Ask #1 completed")


@pytest.mark.parametrize(
    "pack", [packed, lambda one: base64.b64encode(json.dumps(one).encode()).decode()]
)
def test_firehose_records_of_all_kinds(pack: Any) -> None:
    """Subscriptions, status changes that a rule sends to Firehose, and messages that Firehose took out itself."""
    lines = base64.b64encode(f"{message(1)}\n{message(2)}\n".encode()).decode()
    records = [
        pack(logged(message(1))),
        pack(change("RUNNING")),
        lines,
        pack({"messageType": "CONTROL_MESSAGE"}),
    ]
    request = {"requestId": "r", "timestamp": 1, "records": [{"data": one} for one in records]}
    found = documents(ENGINE.delivery(request))
    assert [sorted(one)[0] for one in found] == [
        "event_timestamp",
        "detail",
        *["event_timestamp"] * 2,
    ]


def test_what_is_wrong_inside_of_an_envelope_is_refused_alone() -> None:
    records = [
        {"data": packed(logged(message(1), "START RequestId: 1", message(2)))},
        {"data": "%%%"},
        {"data": base64.b64encode(gzip.compress(b"{}")[:-4]).decode()},
        {"data": base64.b64encode(b"{nonsense").decode()},
        {"data": packed({"messageType": "DATA_MESSAGE"})},
        {"data": packed({"messageType": "DATA_MESSAGE", "logEvents": [{}, 7, {"message": "1"}]})},
        {},
        7,
    ]
    reasons = []
    accepted = 0
    request = {"requestId": "r", "timestamp": 1, "records": records}
    for document in documents(ENGINE.delivery(request)):
        try:
            ENGINE.parts(document, HINTS)
            accepted += 1
        except InputError as error:
            reasons.append(str(error).partition(": ")[0])
    assert accepted == 2
    assert reasons == [
        "logEvents[1].message",
        "records[1].data",
        "records[2].data",
        "records[3].data",
        "logEvents",
        "logEvents[0].message",
        "logEvents[1]",
        "the document",
        "records[6].data",
        "records[7]",
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"requestId": "r", "records": []}, "timestamp: is required"),
        ({"requestId": "", "timestamp": 1, "records": []}, "requestId: is required"),
        ({"requestId": "r", "timestamp": "x", "records": []}, "timestamp: must be"),
        ({"requestId": "r", "timestamp": 1, "records": {}}, "records: must be an array"),
        ({"awslogs": {}}, "awslogs.data: is required"),
        ({"awslogs": 1}, "awslogs: must be an object"),
    ],
)
def test_broken_envelopes(document: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ENGINE.delivery(document)


def test_a_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for all records of a delivery together."""
    monkeypatch.setattr(push, "INFLATED_MAX", 100_000)
    record = {"data": packed(logged(message(1, details={"input": "x" * 60_000})))}
    request = {"requestId": "r", "timestamp": 1, "records": [record]}
    assert len(documents(ENGINE.delivery(request))) == 1
    with pytest.raises(TooLarge):
        ENGINE.delivery({**request, "records": [record, record]})
    with pytest.raises(TooLarge):
        ENGINE.delivery({"awslogs": {"data": packed("0" * 1_000_000)}})


def test_small_records_do_not_become_large_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes of an empty object are sixty and more in memory."""
    monkeypatch.setattr(push, "_OBJECTS_MAX", 2000)
    record = {"data": packed({"messageType": "OTHER", "x": [[]] * 900})}
    request: dict[str, Any] = {"requestId": "r", "timestamp": 1, "records": [record, record]}
    assert ENGINE.delivery(request) is not None
    request["records"] = [record] * 3
    with pytest.raises(TooLarge, match="objects"):
        ENGINE.delivery(request)


def test_what_is_no_envelope() -> None:
    others: list[Any] = [{}, [], 7, None, change("RUNNING"), {"events": []}, {"records": []}]
    for document in others:
        assert ENGINE.delivery(document) is None


def test_express_logs_with_gaps_say_what_is_sure() -> None:
    """Nothing of the states behind a gap; the start and the end without them."""
    whole = load(HANDMADE / "logs_express.json")
    events = [one for one in whole["logEvents"] if '"id": "4"' not in one["message"]]
    told = read(ENGINE.parts({**whole, "logEvents": events}, HINTS))
    assert {event.step for event in told} == {"", "Ask", "Two"}
    assert {event.event for event in told if not event.step} == {
        "workflow.started",
        "workflow.completed",
    }
    assert set(map(str, told)) < set(map(str, read(ENGINE.parts(whole, HINTS))))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = (
    "records", "requestId", "timestamp", "data", "awslogs", "messageType", "logEvents", "message", "events",
    "executionArn", "status", "startDate", "stopDate", "detail", "detail-type", "execution_arn", "id", "type",
    "previous_event_id", "event_timestamp", "executions", "executionCounts", "mapRunArn", "details", "input",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    ARN, "RUNNING", "FAILED", "ExecutionStarted", "1", 1, "2026-11-22T09:00:00Z", 1795338000000, 10**400, "",
    "Step Functions Execution Status Change", "DATA_MESSAGE", "e30=", [{}], {}, "9" * 30, float("inf"), "9999-12-31",
)  # fmt: skip
garbage = st.recursive(
    json_values | st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=9)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES), garbage, max_size=12) | garbage)
def test_garbage_is_refused_with_a_reason(document: Any) -> None:
    """It raises nothing else, and what is taken can be read."""
    try:
        ENGINE.delivery(document)
        parts = ENGINE.parts(document, HINTS)
    except InputError as error:
        event(type(error).__name__)
        return
    for execution, facts in gathered([parts]).items():
        ENGINE.read(execution, facts, "default")
