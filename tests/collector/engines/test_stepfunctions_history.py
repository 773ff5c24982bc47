"""Documents of Step Functions, field by field: what is taken, what is refused, what each event type becomes."""

import copy
import json
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest

from collector.engines.reading import Hints
from collector.engines.registry import engine
from collector.engines.stepfunctions import StepFunctions, arns
from collector.engines.stepfunctions.moves import IGNORED, MOVES
from collector.engines.stepfunctions.statuses import ENDED
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent
from tests.collector.engines.timelines import FIXTURES, NOW, gathered, load, parts_of, read_all

ENGINE = StepFunctions()
FOLDER = FIXTURES / "stepfunctions"
HINTS = Hints(NOW)
PREFIX = "arn:aws:states:eu-west-1:123456789012"
ARN = f"{PREFIX}:execution:order:o-1"
BEFORE: list[list[tuple[str, int, dict[str, Any]]]] = [
    [],
    [("TaskStateEntered", 0, {"name": "T"})],
    [("MapStateEntered", 0, {})],
]
MODEL = botocore.loaders.Loader().load_service_model("stepfunctions", "service-2")["shapes"]


def told(*documents: Any, hints: Hints = HINTS) -> list[StepEvent]:
    readings = read_all(ENGINE, [ENGINE.parts(one, hints) for one in documents])
    return [event for reading in readings for event in reading.events]


def history(*events: tuple[str, int, dict[str, Any]], **beside: Any) -> dict[str, Any]:
    """Events as (type, previous, details), a second apart, behind an ExecutionStarted."""
    started: tuple[str, int, dict[str, Any]] = ("ExecutionStarted", 0, {})
    return {
        "executionArn": ARN,
        "events": [
            {
                "id": id,
                "previousEventId": previous,
                "type": type_,
                "timestamp": f"2026-11-22T09:00:{id:02d}.000Z",
                "anyEventDetails": details,
            }
            for id, (type_, previous, details) in enumerate((started, *events), 1)
        ],
        **beside,
    }


def short(events: list[StepEvent]) -> list[tuple[str, str, int | None, str]]:
    return [
        (event.step, event.event.partition(".")[2], event.attempt, event.branch)
        for event in events
        if event.step
    ]


def test_every_type_of_the_api_is_mapped_or_ignored_on_purpose() -> None:
    types = set(MODEL["HistoryEventType"]["enum"])
    assert types == set(MOVES) | IGNORED
    assert not set(MOVES) & IGNORED


def test_every_status_of_the_api_is_known() -> None:
    open_ = {"RUNNING", "PENDING_REDRIVE"}
    assert set(MODEL["ExecutionStatus"]["enum"]) == set(ENDED) | open_


def test_every_type_of_the_api_is_read_wherever_it_comes() -> None:
    """Even where it makes no sense: nothing is known of the state that it is about."""
    for type_ in MODEL["HistoryEventType"]["enum"]:
        for before in BEFORE:
            document = history(*before, (type_, len(before) + 1, {"name": "X", "index": 1}))
            (reading,) = read_all(ENGINE, [ENGINE.parts(document, HINTS)])
            assert not [kind for fate, kind in reading.kinds if fate == "unknown"]


def test_unknown_types_are_counted_and_lead_on() -> None:
    document = history(
        ("PassStateEntered", 0, {"name": "A"}),
        ("QuantumStateEntangled", 2, {"with": "B"}),
        ("PassStateExited", 3, {"name": "A"}),
    )
    (reading,) = read_all(ENGINE, [ENGINE.parts(document, HINTS)])
    assert reading.kinds["unknown", "QuantumStateEntangled"] == 1
    assert short(reading.events) == [("A", "started", 1, ""), ("A", "completed", 1, "")]


def test_the_kinds_of_a_recorded_history() -> None:
    (reading,) = read_all(ENGINE, [parts_of(ENGINE, FOLDER / "history_express.json")])
    assert reading.kinds == Counter(
        {
            ("mapped", "ExecutionStarted"): 1,
            ("mapped", "PassStateEntered"): 1,
            ("mapped", "PassStateExited"): 1,
            ("mapped", "ExecutionSucceeded"): 1,
        }
    )


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-22T09:38:15.009000+00:00",
        "2026-11-22T09:38:15.009Z",
        "2026-11-22T10:38:15.009+01:00",
        datetime(2026, 11, 22, 9, 38, 15, 9000, UTC),
        datetime(2026, 11, 22, 10, 38, 15, 9000, timezone(timedelta(hours=1))),
        1795340295.009,
        1795340295009,
        "1795340295009",
    ],
)
def test_times_in_all_shapes(time: Any) -> None:
    """Of the AWS CLI, of boto3, of the API's own JSON, of EventBridge and of logs."""
    document = history()
    document["events"][0]["timestamp"] = time
    (event,) = told(document)
    assert event.time == datetime(2026, 11, 22, 9, 38, 15, 9000, UTC)


def test_boto3_gives_the_same_as_json() -> None:
    text = load(FOLDER / "history_retry.json")
    decoded = copy.deepcopy(text)
    for event in decoded["events"]:
        event["timestamp"] = datetime.fromisoformat(event["timestamp"])
    hints = HINTS._replace(execution_id=ARN)
    assert told(decoded, hints=hints) == told(text, hints=hints)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": 0}, r"events\[1\].id: must be"),
        ({"id": True}, r"events\[1\].id: must be"),
        ({"id": None}, r"events\[1\].id: must be"),
        ({"id": 2**40}, r"events\[1\].id: must be"),
        ({"previousEventId": "x"}, r"events\[1\].previousEventId: must be"),
        ({"previousEventId": 2}, r"events\[1\]: event 2 cannot follow event 2"),
        ({"type": 7}, r"events\[1\].type: must be text"),
        ({"type": ""}, r"events\[1\].type: is required"),
        ({"timestamp": None}, r"events\[1\].timestamp: is required"),
        ({"timestamp": "yesterday"}, r"events\[1\].timestamp: must be a time"),
        ({"timestamp": "2026-11-22T09:00:00"}, r"events\[1\].timestamp: must be a time"),
        ({"timestamp": float("nan")}, r"events\[1\].timestamp: must be a time"),
        ({"timestamp": 0}, r"events\[1\].timestamp: 1970"),
        ({"timestamp": "9999-12-31T23:59:59.999999Z"}, r"events\[1\].timestamp: 9999"),
        ({"anyEventDetails": []}, r"events\[1\].anyEventDetails: must be an object"),
        ({"anyEventDetails": {"name": 1}}, r"events\[1\].anyEventDetails.name: must be text"),
        (
            {"anyEventDetails": {"timeoutInSeconds": -1}},
            r"events\[1\].anyEventDetails.timeoutInSeconds: must be",
        ),
    ],
)
def test_malformed_events_are_refused_by_their_field(change: dict[str, Any], says: str) -> None:
    document = history(("PassStateEntered", 0, {"name": "A"}))
    document["events"][1] |= change
    with pytest.raises(InputError, match=says):
        ENGINE.parts(document, HINTS)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "is none of Step Functions"),
        (7, "must be an object"),
        ({"events": {}, "executionArn": ARN}, "events: must be an array"),
        ({"events": [7], "executionArn": ARN}, r"events\[0\]: must be an object"),
        ({"events": []}, "executionArn: a history does not say whose it is"),
        ({"executionArn": "x", "status": "RUNNING"}, "executionArn: must be the ARN"),
        ({"executionArn": ARN, "status": 1}, "status: must be text"),
        ({"executions": [{"status": "RUNNING"}]}, r"executions\[0\].executionArn: is required"),
        ({"detail-type": "EC2", "detail": {}}, "detail-type: must be"),
        ({"executionCounts": {}, "executionArn": ARN}, "mapRunArn: is required"),
        ({"execution_arn": "x"}, "execution_arn: must be the ARN"),
        ({"execution_arn": ARN, "id": "1", "type": "X"}, "timestamp: is required"),
    ],
)
def test_malformed_documents_are_refused_by_their_field(document: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ENGINE.parts(document, HINTS)


def test_the_arns_of_executions() -> None:
    for partition in ("aws", "aws-cn", "aws-us-gov"):
        found = arns.execution(f"arn:{partition}:states:us-gov-west-1:123456789012:execution:a:b")
        assert found == ("a", "us-gov-west-1")
    assert arns.execution(f"{PREFIX}:express:quote:q-1:2f1a") == ("quote", "eu-west-1")
    assert arns.execution(f"{PREFIX}:execution:import/files:5d1b") == ("import/files", "eu-west-1")
    assert arns.execution(f"{PREFIX}:stateMachine:a") is None
    assert arns.qualifier(f"{PREFIX}:stateMachine:a:12") == "12"
    assert arns.qualifier(f"{PREFIX}:stateMachine:a") == ""


def test_what_is_said_beside_a_start() -> None:
    described = {
        "executionArn": ARN,
        "status": "RUNNING",
        "startDate": 1795338000.0,
        "stateMachineVersionArn": f"{PREFIX}:stateMachine:order:7",
        "stateMachineAliasArn": f"{PREFIX}:stateMachine:order:PROD",
        "traceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        "mapRunArn": f"{PREFIX}:mapRun:order/x:1",
        "parentExecutionArn": f"{PREFIX}:execution:all:a-1",
    }
    events = {event.event_id: event for event in told(described)}
    assert {event.event for event in events.values()} == {"workflow.started"}
    assert len({event.time for event in events.values()}) == 1
    assert events["version"].workflow_version == "7"
    assert events["version"].attributes == {"alias": "PROD"}
    assert events["trace"].trace_id == "5759e988bd862e3fe1be46a994272793"
    assert events["map_run"].attributes == {"map_run": f"{PREFIX}:mapRun:order/x:1"}
    assert events["parent"].parent_execution_id == f"{PREFIX}:execution:all:a-1"


def test_an_alias_alone_is_the_version_that_is_known() -> None:
    alias = {"stateMachineAliasArn": f"{PREFIX}:stateMachine:order:PROD"}
    (_, version) = told(history(**alias))
    assert version.workflow_version == "PROD"


def test_the_parent_of_a_child_of_a_map_run_may_stand_beside_its_history() -> None:
    parent = f"{PREFIX}:execution:import:m-1"
    events = {event.event_id: event for event in told(history(parentExecutionArn=parent))}
    assert events["parent"].parent_execution_id == parent


def test_nested_executions_are_linked_from_both_sides() -> None:
    """By the child's input, and by what the parent's task answered, whichever is seen."""
    parent, child = f"{PREFIX}:execution:jobs:j-1", f"{PREFIX}:execution:inner:c-1"
    from_parent = parts_of(ENGINE, FOLDER / "handmade" / "history_jobs.json")
    assert gathered([from_parent])[child] == {"parent": {"execution": parent}}
    from_child = parts_of(ENGINE, FOLDER / "handmade" / "history_jobs_child.json")
    assert gathered([from_child])[child]["parent"] == {"execution": parent}
    waiting = [event for event in told_by("history_jobs") if event.waiting_on]
    assert [(event.step, event.waiting_on) for event in waiting] == [("Nested", "child")]


def told_by(name: str) -> list[StepEvent]:
    parts = parts_of(ENGINE, FOLDER / "handmade" / f"{name}.json")
    return [event for reading in read_all(ENGINE, [parts]) for event in reading.events]


def test_a_map_run_shows_signs_of_life() -> None:
    parts = [
        parts_of(ENGINE, FOLDER / "handmade" / name)
        for name in ("history_map_run.json", "map_run_of_it.json")
    ]
    events = [event for reading in read_all(ENGINE, parts) for event in reading.events]
    (beat,) = [event for event in events if event.event == "step.heartbeat"]
    assert (beat.step, beat.time) == ("Files", NOW)
    assert beat.attributes["failed"] == "2"
    later = load(FOLDER / "handmade" / "map_run_of_it.json")
    again = ENGINE.parts(later, Hints(NOW + timedelta(minutes=1)))
    assert gathered([*parts, again]) == gathered(parts), "nothing went on: no sign of life"
    later["executionCounts"]["succeeded"] += 1
    later["executionCounts"]["running"] -= 1
    more = ENGINE.parts(later, Hints(NOW + timedelta(minutes=2)))
    assert len(gathered([*parts, more])[f"{PREFIX}:execution:import:m-1"]) == 1 + len(
        gathered(parts)[f"{PREFIX}:execution:import:m-1"]
    )


def test_sizes_and_names_come_from_payloads_that_are_not_kept() -> None:
    parameters = json.dumps({"FunctionName": "charge", "Payload": {"card": "4111"}})
    document = history(
        ("TaskStateEntered", 0, {"name": "T", "input": '{"ä": 1}'}),
        (
            "TaskScheduled",
            2,
            {"resourceType": "lambda", "resource": "invoke", "parameters": parameters},
        ),
    )
    assert "4111" not in str(ENGINE.parts(document, HINTS))
    events = {event.event_id: event for event in told(document)}
    assert events["2/data"].payload_bytes == 9
    assert events["3"].downstream == "lambda"
    assert events["3/data"].downstream == "lambda:charge"
    document["events"][1]["anyEventDetails"]["inputDetails"] = {"truncated": True}
    assert "2/data" not in {event.event_id for event in told(document)}


def test_a_job_that_is_submitted_has_started() -> None:
    """Once: whether the history said so before or not."""
    job = {"resourceType": "glue", "resource": "startJobRun.sync"}
    entered = ("TaskStateEntered", 0, {"name": "T"})
    scheduled, submitted = ("TaskScheduled", 2, job), ("TaskSubmitted", 3, job)
    started = ("TaskStarted", 3, job)
    once = [("T", "scheduled", 1, ""), ("T", "started", 1, "")]
    assert short(told(history(entered, scheduled, submitted))) == once
    later = ("TaskSubmitted", 4, job)
    assert short(told(history(entered, scheduled, started, later))) == once


def test_no_timeout_is_no_timeout() -> None:
    document = history(
        ("TaskStateEntered", 0, {"name": "T"}),
        ("TaskScheduled", 2, {"resource": "x", "timeoutInSeconds": 99999999}),
    )
    assert told(document)[1].timeout_s is None


def test_causes_are_cut() -> None:
    assert max(len(event.error_message) for event in told_by("history_failures")) == 2000


def test_a_state_that_is_left_behind_by_a_branch_that_failed() -> None:
    """Emulators do not say so. It is known once all events up to there are."""
    document = history(
        ("ParallelStateEntered", 0, {"name": "P"}),
        ("ParallelStateStarted", 2, {}),
        ("WaitStateEntered", 3, {"name": "W"}),
        ("FailStateEntered", 3, {"name": "F"}),
        ("ParallelStateFailed", 5, {}),
        ("ParallelStateExited", 6, {"name": "P"}),
        ("WaitStateEntered", 7, {"name": "After"}),
    )
    assert short(told(document)) == [
        ("P", "started", 1, ""),
        ("W", "waiting", 1, "W"),
        ("F", "started", 1, "F"),
        ("F", "failed", 1, "F"),
        ("P", "failed", 1, ""),
        ("W", "cancelled", 1, "W"),
        ("After", "waiting", 1, ""),
    ]


def test_what_may_have_ended_is_not_called_left_behind() -> None:
    document = history(
        ("ParallelStateEntered", 0, {"name": "P"}),
        ("ParallelStateStarted", 2, {}),
        ("WaitStateEntered", 3, {"name": "W"}),
        ("FailStateEntered", 3, {"name": "F"}),
        ("WaitStateExited", 4, {"name": "W"}),
        ("ParallelStateFailed", 5, {}),
    )
    whole = told(document)
    assert ("W", "completed", 1, "W") in short(whole)
    del document["events"][5]
    assert ("P", "failed", 1, "") in short(told(document))
    assert set(map(str, told(document))) < set(map(str, whole))


def test_a_redrive_by_all_roads_is_one() -> None:
    names = ("history_redrive.json", "describe_redrive.json")
    parts = [parts_of(ENGINE, FOLDER / "handmade" / name) for name in names]
    (reading,) = read_all(ENGINE, parts)
    resumed = [event for event in reading.events if event.event == "workflow.resumed"]
    assert [event.event_id for event in resumed] == ["redriven/1", "redriven/2"]
    assert reading.is_closed
    attempts = [
        e.attempt for e in reading.events if e.event == "step.started" if e.step == "Charge"
    ]
    assert attempts == [1, 2, 3]
    (described,) = read_all(ENGINE, parts[1:])
    assert [event.event_id for event in described.events] == ["started", "redriven/2", "ended/2"]


def test_depth_has_a_limit() -> None:
    events: list[tuple[str, int, dict[str, Any]]] = []
    for depth in range(200):
        previous = len(events) + 1 if events else 0
        events.append(("ParallelStateEntered", previous, {"name": f"P{depth}"}))
        events.append(("ParallelStateStarted", len(events) + 1, {}))
    document = history(*events)
    for event in document["events"]:
        event["timestamp"] = "2026-11-22T09:00:00Z"
    branches = [event.branch.count(".") for event in told(document) if event.step]
    assert max(branches) == 48


def test_a_loop_is_one_call_after_the_other() -> None:
    document = history(
        ("PassStateEntered", 0, {"name": "A"}),
        ("PassStateExited", 2, {"name": "A"}),
        ("PassStateEntered", 3, {"name": "A"}),
        ("PassStateExited", 4, {"name": "A"}),
    )
    starts = [event for event in told(document) if event.event == "step.started"]
    assert [(event.step_run_id, event.attempt) for event in starts] == [("2", 1), ("4", 1)]


def test_file_hints(tmp_path: Path) -> None:
    def written(name: str, document: Any = None) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"executionArn": ARN} if document is None else document))
        return path

    written("describe_a.json")
    written("b.describe.json")
    written("describe_c.json", [1])
    written("describe_d.json", {"executionArn": 7})
    (tmp_path / "describe_e.json").write_text("{broken")
    for name, expected in {
        "history_a.json": ARN,
        "history_a.json.gz": ARN,
        "b.json": ARN,
        "b.history.json": ARN,
        "history_c.json": "c",
        "history_d.json": "d",
        "history_e.json": "e",
        "history_f.json": "f",
        "f": "f",
    }.items():
        assert ENGINE.file_hints(tmp_path / name, HINTS).execution_id == expected, name
    said = HINTS._replace(execution_id="mine")
    assert ENGINE.file_hints(tmp_path / "history_a.json", said) == said


def test_a_history_of_nobody_is_its_files() -> None:
    document = {"events": history()["events"]}
    (event,) = told(document, hints=HINTS._replace(execution_id="nightly"))
    assert (event.execution_id, event.workflow) == ("nightly", "nightly")
    (event,) = told(document, hints=HINTS._replace(execution_id="nightly", workflow="import"))
    assert (event.execution_id, event.workflow) == ("nightly", "import")


def test_lists_of_executions_and_of_documents() -> None:
    described = {"executionArn": ARN, "status": "RUNNING", "startDate": 1795338000.0}
    assert told({"executions": [described]}) == told(described) == told([described])


def test_a_history_in_pieces() -> None:
    """An array of its events, or one a line."""
    hints = HINTS._replace(execution_id=ARN)
    document = load(FOLDER / "history_map.json")
    whole = told(document, hints=hints)
    assert told(document["events"], hints=hints) == whole
    assert told(*document["events"], hints=hints) == whole


def test_definitions_are_read_on_the_way() -> None:
    asl = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
    parts = ENGINE.parts(asl, HINTS._replace(workflow="order"))
    assert [(one.workflow, one.step) for one in parts.definitions] == [
        ("order", ""),
        ("order", "A"),
    ]
    described = {
        "name": "order",
        "stateMachineArn": f"{PREFIX}:stateMachine:order",
        "definition": json.dumps(asl),
    }
    assert len(ENGINE.parts(described, HINTS).definitions) == 2


def test_it_is_registered() -> None:
    assert isinstance(engine("stepfunctions"), StepFunctions)
