"""missing_step: its judge, and its courses from a real store."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import missing_step, state_regression
from detectors.calibration import flows
from detectors.calibration.flows import learn_flows
from detectors.statistics.flow_model import Flow, Observed, learned_flow
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Observation
from stallwatch.store import Store
from tests.detectors.support import EPOCH, NAMES, ago, calibration, context, tick

USUAL = ("+reserve", "-reserve", "+charge", "-charge", "+ship", "-ship")
SHORT = ("+reserve", "-reserve", "+ship", "-ship")
WORKFLOW = ("default", "custom", "order")


def flow(n: int = 300, *more: Observed, varied: bool = False) -> Flow:
    usual = Observed("", 0, USUAL, True, n, EPOCH - timedelta(hours=1), ("p-1", "p-2", "p-3"))
    return learned_flow([usual, *more], varied)


def with_rosters(one: Flow, other: Flow) -> Flow:
    return replace(one, rosters=other.rosters)


def row(
    *executions: str, at: float = 900, course: tuple[str, ...] = SHORT, **said: Any
) -> dict[str, Any]:
    """Executions that took a course, told so many seconds ago."""
    times = [ago(at)] * (len(course) + 1)
    return {
        **NAMES,
        "workflow_version": "",
        "depth": 0,
        "course": list(course),
        "completed": True,
        "whole": True,
        "n": len(executions),
        "seen": [(ago(at), execution, times, times) for execution in executions],
        **said,
    }


def judged(*rows: dict[str, Any], known: Flow | None = None, **policy: Any) -> list[Observation]:
    flows = {WORKFLOW: known or flow()}
    return missing_step.judge(tick(), rows, context(policy, calibration=calibration(flows=flows)))


def test_the_step_in_between_is_named() -> None:
    (found,) = judged(row("o-1"))
    assert (found.step, found.executions, found.suspected) == ("charge", ("o-1",), False)
    assert found.evidence["after"] == "reserve"
    assert "300 executions" in found.explanation


def test_it_is_suspected_until_it_is_confirmed_and_told_for_an_hour() -> None:
    assert judged(row("o-1", at=599))[0].suspected
    assert not judged(row("o-1", at=600))[0].suspected
    assert judged(row("o-1", at=4199))
    assert judged(row("o-1", at=4200)) == []


def test_three_executions_make_a_way_usual() -> None:
    assert judged(row("o-1"), row("o-2", at=800))[0].count == 2
    assert judged(row("o-1", "o-2", "o-3")) == []
    # Two that calibration has counted since, and one that it has not.
    counted = Observed("", 0, SHORT, True, 2, ago(3000), ("o-8", "o-9"))
    assert judged(row("o-1"), known=flow(300, counted)) == []
    assert judged(row("o-8"), known=flow(300, counted))


def test_a_way_that_was_seen_before_is_known() -> None:
    before = Observed("", 0, SHORT, True, 1, EPOCH - timedelta(hours=1), ("p-9",))
    assert judged(row("o-1"), known=flow(300, before)) == []


def test_little_known_judges_nothing() -> None:
    assert judged(row("o-1"), known=flow(50))
    assert judged(row("o-1"), known=flow(49)) == []
    assert judged(row("o-1"), known=flow(300, varied=True)) == []
    varied = with_rosters(flow(300, varied=True), flow(300))
    assert judged(row("o-1"), known=varied)[0].evidence["beside"] == "reserve"
    assert judged(row("o-1", workflow_version="v2")) == []


def test_a_new_step_is_no_gap() -> None:
    assert (
        judged(row("o-1", course=("+reserve", "-reserve", "+gift", "-gift"), completed=False)) == []
    )


def test_what_overlaps_is_no_gap() -> None:
    skewed = ("+reserve", "+charge", "-reserve", "-charge", "+ship", "-ship")
    assert judged(row("o-1", course=skewed)) == []


def test_who_tells_of_a_part_of_an_execution_lost_nothing_outside_of_it() -> None:
    assert judged(row("o-1", course=USUAL[2:])) == []
    assert judged(row("o-1", course=USUAL[:4])) == []
    assert judged(row("o-1", course=USUAL[2:4])) == []
    longer = learned_flow([Observed("", 0, LONGER, True, 300, EPOCH - timedelta(hours=1), ())])
    assert judged(row("o-1", course=("+c", "-c")), known=longer) == []
    (first,) = judged(row("o-1", course=LONGER[2:]), known=longer)
    (last,) = judged(row("o-1", course=LONGER[:-2]), known=longer)
    assert (first.step, last.step) == ("a", "e")


LONGER = tuple(f"{mark}{step}" for step in "abcde" for mark in "+-")


def test_steps_that_are_missing_together_are_one_finding() -> None:
    """Between its neighbours stands no single step that is missing."""
    longer = learned_flow([Observed("", 0, LONGER, True, 300, EPOCH - timedelta(hours=1), ())])
    course = ("+a", "-a", "+e", "-e")
    (found,) = judged(row("o-1", course=course), known=longer)
    assert (found.step, found.evidence["missing"]) == ("", ["b", "c", "d"])
    assert (found.evidence["beside"], found.evidence["seen_beside"]) == ("a", 300)
    assert found.title == "b, c and d of order are missing in o-1"
    assert "without b, c and d: none of the 300 executions with a" in found.explanation
    assert (found.since, found.suspected) == (ago(900), False)
    assert judged(row("o-1", at=599, course=course), known=longer)[0].suspected
    assert judged(row("o-1", course=course, completed=False), known=longer) == []
    # It had begun before the watch did: nobody lost what was not told to us.
    assert judged(row("o-1", course=course, whole=False), known=longer) == []
    policy = [{"workflow": "order", "step": "b", "enabled": False}]
    assert judged(row("o-1", course=course), known=longer, policy=policy)


def test_what_ran_in_a_branch_of_another_depth_is_not_missing() -> None:
    inside = row("o-1", course=("+charge", "-charge"), depth=1)
    assert judged(row("o-1"), inside) == []
    assert judged(row("o-1"), {**inside, "seen": row("o-2")["seen"]})


def test_two_that_are_missing_apart_are_one_finding_too() -> None:
    """Each would be a gap between its neighbours."""
    usual = [f"{mark}{step}" for step in "axbcd" for mark in "+-"]
    seen = Observed("", 0, tuple(usual), True, 300, EPOCH - timedelta(hours=1), ())
    course = tuple(text for text in usual if text[1] not in "xc")
    (found,) = judged(row("o-1", course=course), known=learned_flow([seen]))
    assert (found.step, found.evidence["missing"]) == ("", ["c", "x"])
    # While it runs, what runs together is not known yet.
    running = judged(row("o-1", course=course, completed=False), known=learned_flow([seen]))
    assert {one.step for one in running} == {"x", "c"}


PARALLEL = ("+a", "-a", "+b", "+c", "-b", "+d", "-d", "-c", "+e", "-e")
"""Beside b and d runs c, so that no step but e directly follows d, and c goes on behind it."""


def parallel(*more: Observed) -> Flow:
    before = EPOCH - timedelta(hours=1)
    slow = ("+a", "-a", "+b", "+c", "-c", "-b", "+d", "-d", "+e", "-e")
    fast = ("+a", "-a", "+c", "+b", "-c", "-b", "+d", "-d", "+e", "-e")
    seen = [Observed("", 0, one, True, 100, before, ()) for one in (PARALLEL, slow, fast)]
    return learned_flow([*seen, *more])


def test_a_step_that_others_ran_beside_is_missed() -> None:
    without_b = ("+a", "-a", "+c", "+d", "-d", "-c", "+e", "-e")
    (found,) = judged(row("o-1", course=without_b), known=parallel())
    assert (found.step, found.count) == ("b", 1)
    courses = [without_b, ("+a", "-a", "+d", "-d", "+c", "-c", "+e", "-e")]
    few = [row(f"o-{i}", course=one, at=800 + i) for i, one in enumerate(courses)]
    assert judged(*few, known=parallel())
    more = row("o-7", course=("+a", "-a", "+c", "-c", "+d", "-d", "+e", "-e"))
    assert [
        one for one in judged(*few, more, known=parallel()) if one.key.startswith("0\0b ")
    ] == []


def test_what_was_the_same_but_for_one_of_several_steps() -> None:
    """Each order is charged or invoiced while something else runs."""
    before = EPOCH - timedelta(hours=1)

    def either(step: str) -> tuple[str, ...]:
        return ("+open", "+log", f"+{step}", f"-{step}", "-log", "-open")

    seen = [
        Observed("", 0, either(s), True, n, before, ())
        for s, n in (("charge", 40), ("invoice", 20))
    ]
    neither = ("+open", "+log", "-log", "-open")
    (found,) = judged(row("o-1", course=neither), known=learned_flow(seen))
    assert (found.step, found.evidence["likely"], found.evidence["beside"]) == (
        "charge",
        0.6667,
        "",
    )
    assert "60 executions" in found.explanation
    assert "66.7 %" in found.explanation


def test_after_a_failure_other_steps_are_expected() -> None:
    assert judged(row("o-1", course=("+reserve", "-reserve", "+charge", "!charge"))) == []


def test_what_was_noticed_before_the_watch_began_is_not_told() -> None:
    assert judged(row("o-1", at=7 * 3600)) == []


def test_a_policy_switches_it_off() -> None:
    policy = [{"workflow": "order", "step": "charge", "enabled": False}]
    assert judged(row("o-1"), policy=policy) == []


# From a real store


def told(at: datetime, event: str, execution_id: str, **said: Any) -> StepEvent:
    data = {"event": event, "time": at, "workflow": "order", "execution_id": execution_id}
    return event_from_dict({**data, **said}, at)


def run(name: str, start: datetime, *steps: tuple[str, str], **said: Any) -> list[StepEvent]:
    """Steps (name, branch) one after the other, a second each, in an execution that completes."""
    second = timedelta(seconds=1)
    events = [told(start, "workflow.started", name, **said)]
    for number, (step, branch) in enumerate(steps):
        more = {**said, "step": step, "branch": branch}
        events.append(told(start + (2 * number + 1) * second, "step.started", name, **more))
        events.append(told(start + (2 * number + 2) * second, "step.completed", name, **more))
    end = start + (2 * len(steps) + 2) * second
    return [*events, told(end, "workflow.completed", name, **said)]


def test_courses_are_read_by_branch_and_in_the_order_of_events(store: Store, now: datetime) -> None:
    start = now - timedelta(hours=1)
    events = [
        *run("o-1", start, ("reserve", ""), ("pick", "0"), ("pack", "0"), ("ship", "")),
        *run("o-2", start, ("reserve", ""), ("ship", "")),
        *run("o-3", start),
        # Of o-4 `charge` fails once, is tried again, and skips what follows.
        told(start, "workflow.started", "o-4"),
        told(start + timedelta(seconds=1), "step.started", "o-4", step="charge", attempt=1),
        told(start + timedelta(seconds=2), "step.failed", "o-4", step="charge", attempt=1),
        told(start + timedelta(seconds=3), "step.started", "o-4", step="charge", attempt=2),
        told(start + timedelta(seconds=4), "step.failed", "o-4", step="charge", attempt=2),
        told(start + timedelta(seconds=5), "step.skipped", "o-4", step="ship"),
        told(start + timedelta(seconds=6), "workflow.failed", "o-4"),
    ]
    # The last is delivered first: order is what events say, not when they come.
    received = [now - timedelta(seconds=number) for number in range(len(events))]
    store.insert_events(events, received, "shop")
    store.fold(now)
    known = learn_flows(store, now - timedelta(days=7), now)[WORKFLOW]
    assert set(known.edges) == {
        *(
            (0, a, b)
            for a, b in (
                ("", "reserve"),
                ("reserve", "ship"),
                ("ship", ""),
                ("", ""),
                ("", "charge"),
            )
        ),
        *((0, a, b) for a, b in (("", "ship"),)),
        *((1, a, b) for a, b in (("", "pick"), ("pick", "pack"), ("pack", ""))),
    }
    assert known.edges[0, "reserve", "ship"].n == 2
    assert not known.edges[0, "", "ship"].usual
    assert known.ran == {"reserve": 2, "ship": 2, "pick": 1, "pack": 1}

    watch = tick(now, epoch=start - timedelta(hours=1))
    parameters = missing_step.parameters(watch, context())
    rows = store.select(missing_step.DETECTOR.sql, parameters)
    courses = {tuple(one["course"]) for one in rows}
    assert courses == {
        (),
        ("+reserve", "-reserve", "+ship", "-ship"),
        ("+pick", "-pick", "+pack", "-pack"),
    }
    assert all(one["whole"] for one in rows)
    late = missing_step.parameters(tick(now, epoch=start + timedelta(seconds=1)), context())
    assert not any(one["whole"] for one in store.select(missing_step.DETECTOR.sql, late))
    (branch,) = [one for one in rows if one["depth"] == 1]
    ((_, name, times, _),) = branch["seen"]
    assert (name, times[0], times[-1]) == (
        "o-1",
        start + timedelta(seconds=3),
        start + timedelta(seconds=10),
    )


def test_of_too_varied_courses_what_ran_is_known(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now - timedelta(hours=1)
    orders = [("a", "b", "c"), ("b", "a", "c"), ("a", "c", "b"), ("c", "b", "a")]
    events = [
        event
        for number, order in enumerate([*orders, ("a", "b")])
        for event in run(f"o-{number}", start, *((step, "") for step in order))
    ]
    events += [
        one for step in "de" for one in run(f"other-{step}", start, (step, ""), workflow="other")
    ]
    store.insert_events(events, [now] * len(events), "shop")
    store.fold(now)
    monkeypatch.setattr(flows, "COURSES_MAX", 4)
    known = learn_flows(store, now - timedelta(days=7), now)
    order, other = known[WORKFLOW], known["default", "custom", "other"]
    assert (order.varied, other.varied) == (True, False)
    whole = frozenset({("a", 1), ("b", 1), ("c", 1)})
    assert order.rosters[0].is_known(whole, now)
    assert order.rosters[0].absence(whole - {("c", 1)}, "", now - timedelta(days=7), 5) is not None
    assert other.rosters[0].is_known(frozenset({("d", 1)}), now)
    monkeypatch.setattr(flows, "COURSES_MAX", 2)
    assert learn_flows(store, now - timedelta(days=7), now)[WORKFLOW].rosters == {}


def test_numbered_executions_are_left_to_their_numbers(store: Store, now: datetime) -> None:
    start = now - timedelta(minutes=20)
    events = run("o-1", start, ("reserve", ""), ("ship", ""), ("reserve", ""))
    numbered = [
        told(one.time, one.event, "o-2", step=one.step, sequence=i)
        for i, one in enumerate(run("o-2", start, ("reserve", ""), ("ship", "")))
    ]
    # An older number comes again after all the others.
    again = told(start + timedelta(seconds=30), "step.started", "o-2", step="reserve", sequence=1)
    events = [*events, *numbered, again]
    store.insert_events(events, [one.time for one in events], "shop")
    store.fold(now)
    watch = tick(now, epoch=start - timedelta(hours=1))
    rows = store.select(missing_step.DETECTOR.sql, missing_step.parameters(watch, context()))
    assert {name for one in rows for _, name, _, _ in one["seen"]} == {"o-1"}

    rows = store.select(
        state_regression.DETECTOR.sql, state_regression.parameters(watch, context())
    )
    by_kind = {one["kind"]: one for one in rows}
    assert [name for name, _, _ in by_kind["reentry"]["seen"]] == ["o-1"]
    number = by_kind["sequence"]
    assert (number["step"], number["later"], number["seen"][0][0]) == ("reserve", "ship", "o-2")
    assert number["seen"][0][1] == [again.time]
