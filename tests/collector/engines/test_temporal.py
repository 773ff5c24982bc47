"""Temporal's recorded histories and descriptions: their timelines, and the two rules of a reading."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.enums.v1 import EventType

from collector.engines.reading import Hints, Parts
from collector.engines.temporal.facts import IGNORED, MAPPED
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent
from stallwatch.store import Store
from tests.collector.engines.temporal_cases import (
    DOCUMENTS,
    FOLDER,
    TEMPORAL,
    narrowed,
    pages,
    parts,
    situations,
)
from tests.collector.engines.timelines import (
    NOW,
    gathered,
    load,
    parts_of,
    read_all,
    stored,
    timeline,
)

GOLDEN = FOLDER / "timelines.txt"
HISTORIES = [path for path in DOCUMENTS if path.stem.startswith("history_")]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GARBAGE: list[Any] = [
    None, True, 0, -1, 2**63, 10**30, 1.5, "", "x", "99", "-5s", "1e999s", "nans", [], {}, [1], {"a": 1},
    {"name": 5}, {"seconds": "x"}, {"fields": 1}, {"payloads": [1]}, "2026-13-45T00:00:00Z", "9999-12-31T23:59:59Z",
    "2026-11-22T10:00:00", "0001-01-01T00:00:00+14:00",
]  # fmt: skip
few = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def timelines(store: Store) -> str:
    """Each situation in a namespace of its own, so that one fold is enough."""
    found = situations()
    readings = [
        reading
        for name, paths in found.items()
        for reading in read_all(TEMPORAL, parts(paths), name)
    ]
    stored(store, readings)
    return "".join(f"## {name}\n{timeline(narrowed(store, name))}\n" for name in found)


def test_every_recorded_situation_has_its_timeline(store: Store) -> None:
    assert timelines(store) == GOLDEN.read_text()


def test_every_event_type_of_the_server_is_mapped_or_ignored_on_purpose() -> None:
    known = {kind.removeprefix("EVENT_TYPE_") for kind in EventType.keys()}  # noqa: SIM118
    assert known == MAPPED | set(IGNORED)
    assert not MAPPED & set(IGNORED)


def test_what_the_recordings_hold_is_understood() -> None:
    for path in DOCUMENTS:
        for reading in read_all(TEMPORAL, [parts_of(TEMPORAL, path)]):
            assert [kind for kind in reading.kinds if kind[0] == "unknown"] == []
            assert all(event.time > NOW - timedelta(days=1) for event in reading.events)


def test_an_unknown_event_type_is_counted_and_the_rest_is_read() -> None:
    document = load(FOLDER / "history_ok_legacy.json")
    document["events"][3]["eventType"] = "EVENT_TYPE_BREAD_BAKED"
    (reading,) = read_all(TEMPORAL, [TEMPORAL.parts(document, Hints(NOW))])
    assert reading.kinds["unknown", "BREAD_BAKED"] == 1
    assert {"workflow.started", "step.completed", "workflow.completed"} <= told(reading.events)


def told(events: list[StepEvent]) -> set[str]:
    return {event.event for event in events}


def contents(events: list[StepEvent]) -> dict[str, StepEvent]:
    """Events by their ids, each once."""
    found = {event.event_id: event for event in events}
    assert len(found) == len(events)
    return found


@pytest.mark.parametrize("paths", situations().values(), ids=situations())
@few
@given(data=st.data())
def test_more_facts_take_nothing_back(paths: list[Path], data: st.DataObject) -> None:
    for execution, facts in gathered(parts(paths)).items():
        everything = contents(TEMPORAL.read(execution, facts, "default").events)
        some = data.draw(st.sets(st.sampled_from(sorted(facts))))
        fewer = {identity: facts[identity] for identity in some}
        part = contents(TEMPORAL.read(execution, fewer, "default").events)
        assert part.items() <= everything.items()
        # In between as well.
        more = data.draw(st.sets(st.sampled_from(sorted(facts))))
        both = {identity: facts[identity] for identity in some | more}
        between = contents(TEMPORAL.read(execution, both, "default").events)
        assert part.items() <= between.items()


@pytest.mark.parametrize("path", HISTORIES, ids=[path.stem for path in HISTORIES])
@few
@given(
    cuts=st.lists(st.integers(0, 60), max_size=4),
    seed=st.integers(),
    again=st.integers(0, 3),
)
def test_pages_in_any_order_and_again_are_the_whole(
    path: Path, cuts: list[int], seed: int, again: int
) -> None:
    document = load(path)
    (whole,) = read_all(TEMPORAL, [TEMPORAL.parts(document, Hints(NOW))])
    some = list(pages(document, cuts))
    some += some[:again]
    random.Random(seed).shuffle(some)
    for page in some:
        random.Random(seed).shuffle(page["events"])
    (read,) = read_all(TEMPORAL, [TEMPORAL.parts(page, Hints(NOW)) for page in some])
    assert contents(read.events) == contents(whole.events)


def respelled(value: Any) -> Any:
    """As tools of older servers wrote it: words in camel case, numbers as numbers."""
    if isinstance(value, dict):
        return {key: respelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [respelled(inner) for inner in value]
    for prefix in ("EVENT_TYPE_", "TIMEOUT_TYPE_", "WORKFLOW_TASK_FAILED_CAUSE_", "RETRY_STATE_"):
        if isinstance(value, str) and value.startswith(prefix):
            return "".join(part.capitalize() for part in value.removeprefix(prefix).split("_"))
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 5 else value


def numbered(document: dict[str, Any]) -> dict[str, Any]:
    """With the numbers of the event types instead of their names."""
    kinds = dict(EventType.items())
    events = [{**event, "eventType": kinds[event["eventType"]]} for event in document["events"]]
    return {**document, "events": events}


def underscored(value: Any) -> Any:
    """With the names of fields as protobuf has them."""
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in key): underscored(inner)
            for key, inner in value.items()
        }
    return [underscored(inner) for inner in value] if isinstance(value, list) else value


def nested(document: dict[str, Any]) -> dict[str, Any]:
    """As Rust's SDK writes it: numbers for types, names with underscores, attributes one level deeper."""
    events = []
    for event in underscored(numbered(document))["events"]:
        (key,) = [key for key in event if key.endswith("_event_attributes")]
        attributes = event.pop(key)
        deeper = "".join(part.capitalize() for part in key.split("_"))
        events.append({**event, "attributes": {deeper: attributes}})
    return {"events": events}


@pytest.mark.parametrize("spell", [respelled, numbered, underscored, nested])
@pytest.mark.parametrize("path", HISTORIES, ids=[path.stem for path in HISTORIES])
def test_other_spellings_say_the_same(path: Path, spell: Any) -> None:
    document = load(path)
    (plain,) = read_all(TEMPORAL, [TEMPORAL.parts(document, Hints(NOW))])
    other = spell(document)
    wrapped = {"history": other, "nextPageToken": ""}
    (read,) = read_all(TEMPORAL, [TEMPORAL.parts(wrapped, Hints(NOW))])
    activity_ids = contents(read.events)
    assert activity_ids.keys() == contents(plain.events).keys()
    if spell is not respelled:
        # There, activity ids that look like numbers became numbers.
        assert activity_ids == contents(plain.events)


def oldest(value: Any) -> Any:
    """As the first servers had it: decisions, task lists, seconds and nanoseconds as numbers, attempts from 0."""
    if isinstance(value, list):
        return [oldest(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if name == "eventType":
            kind = inner.removeprefix("EVENT_TYPE_").replace("WORKFLOW_TASK", "DECISION_TASK")
            found[name] = "".join(part.capitalize() for part in kind.split("_"))
        elif name == "eventTime":
            at = datetime.fromisoformat(inner[:26] + "Z")
            found["timestamp"] = (at - EPOCH) // timedelta(microseconds=1) * 1000
        elif name.endswith(("Timeout", "Interval")) and float(inner[:-1]).is_integer():
            found[f"{name}Seconds"] = int(float(inner[:-1]))
        elif name == "attempt":
            found[name] = inner - 1 if inner == 1 else inner
        elif name in ("input", "result") and "name" not in inner:
            found[name] = None
        elif name.startswith("workflowTask") and name.endswith("EventAttributes"):
            found[name.replace("workflowTask", "decisionTask")] = oldest(inner)
        elif name not in ("workflowId", "header", "taskId", "workerVersion"):
            found["taskList" if name == "taskQueue" else name] = oldest(inner)
    return found


@pytest.mark.parametrize("path", HISTORIES, ids=[path.stem for path in HISTORIES])
def test_the_oldest_spelling_tells_the_same_story(path: Path) -> None:
    document = load(path)
    (plain,) = read_all(TEMPORAL, [TEMPORAL.parts(document, Hints(NOW))])
    old = oldest(document)["events"]
    (read,) = read_all(TEMPORAL, [TEMPORAL.parts(old, Hints(NOW, execution_id="old"))])

    def story(events: list[StepEvent]) -> list[tuple[Any, ...]]:
        # Without task ids, what is not written yet looks as if it were.
        return sorted(
            (event.time, event.event, event.step, event.attempt or 0)
            for event in events
            if event.step != "workflow task"
        )

    assert story(read.events) == story(plain.events)
    alone = [TEMPORAL.parts(event, Hints(NOW, execution_id="old")) for event in old]
    events = [event for reading in read_all(TEMPORAL, alone) for event in reading.events]
    assert {event.event for event in events} >= {
        event.event for event in read.events if event.event.startswith("workflow.")
    }


def damaged(value: Any, data: st.DataObject) -> Any:
    """With something else somewhere."""
    if isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.booleans()):
            return {**value, key: damaged(value[key], data)}
        return {name: inner for name, inner in value.items() if name != key}
    if isinstance(value, list) and value:
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], damaged(value[place], data), *value[place + 1 :]]
    return data.draw(st.sampled_from(GARBAGE))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_damaged_documents_are_refused_by_name_or_read(data: st.DataObject) -> None:
    document = load(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 6))):
        document = damaged(document, data)
    try:
        found = TEMPORAL.parts(document, Hints(NOW, execution_id="damaged"))
    except InputError:
        return
    read_all(TEMPORAL, [found])


def test_facts_carry_no_payloads() -> None:
    secret = "czNjcjN0LXMzY3IzdC1zM2NyM3Q="
    for path in HISTORIES:
        document = load(path)

        def planted(value: Any, key: str = "") -> Any:
            if isinstance(value, dict) and key not in ("header",):
                return {name: planted(inner, name) for name, inner in value.items()}
            if isinstance(value, list):
                return [planted(inner) for inner in value]
            return secret if key == "data" else value

        for part in itertools.chain([TEMPORAL.parts(planted(document), Hints(NOW))]):
            assert secret not in str(part.fragments)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "events: neither"),
        ([1], "a document is an object"),
        ("text", "a document is an object"),
        ({"events": 5}, "events: expected a list"),
        ({"events": ["x"]}, r"events\[0\]: expected an object"),
        ({"events": [{"eventId": "1"}]}, r"events\[0\]: eventType is missing"),
        (
            {"events": [{"eventType": "x", "eventId": "x"}]},
            r"events\[0\]: eventId: expected a number",
        ),
        ({"events": [{"eventType": "x", "eventId": "-1"}]}, r"events\[0\]: eventId: is counted"),
        ({"events": [{"eventType": "x", "eventId": "1"}]}, r"event 1 has no eventTime"),
        (
            {"events": [{"eventType": "x", "eventId": "1", "eventTime": "noon"}]},
            r"events\[0\]: eventTime",
        ),
        ({"events": []}, "events: there are none"),
        (
            {"events": [{"eventType": "x", "eventId": "2", "eventTime": "2026-11-22T10:00:00Z"}]},
            "workflowId: whose history",
        ),
        ({"workflowExecutionInfo": {}}, "execution: workflowId"),
        ({"execution": {}, "status": "x"}, "execution: workflowId"),
    ],
)
def test_what_is_wrong_is_named(document: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        TEMPORAL.parts(document, Hints(NOW))


def test_an_older_history_is_named_by_its_file() -> None:
    document = load(FOLDER / "history_ok_legacy.json")
    del document["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    hints = TEMPORAL.file_hints(Path("exports/order-7.json.gz"), Hints(NOW))
    (fragment,) = TEMPORAL.parts(document, hints).fragments
    assert fragment.execution.startswith("order-7/")


def test_a_list_of_documents_is_each_of_them() -> None:
    listed = load(FOLDER / "cli_list.json")
    assert len(TEMPORAL.parts({"executions": listed}, Hints(NOW)).fragments) == len(listed)
    whole: Parts = TEMPORAL.parts(listed, Hints(NOW))
    readings = read_all(TEMPORAL, [whole])
    assert {"workflow.terminated", "workflow.cancelled"} <= {
        event.event for reading in readings for event in reading.events
    }
    assert all(reading.is_closed for reading in readings)


def test_an_end_that_the_server_is_slow_with_is_no_wait() -> None:
    document = load(FOLDER / "history_contnew_first_legacy.json")
    last = document["events"][-1]
    assert last["eventType"].endswith("CONTINUED_AS_NEW")
    at = datetime.fromisoformat(last["eventTime"]) + timedelta(seconds=0.07)
    last["eventTime"] = at.isoformat()
    for execution, facts in gathered([TEMPORAL.parts(document, Hints(NOW))]).items():
        events = TEMPORAL.read(execution, facts, "default").events
        assert "signal" not in {event.step for event in events}


def test_a_slow_server_is_no_wait_for_a_signal() -> None:
    """What comes from outside has a workflow task follow, however late; a wait begins where the workflow's own ends."""
    document = load(FOLDER / "history_stallsignal_legacy.json")
    slow_s = 0.0
    for event in document["events"]:
        if event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_SCHEDULED":
            slow_s += 0.05
        at = datetime.fromisoformat(event["eventTime"]) + timedelta(seconds=slow_s)
        event["eventTime"] = at.isoformat()
    for execution, facts in gathered([TEMPORAL.parts(document, Hints(NOW))]).items():
        waits = [
            event.step_run_id
            for event in TEMPORAL.read(execution, facts, "default").events
            if event.event == "step.waiting"
        ]
        assert waits == ["signal-10"]
