"""Histories written by hand, after the shapes of the protobuf, of .NET and of the SDK's export; and what is none."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from durabletask import history as sdk
from durabletask.internal import orchestrator_service_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines.durable import Durable, kinds
from collector.engines.durable.facts import from_any
from collector.engines.reading import Hints, Parts, Reading
from collector.json_text import decode_any
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent
from tests.collector.engines.durable_made import Maker
from tests.collector.engines.timelines import FIXTURES, NOW, gathered, load, read_all

ENGINE = Durable()
DOTNET = [
    "ExecutionStarted", "ExecutionCompleted", "ExecutionFailed", "ExecutionTerminated", "TaskScheduled",
    "TaskCompleted", "TaskFailed", "SubOrchestrationInstanceCreated", "SubOrchestrationInstanceCompleted",
    "SubOrchestrationInstanceFailed", "TimerCreated", "TimerFired", "OrchestratorStarted", "OrchestratorCompleted",
    "EventSent", "EventRaised", "ContinueAsNew", "GenericEvent", "HistoryState", "ExecutionSuspended",
    "ExecutionResumed", "ExecutionRewound", "RewindEvent",
]  # fmt: skip
"""EventType of DurableTask.Core over its versions, https://github.com/Azure/durabletask."""
PROTOBUF = [field.name for field in pb.HistoryEvent.DESCRIPTOR.oneofs_by_name["eventType"].fields]
SDK = [name for name in dir(sdk) if name.endswith("Event") and name != "HistoryEvent"]


def at(second: float) -> str:
    return f"2026-11-22T10:00:{second:06.3f}Z"


def told(*documents: object, **hints: str) -> list[StepEvent]:
    return [event for reading in readings(*documents, **hints) for event in reading.events]


def readings(*documents: object, **hints: str) -> list[Reading]:
    return read_all(ENGINE, [parts(document, **hints) for document in documents])


def parts(document: object, **hints: str) -> Parts:
    return ENGINE.parts(document, Hints(NOW, **hints))


def brief(events: list[StepEvent]) -> list[str]:
    return [
        " ".join(filter(None, [e.event, e.step, e.step_run_id, str(e.attempt or ""), e.waiting_on]))
        for e in events
    ]


def a_history(*events: dict[str, Any], status: int = 0, **more: Any) -> dict[str, Any]:
    """An instance in protobuf's JSON; each event a second after the one before, where it has no time of its own."""
    begin: list[dict[str, Any]] = [
        {"orchestratorStarted": {}},
        {"executionStarted": {"name": "order", "orchestrationInstance": {"instanceId": "i"}}},
    ]
    written = [
        {"eventId": -1, "timestamp": at(second), **event}
        for second, event in enumerate([*begin, *events])
    ]
    return {"instanceId": "i", "name": "order", "status": status, "history": written, **more}


END: dict[str, Any] = {"orchestratorCompleted": {}}
TURN: dict[str, Any] = {"orchestratorStarted": {}}


def scheduled(id: int, name: str, **more: Any) -> dict[str, Any]:
    return {"eventId": id, "taskScheduled": {"name": name, **more}}


def failed(id: int, error: str = "E", message: str = "boom") -> dict[str, Any]:
    details = {"errorType": error, "errorMessage": message}
    return {"taskFailed": {"taskScheduledId": id, "failureDetails": details}}


def completed(status: str = "COMPLETED") -> dict[str, Any]:
    return {"executionCompleted": {"orchestrationStatus": f"ORCHESTRATION_STATUS_{status}"}}


# Every kind of event.


@pytest.mark.parametrize("kind", DOTNET)
def test_every_kind_of_dotnet_has_its_fate(kind: str) -> None:
    assert kinds.fate(kind) != "unknown"
    assert from_any({"EventType": kind, "EventId": 1, "Timestamp": at(0)}, NOW)["k"] == kind


@pytest.mark.parametrize("kind", PROTOBUF)
def test_every_kind_of_the_protobuf_has_its_fate(kind: str) -> None:
    fact = from_any({"eventId": 1, "timestamp": at(0), kind: {}}, NOW)
    assert kinds.fate(fact["k"]) != "unknown"


@pytest.mark.parametrize("name", SDK)
def test_every_class_of_the_sdk_s_export_has_its_fate(name: str) -> None:
    fact = from_any({"event_type": name, "event_id": 1, "timestamp": at(0)}, NOW)
    assert kinds.fate(fact["k"]) != "unknown"


def test_there_is_no_kind_that_nobody_has() -> None:
    named = {kind[0].upper() + kind[1:] for kind in PROTOBUF} | set(DOTNET)
    assert named >= kinds.MAPPED | kinds.IGNORED
    assert not kinds.MAPPED & kinds.IGNORED


def test_a_kind_of_tomorrow_is_counted_and_the_rest_is_read() -> None:
    (reading,) = readings(a_history(scheduled(1, "pay"), {"teleported": {"to": "Mars"}}, END))
    assert reading.kinds["unknown", "Teleported"] == 1
    assert brief(reading.events) == ["workflow.started", "step.started pay 1 1"]


# What happens in a run.


def test_retries_of_dotnet_have_ids_of_their_own() -> None:
    timer = {"eventId": 1, "timerCreated": {"fireAt": at(6.5)}}
    fired = {"timerFired": {"timerId": 1, "fireAt": at(6.5)}}
    document = a_history(
        scheduled(0, "pay"), END, TURN, failed(0), timer, END, TURN, fired, scheduled(2, "pay"), END
    )
    assert brief(told(document)) == [
        "workflow.started",
        "step.started pay 0 1",
        "step.failed pay 0 1",
        "step.waiting timer 1 1 timer",
        "step.completed timer 1 1",
        "step.started pay 2 2",
    ]


def test_a_timer_behind_a_failure_that_is_not_tried_again_is_a_timer() -> None:
    timer = {"eventId": 2, "timerCreated": {"fireAt": at(6.5)}}
    fired = {"timerFired": {"timerId": 2, "fireAt": at(6.5)}}
    document = a_history(
        scheduled(1, "pay"),
        END,
        TURN,
        failed(1),
        timer,
        END,
        TURN,
        fired,
        scheduled(3, "mail"),
        END,
    )
    assert [event.attempt for event in told(document) if event.step == "mail"] == [1]
    assert not [event for event in told(document) if event.event == "step.retrying"]


def test_the_retry_that_the_host_noted_counts() -> None:
    tags = {"dt.retry.attempt": "3", "dt.retry.maxAttempts": "5"}
    (_, started) = told(a_history(scheduled(7, "pay", tags=tags), END))
    assert (started.attempt, started.max_attempts) == (3, 5)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("Microsoft.Azure.WebJobs.Host.FunctionTimeoutException", ""),
        ("", "Timeout value of 00:05:00 exceeded by function 'pay' (Id: '1')."),
    ],
)
def test_a_function_that_timed_out_is_said_so(error: str, message: str) -> None:
    document = a_history(scheduled(1, "pay"), END, TURN, failed(1, error, message), END)
    assert "step.timed_out pay 1 1" in brief(told(document))


def test_the_second_answer_of_a_task_that_ran_twice_is_none() -> None:
    document = a_history(
        scheduled(1, "pay"), END, TURN, {"taskCompleted": {"taskScheduledId": 1}}, failed(1)
    )
    assert brief(told(document))[1:] == ["step.started pay 1 1", "step.completed pay 1 1"]


def test_suspended_and_resumed_and_terminated() -> None:
    document = a_history(
        END, TURN, {"executionSuspended": {}}, END, TURN, {"executionResumed": {}}, END,
        TURN, {"executionTerminated": {}}, completed("TERMINATED"), END,
    )  # fmt: skip
    assert brief(told(document)) == [
        "workflow.started",
        "step.waiting external event since 2026-11-22T10:00:01Z 1 signal",
        "workflow.suspended",
        "workflow.resumed",
        "workflow.terminated",
    ]


def test_every_way_to_end() -> None:
    ways = {
        "COMPLETED": "completed", "FAILED": "failed", "TERMINATED": "terminated",
        "CANCELED": "cancelled", "CONTINUED_AS_NEW": "continued",
    }  # fmt: skip
    for status, way in ways.items():
        (reading,) = readings(a_history(completed(status), END, status=1))
        assert reading.events[-1].event == f"workflow.{way}"
        assert reading.is_closed
    (reading,) = readings(a_history({"continueAsNew": {}}, END))
    assert reading.events[-1].event == "workflow.continued"


def test_an_end_that_only_the_status_knows() -> None:
    document = a_history(END, status=5, lastUpdatedTime=at(30))
    assert brief(told(document)) == ["workflow.started", "workflow.terminated"]


def test_entities_that_are_spoken_to_by_events_of_their_own() -> None:
    def to(kind: str, request: str, **more: str) -> dict[str, Any]:
        return {
            kind: {"requestId": request, "operation": "add", "targetInstanceId": "@cart@7", **more}
        }

    document = a_history(
        {"entityLockRequested": {"criticalSectionId": "c", "lockSet": ["@cart@7"]}}, END,
        TURN, {"entityLockGranted": {"criticalSectionId": "c"}}, to("entityOperationCalled", "r1"), END,
        TURN, {"entityOperationCompleted": {"requestId": "r1"}}, to("entityOperationSignaled", "r2"),
        to("entityOperationCalled", "r3"), {"entityUnlockSent": {"criticalSectionId": "c"}}, END,
    )  # fmt: skip
    assert brief(told(document)) == [
        "workflow.started",
        "step.started lock c 1",
        "step.completed lock c 1",
        "step.started cart.add r1 1",
        "step.completed cart.add r1 1",
        "step.completed signal cart.add r2 1",
        "step.started cart.add r3 1",
    ]


def test_entities_that_are_spoken_to_as_the_extension_does() -> None:
    def sent(id: int, message: str) -> dict[str, Any]:
        return {
            "eventId": id,
            "eventSent": {"instanceId": "@cart@7", "name": "op", "input": message},
        }

    document = a_history(
        sent(0, '{"op":"add","id":"g1","input":"secret"}'), sent(1, '{"op":"add","signal":true,"id":"g2"}'), END,
        TURN, {"eventRaised": {"name": "g1", "input": "{}"}}, sent(2, '{"id":"g3","lockset":["@cart@7"]}'), END,
    )  # fmt: skip
    assert brief(told(document)) == [
        "workflow.started",
        "step.started cart.add g1 1",
        "step.completed signal cart.add g2 1",
        "step.completed cart.add g1 1",
        "step.started lock g3 1",
    ]
    assert "secret" not in repr(parts(document))


def test_a_rewound_history_goes_on() -> None:
    """A rewind takes out what failed, and the end; what was told of them before stays true."""
    before = a_history(
        scheduled(1, "pay"), END, TURN, failed(1), END, completed("FAILED"), status=3
    )
    after = a_history(END, {"executionRewound": {}}, TURN, scheduled(1, "pay"), END)
    for event in after["history"][3:]:
        event["timestamp"] = event["timestamp"].replace("10:00", "10:30")
    assert brief(told(before, after)) == [
        "workflow.started",
        "step.started pay 1 1",
        "step.failed pay 1 1",
        "workflow.failed",
        "workflow.resumed",
        "step.started pay 1r1 1",
    ]
    assert not readings(before, after)[0].is_closed


def test_generations_are_runs() -> None:
    first = a_history(scheduled(1, "pay"), END)
    second = a_history(scheduled(1, "pay"), END)
    for event in second["history"]:
        event["timestamp"] = event["timestamp"].replace("10:00", "11:00")
    runs = {event.run_id for event in told(first, second)}
    assert runs == {"2026-11-22T10:00:01Z", "2026-11-22T11:00:01Z"}


def test_a_child_that_waits_for_its_time_has_not_begun_before() -> None:
    document = a_history(END)
    started = document["history"][1]["executionStarted"]
    started |= {"scheduledStartTimestamp": at(40), "version": "2"}
    started["parentInstance"] = {"orchestrationInstance": {"instanceId": "mother"}}
    (event,) = [e for e in told(document) if e.event == "workflow.started"]
    assert event.time.second == 40
    assert (event.workflow_version, event.parent_execution_id) == ("2", "mother")


# Clocks that cannot be believed.


@pytest.mark.parametrize(
    "garbage", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "soon", 7, None]
)
def test_a_time_that_cannot_be_is_the_turn_s(garbage: object) -> None:
    document = a_history(scheduled(1, "pay"), END)
    document["history"][2]["timestamp"] = garbage
    (_, started) = told(document)
    assert started.time.isoformat() == "2026-11-22T10:00:01+00:00"


def test_without_any_time_nothing_is_told() -> None:
    document = a_history(scheduled(1, "pay"), END)
    for event in document["history"]:
        event["timestamp"] = "1970-01-01T00:00:00Z"
    (reading,) = readings(document)
    assert reading.events == []
    assert reading.kinds["mapped", "TaskScheduled"] == 1


def test_a_timer_that_never_fires_is_not_due() -> None:
    never = {"eventId": 1, "timerCreated": {"fireAt": "9999-12-31T23:59:59.9999999Z"}}
    (_, waiting) = told(a_history(never, END))
    assert (waiting.waiting_on, waiting.due) == ("timer", None)


def test_a_worker_s_slow_clock_ends_nothing_before_it_began() -> None:
    late = {**failed(1), "timestamp": at(0.5)}
    (_, started, ended) = told(a_history(scheduled(1, "pay"), END, TURN, late))
    assert ended.time == started.time


# Other spellings of the same.


def test_dotnet_s_own_json_is_the_same_history() -> None:
    """As DurableTask.Core writes a history: kinds as numbers, ids, turns and all."""
    raw = [
        {"EventType": 12, "EventId": -1, "Timestamp": at(0)},
        {"EventType": 0, "EventId": -1, "Timestamp": at(1), "Name": "order",
         "OrchestrationInstance": {"InstanceId": "i", "ExecutionId": "x"}},
        {"EventType": 4, "EventId": 0, "Timestamp": at(2), "Name": "pay"},
        {"EventType": 13, "EventId": -1, "Timestamp": at(3)},
    ]  # fmt: skip
    for document in (raw, {"instanceId": "i", "runtimeStatus": "Running", "historyEvents": raw}):
        assert brief(told(document)) == ["workflow.started", "step.started pay 0 1"]
    (started, _) = told(raw)
    assert started.attributes == {"executionId": "x"}


def test_the_sdk_s_history_export_is_the_same_history() -> None:
    events = [
        {"event_type": "OrchestratorStartedEvent", "event_id": -1, "timestamp": at(0)},
        {"event_type": "ExecutionStartedEvent", "event_id": -1, "timestamp": at(1), "name": "order"},
        {"event_type": "TaskScheduledEvent", "event_id": 1, "timestamp": at(2), "name": "pay"},
        {"event_type": "OrchestratorCompletedEvent", "event_id": -1, "timestamp": at(3)},
        {"event_type": "OrchestratorStartedEvent", "event_id": -1, "timestamp": at(4)},
        {"event_type": "TaskFailedEvent", "event_id": -1, "timestamp": at(5), "task_scheduled_id": 1,
         "failure_details": {"message": "boom", "error_type": "E"}},
    ]  # fmt: skip
    document = {"schema_version": "1.0", "instance_id": "i", "events": events}
    found = told(document)
    assert brief(found) == ["workflow.started", "step.started pay 1 1", "step.failed pay 1 1"]
    assert (found[-1].error_type, found[-1].error_message) == ("E", "boom")


def test_events_alone_name_their_instance_or_the_file_does() -> None:
    events = a_history(scheduled(1, "pay"), END)["history"]
    assert {event.execution_id for event in told(events)} == {"i"}
    del events[1]["executionStarted"]["orchestrationInstance"]
    assert {event.execution_id for event in told(events, execution_id="file")} == {"file"}


@pytest.mark.parametrize("shape", ["array", "lines", "gzip", "export"])
def test_a_file_of_events_is_one_history(tmp_path: Path, shape: str) -> None:
    events = a_history(scheduled(1, "pay"), END)["history"]
    if shape == "export":
        events = [{"schema_version": "1.0", "instance_id": "i"}, *events]
    lines = b"\n".join(msgspec.json.encode(event) for event in events)
    path = tmp_path / "history.json"
    path.write_bytes(
        {"array": msgspec.json.encode(events), "gzip": gzip.compress(lines)}.get(shape, lines)
    )
    documents = ENGINE.file_documents(path)
    assert documents is not None
    (document,) = documents
    found = told(decode_any(document.data))
    assert brief(found) == ["workflow.started", "step.started pay 1 1"]
    assert found[0].execution_id == "i"


def test_a_file_of_instances_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    for content in (b"", b"[]", b"{", b'{"instanceId": "i", "history": []}', b"\x1f\x8b"):
        path.write_bytes(content)
        assert ENGINE.file_documents(path) is None
    assert ENGINE.file_documents(tmp_path / "none") is None


def test_a_list_of_instances_is_each_of_them() -> None:
    found = parts([a_history(END), {**a_history(END), "instanceId": "j"}])
    assert [fragment.execution[:1] for fragment in found.fragments] == ["i", "j"]


def test_a_status_alone_says_that_it_began_and_how_it_ended() -> None:
    status = {"instanceId": "i", "name": "order", "createdTime": at(0), "lastUpdatedTime": at(9)}
    assert brief(told({**status, "runtimeStatus": "Pending"})) == ["workflow.started"]
    assert brief(told({**status, "runtimeStatus": "Suspended"}))[1:] == ["workflow.suspended"]
    ended = told({**status, "runtimeStatus": "Failed", "output": "it broke"})
    assert brief(ended) == ["workflow.started", "workflow.failed"]
    assert ended[1].error_message == "it broke"


def test_entities_are_no_executions() -> None:
    assert parts({"instanceId": "@cart@7", "runtimeStatus": "Running"}) == Parts()


# What is none.


BAD: list[tuple[object, str]] = [
    (7, "a document is an object"),
    ({}, "instanceId"),
    ({"instanceId": "i"}, "runtimeStatus"),
    ({"instanceId": "i", "runtimeStatus": "Sleeping"}, "runtimeStatus"),
    ({"instanceId": "i", "history": {"0": {}}}, "history: must be an array"),
    ({"instanceId": "i", "history": [7]}, "history: an event is an object"),
    ({"instanceId": "i", "history": [{"eventId": 1}]}, "history: an event has no type"),
    ({"PartitionKey": "", "RowKey": ""}, "PartitionKey"),
    ({"PartitionKey": "i", "RowKey": "x", "EventType": "TaskScheduled"}, "RowKey"),
    ({"PartitionKey": "i", "RowKey": ""}, "RuntimeStatus"),
    ([{"instanceId": "i", "runtimeStatus": "Running"}, {}], r"\[1\]\.instanceId"),
    ({"version": "2.0", "functionTimeout": "soon"}, "functionTimeout"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "reason"), BAD)
def test_what_is_none_is_refused_with_its_field(document: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parts(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_stands_in_a_field_it_is_read_or_refused(data: st.DataObject) -> None:
    """One field of a real history is replaced by anything."""
    document = load(FIXTURES / "durable" / "final_o_retry-1.json")
    target: Any = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target)))
        )
        if not target[key] or not isinstance(target[key], dict | list) or data.draw(st.booleans()):
            break
        target = target[key]
    target[key] = data.draw(JSON)
    try:
        found = parts(document)
    except InputError:
        return
    for execution, facts in gathered([found]).items():
        ENGINE.read(execution, facts, "ns")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_of_some_facts_is_told_some_of_what_all_tell(data: st.DataObject) -> None:
    maker = Maker(data)
    events = maker.make()
    seen = [parts(a_status(events[:length])) for length in maker.rests]
    for execution, facts in gathered(seen).items():
        some = data.draw(st.sets(st.sampled_from(sorted(facts))))
        few = ENGINE.read(execution, {key: facts[key] for key in some}, "ns").events
        many = ENGINE.read(execution, facts, "ns").events
        assert {repr(event) for event in few} <= {repr(event) for event in many}


def a_status(events: list[dict[str, Any]]) -> dict[str, Any]:
    is_done = any("executionCompleted" in event for event in events)
    return {"instanceId": "made", "name": "made", "status": int(is_done), "history": events}


# host.json


def test_a_host_json_declares_the_timeout_of_every_function() -> None:
    document = {
        "version": "2.0",
        "functionTimeout": "00:10:00",
        "extensions": {
            "durableTask": {
                "hubName": "shop",
                "maxConcurrentActivityFunctions": 10,
                "extendedSessionsEnabled": True,
                "storageProvider": {"type": "azureManaged", "partitionCount": 4},
            }
        },
    }
    (definition,) = parts(document, namespace="prod").definitions
    assert (definition.workflow, definition.step, definition.source) == ("*", "", "hostjson")
    assert (definition.timeout_s, definition.namespace) == (600, "prod")
    assert definition.attributes == {
        "hubName": "shop",
        "maxConcurrentActivityFunctions": "10",
        "extendedSessionsEnabled": "true",
        "storageProvider.type": "azureManaged",
        "storageProvider.partitionCount": "4",
    }


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("00:05:00", 300), ("1.00:00:00", 86400), ("00:00:30.5", 30.5), ("-1", None), (None, None)],
)
def test_a_function_timeout_is_a_time_span(timeout: object, seconds: float | None) -> None:
    document = {"version": "2.0"} | ({} if timeout is None else {"functionTimeout": timeout})
    (definition,) = parts(document).definitions
    assert definition.timeout_s == seconds
    assert ("functionTimeout" in definition.attributes) == (timeout == "-1")
