import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.errors import InputError, UsageError
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.simulator.history import emit_json, executions_between, past_events
from stallwatch.simulator.spec import plain_spec
from stallwatch.simulator.workflows import History, parse_history

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
LOGNORMAL = {"lognormal": {"median": "1s", "sigma": 0.5}}


def history(seed: int = 1, **changes: Any) -> History:
    data: dict[str, Any] = {
        "workflow": "order",
        "n": 40,
        "every": "10s",
        "fail": 0.1,
        "steps": [
            {"step": "reserve", "duration": LOGNORMAL},
            {
                "step": "charge",
                "gap": {"constant": "50ms"},
                "queue_wait": {"constant": "100ms"},
                "duration": LOGNORMAL,
                "may_fail": True,
                "retry": {"share": 0.2, "max_attempts": 3, "backoff": "1s"},
                "queue": "payments",
                "downstream": "stripe",
                "timeout_s": 60,
            },
            {
                "step": "release",
                "on_failure": True,
                "compensates": "reserve",
                "duration": {"constant": 1},
            },
        ],
    }
    return parse_history(plain_spec(data | changes), seed)


def by_execution(events: list[StepEvent]) -> dict[str, list[StepEvent]]:
    executions: dict[str, list[StepEvent]] = defaultdict(list)
    for event in events:
        executions[event.execution_id].append(event)
    return executions


def told(events: list[StepEvent]) -> list[str]:
    return [f"{event.step} {event.event}".strip() for event in events]


@given(seed=st.integers(0, 2**48), n=st.integers(0, 30), fail=st.floats(0, 1))
def test_a_past_is_closed_before_the_start_and_counts_are_as_said(
    seed: int, n: int, fail: float
) -> None:
    events = past_events(history(seed, n=n, fail=fail), START)
    executions = by_execution(events)
    assert len(executions) == n
    assert all(event.time < START for event in events)
    assert [event.time for event in events] == sorted(event.time for event in events)
    closings = Counter(course[-1].event for course in executions.values())
    assert closings["workflow.failed"] == round(fail * n)
    assert closings["workflow.completed"] == n - round(fail * n)
    for course in executions.values():
        assert course[0].event == "workflow.started"
        starts = sum(event.event == "step.started" for event in course)
        ends = ("step.completed", "step.failed", "step.retrying")
        assert starts == sum(event.event in ends for event in course)


@given(seed=st.integers(0, 2**48))
def test_the_same_seed_gives_the_same_events(seed: int) -> None:
    assert past_events(history(seed), START) == past_events(history(seed), START)
    assert past_events(history(seed), START) != past_events(history(seed + 1), START)
    live = executions_between(history(seed), START, 0, 60)
    assert live == executions_between(history(seed), START, 0, 60)


@given(n=st.integers(1, 20))
def test_an_execution_does_not_depend_on_how_many_there_are(n: int) -> None:
    few = by_execution(past_events(history(n=n, fail=0), START))
    many = by_execution(past_events(history(n=21, fail=0), START))
    for name, course in few.items():
        begin, other_begin = course[0].time, many[name][0].time
        offsets = [round((event.time - begin).total_seconds(), 5) for event in course]
        others = [round((event.time - other_begin).total_seconds(), 5) for event in many[name]]
        assert offsets == pytest.approx(others, abs=2e-5)


def test_the_last_event_is_just_before_the_start_and_starts_keep_their_cadence() -> None:
    events = past_events(history(fail=0), START)
    assert events[-1].time == START - timedelta(milliseconds=1)
    starts = [event.time for event in events if event.event == "workflow.started"]
    gaps = {(later - earlier).total_seconds() for earlier, later in pairwise(starts)}
    assert all(gap == pytest.approx(10, abs=1e-5) for gap in gaps)


def test_a_healthy_execution_tells_its_steps_in_order() -> None:
    one = history(fail=0, steps=[{"step": "a", "duration": {"constant": 2}}, STEP_B], n=1)
    events = past_events(one, START, "order-{i}")
    assert told(events) == [
        "workflow.started",
        "a step.started",
        "a step.completed",
        "b step.scheduled",
        "b step.started",
        "b step.completed",
        "workflow.completed",
    ]
    seconds = [(event.time - events[0].time).total_seconds() for event in events]
    assert seconds == pytest.approx([0, 0.001, 2.001, 2.501, 3.501, 6.501, 6.502], abs=1e-5)
    assert {event.execution_id for event in events} == {"order-0"}
    assert {event.sequence for event in events} == {None}
    assert all(event.attempt is None for event in events)
    started = events[4]
    assert (started.queue, started.timeout_s) == ("q", 9)
    assert (events[5].queue, events[5].timeout_s) == ("q", None)


STEP_B = {
    "step": "b",
    "gap": {"constant": "500ms"},
    "queue_wait": {"constant": "1s"},
    "duration": {"constant": "3s"},
    "queue": "q",
    "timeout_s": 9,
}


def test_a_failing_execution_exhausts_its_retries_and_then_compensates() -> None:
    events = past_events(history(n=1, fail=1), START)
    assert told(events) == [
        "workflow.started",
        "reserve step.started",
        "reserve step.completed",
        "charge step.scheduled",
        "charge step.started",
        "charge step.retrying",
        "charge step.started",
        "charge step.retrying",
        "charge step.started",
        "charge step.failed",
        "release step.started",
        "release step.completed",
        "workflow.failed",
    ]
    assert [event.attempt for event in events if event.step == "charge"] == [1, 1, 1, 2, 2, 3, 3]
    assert (events[4].max_attempts, events[4].backoff_s) == (3, 1.0)
    assert (events[6].time - events[5].time).total_seconds() == pytest.approx(1.0, abs=1e-5)
    assert {event.error_type for event in events if event.error_type} == {"SimulatedError"}
    assert events[9].error_type == events[12].error_type == "SimulatedError"
    assert events[10].compensates == "reserve"


def test_the_share_of_retried_runs_is_the_one_asked_for() -> None:
    events = past_events(history(n=2000, fail=0), START)
    retried = {event.execution_id for event in events if event.event == "step.retrying"}
    assert len(retried) / 2000 == pytest.approx(0.2, abs=0.03)
    assert not any(event.event == "step.failed" for event in events)


def test_parallel_branches_start_together_and_join_after_the_longest() -> None:
    steps = [
        {
            "parallel": [
                {"step": "fast", "duration": {"constant": 1}},
                [
                    {"step": "slow", "duration": {"constant": 5}},
                    {"parallel": [{"step": "inner", "duration": {"constant": 1}}]},
                ],
            ]
        },
        {"step": "join", "duration": {"constant": 1}},
    ]
    events = past_events(history(n=1, fail=0, steps=steps), START)
    starts = {event.step: event for event in events if event.event == "step.started"}
    assert starts["fast"].time == starts["slow"].time
    assert {step: event.branch for step, event in starts.items()} == {
        "fast": "0",
        "slow": "1",
        "inner": "1.0",
        "join": "",
    }
    inner_end = next(e for e in events if e.event == "step.completed" and e.step == "inner")
    assert starts["join"].time > inner_end.time


def test_a_failing_branch_lets_its_siblings_end_before_the_execution_fails() -> None:
    steps = [
        {
            "parallel": [
                {"step": "bad", "duration": {"constant": 1}, "may_fail": True},
                {"step": "good", "duration": {"constant": 5}},
            ]
        },
        {"step": "join", "duration": {"constant": 1}},
    ]
    events = past_events(history(n=1, fail=1, steps=steps), START)
    assert told(events)[-2:] == ["good step.completed", "workflow.failed"]
    assert "bad step.failed" in told(events)
    assert "join step.started" not in told(events)


def test_a_step_that_waits_says_what_for() -> None:
    steps = [{"step": "approve", "waiting_on": "human", "duration": {"constant": "1h"}}]
    events = past_events(history(n=1, fail=0, steps=steps), START)
    assert told(events)[1:4] == [
        "approve step.started",
        "approve step.waiting",
        "approve step.completed",
    ]
    assert events[2].waiting_on == "human"


def test_the_short_form_is_one_step_that_may_fail() -> None:
    data = {
        "workflow": "w",
        "step": "s",
        "n": 10,
        "every": "1s",
        "fail": 0.3,
        "duration": LOGNORMAL,
    }
    events = past_events(parse_history(plain_spec(data), 1), START)
    assert sum(event.event == "step.failed" for event in events) == 3
    assert {event.step for event in events} == {"", "s"}


def test_live_executions_go_on_at_the_cadence_and_none_fails() -> None:
    events = executions_between(history(fail=1), START, 5, 65, "bg-{i}")
    starts = [event for event in events if event.event == "workflow.started"]
    assert [event.execution_id for event in starts] == [f"bg-{i}" for i in range(6)]
    assert [(event.time - START).total_seconds() for event in starts] == [5, 15, 25, 35, 45, 55]
    assert sum(event.event == "workflow.completed" for event in events) == 6
    assert executions_between(history(), START, 10, 10) == []
    with pytest.raises(UsageError, match="executions are more than"):
        executions_between(history(), START, 0, 1e9)


def test_events_are_complete_as_if_they_had_been_ingested() -> None:
    events = past_events(history(engine="temporal", namespace="shop"), START)
    lines = emit_json(events).splitlines()
    assert [event_from_dict(read(line), START) for line in lines] == events
    assert len({event.event_id for event in events}) == len(events)
    assert {(event.engine, event.namespace) for event in events} == {("temporal", "shop")}


def read(line: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(line)
    return data | {"time": datetime.fromisoformat(data["time"])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": []}, "steps: needs at least one step"),
        ({"every": "0s"}, "every: must be above 0"),
        ({"fail": 1.5}, "fail: must be between 0 and 1"),
        ({"n": -1}, "n: must be between"),
        ({"n": 1.5}, "n: must be a whole number"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"steps": [{"step": "a", "duration": LOGNORMAL}]}, "fail: no step has `may_fail: true`"),
        ({"steps": [{"step": "a"}]}, r"steps\[0\]: duration is required"),
        ({"steps": [{"parallel": []}]}, "parallel: needs at least one branch"),
        (
            {"steps": [{"step": "a", "duration": LOGNORMAL, "timeout_s": "5m"}]},
            r"steps\[0\].timeout_s: Expected",
        ),
        (
            {"steps": [{"step": "a", "duration": LOGNORMAL, "waiting_on": "godot"}]},
            r"steps\[0\].waiting_on: must be one of",
        ),
        (
            {"steps": [{"parallel": [{"step": "a", "duration": LOGNORMAL, "on_failure": True}]}]},
            "a step of a branch cannot run on failure",
        ),
    ],
)
def test_what_is_wrong_in_a_history_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        history(**changes)
