"""scheduling_lag: gaps before the next step, now and usually."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from detectors import scheduling_lag
from detectors.calibration.scheduling import Pace, learn_scheduling, paces_of
from detectors.explaining import clock
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, tick

QUICK = Pace(np.full(1000, 0.05), 0.05, 0.06)
ORDER = {PLACE: QUICK, (*PLACE[:3], ""): QUICK}


def row(
    late: int, n: int = 120, step: str = "charge", workflow: str = "order", begun_s: float = 60
) -> dict[str, Any]:
    """`late` of `n` gaps took 20 s, the others 50 ms."""
    gaps = [(20.0, ago(begun_s + i), f"{workflow}-{i}") for i in range(late)]
    quick = [(0.05, ago(30), "quick")] * (n - late)
    return {
        **NAMES,
        "workflow": workflow,
        "step": step,
        "n": n,
        "median_s": 0.05,
        "longest": gaps + quick,
    }


def judged(*rows: dict[str, Any], paces: Any = None, policy: Any = None) -> Any:
    known = calibration(scheduling=ORDER if paces is None else paces)
    return scheduling_lag.judge(tick(), list(rows), context(policy, calibration=known))


def test_late_next_steps_are_told_with_what_is_usual() -> None:
    (found,) = judged(row(60))
    assert (found.workflow, found.step, found.since) == ("order", "charge", ago(119))
    assert found.count == 60
    assert found.evidence["limit_s"] == 1.0
    assert "99 % of 1,000 within a day before took at most 50ms" in found.explanation


def test_one_finding_a_workflow_and_the_step_that_carries_it() -> None:
    (found,) = judged(row(60), row(60, step="ship"))
    assert (found.workflow, found.step) == ("order", "")
    (found,) = judged(row(60), row(2, step="ship"))
    assert found.step == "charge"


def test_a_few_long_gaps_few_gaps_and_unknown_ones_are_nothing() -> None:
    # One in a hundred may be.
    assert judged(row(1)) == []
    # The p99 is beyond the limit, but so it is by chance once in a while.
    assert judged(row(2)) == []
    assert judged(row(60, n=99)) == []
    assert judged(row(60), paces={}) == []
    assert judged(row(60), policy={"policy": [{"workflow": "order", "enabled": False}]}) == []


def test_one_execution_that_loops_with_a_pause_is_no_lag() -> None:
    def looping(executions: int) -> dict[str, Any]:
        return {
            **row(0),
            "longest": [(20.0, ago(60 + i), f"o-{i % executions}") for i in range(120)],
        }

    assert judged(looping(4)) == []
    (found,) = judged(looping(5))
    assert found.count == 5


def test_a_lag_of_which_only_a_part_is_looked_at_began_no_later() -> None:
    (found,) = judged(row(60))
    assert f"late since {clock(ago(119))}: in the last 15 minutes 60 gaps" in found.explanation
    # The longest 60 of 120: there may be more, and earlier ones.
    (found,) = judged({**row(60, n=60), "n": 120})
    told = f"late at least since {clock(ago(119))}: in the last 15 minutes at least 60 gaps"
    assert told in found.explanation
    # So may there be before the quarter of an hour.
    (found,) = judged(row(60, begun_s=900 - 65))
    assert f"late at least since {clock(ago(894))}: in the last 15 minutes 60" in found.explanation


def test_what_usually_takes_long_may() -> None:
    slow = Pace(np.full(1000, 8.0), 8.0, 9.0)
    assert judged(row(60), paces={PLACE: slow}) == []


def test_workflows_with_few_gaps_each_are_judged_together() -> None:
    paces = {("default", "custom", name, ""): QUICK for name in ("a", "b", "c")}
    few = [row(40, n=50, workflow=name) for name in ("a", "b")]
    (found,) = judged(*few, paces=paces)
    assert (found.workflow, found.engine) == ("", "custom")
    # Those of others that are well do not make one's few more.
    assert judged(row(40, n=50, workflow="a"), row(0, n=90, workflow="b"), paces=paces) == []
    # One with enough of its own, which is well, is no help.
    assert judged(row(40, n=50, workflow="a"), row(0, workflow="c"), paces=paces) == []


def test_a_pace_is_learned_from_what_is_not_of_late() -> None:
    old = [(float(at), 0.1) for at in range(0, 80_000, 100)]
    late = [(float(at), 9.0) for at in range(82_300, 86_400, 10)]
    paces = paces_of([{**NAMES, "step": "charge", "gaps": old + late}], 86_400.0)
    assert paces[PLACE].upper_s == 0.1
    assert paces[PLACE].n == 800
    assert paces[(*PLACE[:3], "")].n == 800
    # Too few to tell a p99.
    assert paces_of([{**NAMES, "step": "charge", "gaps": old[:99]}], 86_400.0) == {}


def told(at: datetime, event: str, name: str, **said: Any) -> StepEvent:
    return event_from_dict(
        {"event": event, "time": at, "workflow": "order", "execution_id": name, **said}, at
    )


def course(start: datetime, name: str, closed: bool = True) -> list[StepEvent]:
    """Reserve for 1 s, 4 s later charge: it waits 3 s for a worker, fails, is tried again after 5 s."""
    facts: list[tuple[float, str, dict[str, Any]]] = [
        (0, "workflow.started", {}),
        (1, "step.started", {"step": "reserve"}),
        (2, "step.completed", {"step": "reserve"}),
        (6, "step.scheduled", {"step": "charge", "attempt": 1}),
        (9, "step.started", {"step": "charge", "attempt": 1}),
        (10, "step.failed", {"step": "charge", "attempt": 1}),
        (15, "step.started", {"step": "charge", "attempt": 2}),
        (16, "step.completed", {"step": "charge", "attempt": 2}),
    ]
    if closed:
        facts.append((17, "workflow.completed", {}))
    return [told(start + timedelta(seconds=at), event, name, **said) for at, event, said in facts]


def kept(store: Store, now: datetime, events: list[StepEvent]) -> None:
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)


def selected(store: Store, now: datetime) -> list[dict[str, Any]]:
    parameters = scheduling_lag.DETECTOR.parameters(tick(now, now - timedelta(hours=1)), context())
    return store.select(scheduling_lag.DETECTOR.sql, parameters)


def test_of_equally_long_gaps_the_earliest_are_kept(store: Store, now: datetime) -> None:
    begun_s = (300, 200, 100)
    kept(
        store,
        now,
        [e for s in begun_s for e in course(now - timedelta(seconds=s), f"o-{s}")],
    )
    parameters = scheduling_lag.DETECTOR.parameters(tick(now, now - timedelta(hours=1)), context())
    (found,) = store.select(scheduling_lag.DETECTOR.sql, {**parameters, "longest": 2})
    assert [name for _, _, name in found["longest"]] == ["o-300", "o-200"]


@pytest.mark.parametrize("closed", [True, False])
def test_the_gap_is_up_to_the_scheduling_of_the_next_step(
    store: Store, now: datetime, closed: bool
) -> None:
    kept(store, now, course(now - timedelta(seconds=60), "o-1", closed))
    (found,) = selected(store, now)
    assert (found["step"], found["n"]) == ("reserve", 1)
    assert found["longest"] == [(4.0, now - timedelta(seconds=54), "o-1")]


def test_who_is_busy_suspended_or_before_the_watch_does_not_lag(
    store: Store, now: datetime
) -> None:
    start = now - timedelta(seconds=60)
    busy = course(start, "busy")
    busy.append(told(start + timedelta(seconds=1), "step.started", "busy", step="pack", branch="1"))
    busy.append(
        told(start + timedelta(seconds=16), "step.completed", "busy", step="pack", branch="1")
    )
    suspended = course(start, "suspended")
    suspended.append(told(start + timedelta(seconds=3), "workflow.suspended", "suspended"))
    suspended.append(told(start + timedelta(seconds=5), "workflow.resumed", "suspended"))
    early = course(now - timedelta(seconds=3604), "early")
    kept(store, now, [*busy, *suspended, *early])
    assert selected(store, now) == []


def test_the_usual_pace_is_read_from_closed_executions(store: Store, now: datetime) -> None:
    starts = [now - timedelta(minutes=400) + timedelta(minutes=n) for n in range(300)]
    kept(store, now, [one for n, start in enumerate(starts) for one in course(start, f"o-{n}")])
    paces = learn_scheduling(store, now)
    assert paces[(*PLACE[:3], "reserve")].n == 300
    assert paces[(*PLACE[:3], "reserve")].p99_s == 4.0
    assert PLACE not in paces
