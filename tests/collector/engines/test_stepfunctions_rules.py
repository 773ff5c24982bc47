"""The two rules of `reading.py`, for every document that was recorded or written by hand."""

import json
import random
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines.reading import Hints, Parts, Reading
from collector.engines.stepfunctions import StepFunctions
from collector.engines.stepfunctions.statuses import CHANGE, ENDED
from stallwatch.model.events import StepEvent, check_event
from tests.collector.engines.timelines import FIXTURES, NOW, gathered, load, parts_of, read_all

ENGINE = StepFunctions()
FOLDER = FIXTURES / "stepfunctions"
PATHS = sorted(FOLDER.rglob("*.json"))
ENDS = set(ENDED.values())
HISTORIES = [path for path in PATHS if path.name.startswith("history_")]


@cache
def everything() -> dict[str, dict[str, Any]]:
    return gathered([parts_of(ENGINE, path) for path in PATHS])


def events_of(execution: str, facts: dict[str, Any]) -> set[str]:
    return {said(event) for event in ENGINE.read(execution, facts, "default").events}


def said(event: StepEvent) -> str:
    return str(event)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_was_said_stays_said(data: st.DataObject) -> None:
    execution = data.draw(st.sampled_from(sorted(everything())))
    facts = everything()[execution]
    more = data.draw(st.sets(st.sampled_from(sorted(facts))))
    # Most of a history, now and then: what needs all that was before it is not reached by throwing dice for each fact.
    if data.draw(st.booleans()):
        more = set(facts) - more
    some = data.draw(st.sets(st.sampled_from(sorted(more)))) if more else set()
    if data.draw(st.booleans()):
        some = more - some
    few = events_of(execution, {identity: facts[identity] for identity in some})
    many = events_of(execution, {identity: facts[identity] for identity in more})
    assert few <= many


@pytest.mark.parametrize("execution", sorted(everything()))
def test_growing_a_history_by_one_event_at_a_time(execution: str) -> None:
    """In the order of ids, and in the opposite order, in which almost everything comes last."""
    facts = everything()[execution]
    whole = events_of(execution, facts)
    for order in (sorted(facts, key=natural), sorted(facts, key=natural, reverse=True)):
        known: dict[str, Any] = {}
        before: set[str] = set()
        for identity in order:
            known[identity] = facts[identity]
            now = events_of(execution, known)
            assert before <= now
            before = now
        assert before == whole


def natural(identity: str) -> tuple[int, str]:
    number = identity.partition("/")[0]
    return (int(number) if number.isdigit() else 0, identity)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(HISTORIES), st.randoms(use_true_random=False))
def test_pages_in_any_order_and_more_than_once(path: Path, dice: random.Random) -> None:
    document = load(path)
    hints = ENGINE.file_hints(path, Hints(NOW))
    whole = gathered([ENGINE.parts(document, hints)])
    paged = gathered([ENGINE.parts(page, hints) for page in pages_of(document, dice)])
    assert set(paged) == set(whole)
    for execution, facts in whole.items():
        by_pages = ENGINE.read(execution, paged[execution], "default")
        at_once = ENGINE.read(execution, facts, "default")
        assert by_pages.is_closed == at_once.is_closed
        assert by_pages.kinds == at_once.kinds
        if is_redriven(document):
            # A page does not say how often the execution was redriven before it: of its ends only the last is sure.
            assert steps_of(by_pages) == steps_of(at_once)
            assert last_end(by_pages) == last_end(at_once)
        else:
            assert {said(event) for event in by_pages.events} == events_of(execution, facts)


def pages_of(document: dict[str, Any], dice: random.Random) -> list[dict[str, Any]]:
    events = list(document["events"])
    dice.shuffle(events)
    pages = []
    while events:
        size = dice.randint(1, len(events))
        pages.append({**document, "events": events[:size]})
        events = events[size:]
    return pages + dice.sample(pages, dice.randint(0, len(pages)))


def is_redriven(document: dict[str, Any]) -> bool:
    return any(event["type"] == "ExecutionRedriven" for event in document["events"])


def steps_of(reading: Reading) -> set[str]:
    return {said(event) for event in reading.events if event.step}


def last_end(reading: Reading) -> tuple[datetime, str] | None:
    ends = [(event.time, event.event) for event in reading.events if event.event in ENDS]
    return max(ends, default=None)


def test_an_event_has_one_id_and_an_id_one_event() -> None:
    for execution, facts in everything().items():
        events = ENGINE.read(execution, facts, "default").events
        assert len({event.event_id for event in events}) == len(events)
        for event in events:
            check_event(event, NOW)


def test_each_attempt_starts_once() -> None:
    for execution, facts in everything().items():
        starts = [
            (event.step_run_id, event.attempt)
            for event in ENGINE.read(execution, facts, "default").events
            if event.event == "step.started"
        ]
        assert len(set(starts)) == len(starts)


def test_nothing_of_a_payload_is_kept() -> None:
    """Tokens, inputs and outputs: what is in the documents between quotes of quotes."""
    facts = json.dumps(everything())
    for path in PATHS:
        text = path.read_text()
        assert "roleArn" not in facts
        for event in load(path).get("events", []) if isinstance(load(path), dict) else []:
            token = json.loads(event.get("taskScheduledEventDetails", {}).get("parameters", "{}"))
            body = token.get("MessageBody")
            if isinstance(body, dict):
                assert body["token"] in text
                assert body["token"] not in facts
    assert '"items"' not in facts
    assert "secret" not in facts


def logs_of(document: dict[str, Any], execution: str) -> list[dict[str, Any]]:
    """The events of a history as a state machine logs them."""
    return [
        {
            "id": str(event["id"]),
            "type": event["type"],
            "details": next((v for k, v in event.items() if k.endswith("EventDetails")), None),
            "previous_event_id": str(event["previousEventId"]),
            "event_timestamp": event["timestamp"],
            "execution_arn": execution,
            "redrive_count": "0",
        }
        for event in document["events"]
    ]


def payload(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "messageType": "DATA_MESSAGE",
        "logGroup": "/aws/vendedlogs/states/x",
        "logEvents": [{"id": "1", "timestamp": 1, "message": json.dumps(one)} for one in messages],
    }


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(HISTORIES), st.randoms(use_true_random=False))
def test_logs_say_what_histories_say(path: Path, dice: random.Random) -> None:
    """One event a delivery, in any order, some of it twice."""
    execution = "arn:aws:states:eu-west-1:123456789012:express:m:e:1"
    document = load(path)
    if is_redriven(document):
        return
    messages = logs_of(document, execution)
    messages += dice.sample(messages, len(messages) // 2)
    dice.shuffle(messages)
    parts: list[Parts] = []
    for message in messages:
        delivered = ENGINE.delivery(payload([message]))
        assert delivered is not None
        parts += [ENGINE.parts(one, Hints(NOW)) for one in delivered.documents]
    by_logs = events_of(execution, gathered(parts)[execution])
    history = ENGINE.parts({"events": document["events"], "executionArn": execution}, Hints(NOW))
    assert by_logs == events_of(execution, gathered([history])[execution])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["retry", "saga", "callback_stall", "nested"]),
    st.randoms(use_true_random=False),
)
def test_roads_may_cross(name: str, dice: random.Random) -> None:
    """Pages, descriptions, status changes and logs, in any order and more than once, tell of the same."""
    described = load(FOLDER / f"describe_{name}.json")
    execution = described["executionArn"]
    document = {**load(FOLDER / f"history_{name}.json"), "executionArn": execution}
    change = {"detail-type": CHANGE, "detail": described}
    running = {
        "detail-type": CHANGE,
        "detail": {**described, "status": "RUNNING", "stopDate": None},
    }
    roads = [
        *pages_of(document, dice),
        *dice.sample(logs_of(document, execution), 5),
        *dice.sample([described, change, running], dice.randint(0, 3)),
    ]
    dice.shuffle(roads)
    known = gathered([ENGINE.parts(one, Hints(NOW)) for one in roads])[execution]
    crossed = ENGINE.read(execution, known, "default")
    alone = ENGINE.read(
        execution, gathered([ENGINE.parts(document, Hints(NOW))])[execution], "default"
    )
    assert {event.event_id for event in crossed.events} == {e.event_id for e in alone.events}
    assert steps_of(crossed) == steps_of(alone)
    assert crossed.is_closed == alone.is_closed


def test_logs_without_payloads_say_the_same_but_sizes_and_names() -> None:
    execution = "arn:aws:states:eu-west-1:123456789012:execution:m:e"
    document = load(FOLDER / "history_retry.json")
    messages = logs_of(document, execution)
    for message in messages:
        details = message["details"] or {}
        message["details"] = {
            name: value
            for name, value in details.items()
            if name not in ("input", "output", "parameters", "inputDetails", "outputDetails")
        }
    by_logs = gathered([ENGINE.parts(one, Hints(NOW)) for one in messages])[execution]
    history = ENGINE.parts({"events": document["events"], "executionArn": execution}, Hints(NOW))
    by_history = gathered([history])[execution]
    more = events_of(execution, by_history) - events_of(execution, by_logs)
    assert events_of(execution, by_logs) < events_of(execution, by_history)
    assert all("/data'" in event for event in more)


def test_readings_of_all_documents_together() -> None:
    assert len(read_all(ENGINE, [parts_of(ENGINE, path) for path in PATHS])) == len(everything())
