"""From attempts in the store to a row per step, and the back-test against the same attempts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from detectors import recommendations
from detectors.calibration import Declared, Said
from detectors.recommendations import Attempts, by_step, judge, recommend_timeouts, survival
from stallwatch.model.definitions import Definition
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.recommendations import (
    LOGGED_FIELDS,
    StepRecommendation,
    week_of,
)
from stallwatch.store import Store
from stallwatch.store.recommending import write_recommendations

WEEK = date(2025, 12, 29)
DAY = timedelta(days=1)


def attempt(
    now: datetime,
    number: int,
    duration_s: float,
    end: str = "step.completed",
    step: str = "charge",
    **fields: object,
) -> Iterator[StepEvent]:
    """Start and end of one attempt of its own execution, `number` seconds before `now` at its end."""
    ended = now - timedelta(seconds=number)
    for event, time in (("step.started", ended - timedelta(seconds=duration_s)), (end, ended)):
        yield event_from_dict(
            {
                "event": event,
                "time": time.isoformat(),
                "workflow": "order",
                "execution_id": f"{step}-{number}",
                "step": step,
                "attempt": 1,
                **fields,
            },
            now,
        )


def fill(store: Store, now: datetime, events: Sequence[StepEvent]) -> None:
    store.insert_events(events, now, "test")
    store.fold(now)


def attempts_of(
    completed_s: Sequence[float] = (),
    timed_out_s: Sequence[float] = (),
    cancelled_s: Sequence[float] = (),
    current_timeout_s: float | None = None,
) -> Attempts:
    return Attempts(
        np.array(completed_s, dtype=np.float64),
        np.array(timed_out_s, dtype=np.float64),
        np.array(cancelled_s, dtype=np.float64),
        current_timeout_s=current_timeout_s,
        declared=current_timeout_s is not None,
        declared_by="",
        dropped=0,
        capped=False,
    )


def judged(attempts: Attempts) -> StepRecommendation:
    return judge(
        namespace="default", engine="custom", workflow="order", step="charge",
        attempts=attempts, week=WEEK,
    )  # fmt: skip


def test_reads_completed_attempts_of_the_window_and_its_declared_timeout(
    store: Store, now: datetime
) -> None:
    events = [
        event for i in range(300) for event in attempt(now, i + 1, 1 + i / 100, timeout_s=100)
    ]
    events += attempt(now, 400, 100, "step.timed_out", timeout_s=100)
    events += attempt(now, 401, 5000, "step.failed", timeout_s=100)
    events += attempt(now, 2 * 86_400, 9000, timeout_s=50)
    fill(store, now, events)
    (found,) = recommend_timeouts(store, now - DAY, now)
    assert (found.namespace, found.engine, found.workflow, found.step) == (
        "default", "custom", "order", "charge",
    )  # fmt: skip
    assert (found.n, found.censored, found.current_timeout_s) == (300, 1, 100)
    assert found.p99_s == pytest.approx(1 + 296 / 100)
    assert found.week == WEEK + timedelta(days=7)


def test_since_is_inside_the_window_and_until_is_not(store: Store, now: datetime) -> None:
    fill(store, now, [*attempt(now, 60, 1), *attempt(now, 0, 1)])
    (found,) = recommend_timeouts(store, now - timedelta(seconds=60), now)
    assert found.n == 1


@pytest.mark.parametrize("wait", [{"waiting_on": "human"}, {}])
def test_waits_are_not_the_steps_own_pace(
    store: Store, now: datetime, wait: dict[str, object]
) -> None:
    start, end = attempt(now, 1, 3600, step="approve")
    waiting = {
        "event": "step.waiting",
        "time": (now - timedelta(seconds=3000)).isoformat(),
        "workflow": "order",
        "execution_id": "approve-1",
        "step": "approve",
        "attempt": 1,
        **wait,
    }
    fill(store, now, [start, event_from_dict(waiting, now), end])
    assert recommend_timeouts(store, now - DAY, now) == []


def test_a_step_declared_as_a_wait_is_one_without_waiting(store: Store, now: datetime) -> None:
    fill(store, now, list(attempt(now, 1, 3600, waiting_on="callback")))
    assert recommend_timeouts(store, now - DAY, now) == []


def test_an_attempt_whose_start_nobody_saw_has_no_duration(store: Store, now: datetime) -> None:
    fill(store, now, list(attempt(now, 2, 5))[1:])
    assert recommend_timeouts(store, now - DAY, now) == []


def test_a_steps_latest_attempts_are_enough(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommendations, "PER_STEP_MAX", 5)
    events = [event for i in range(9) for event in attempt(now, i + 1, 1.0 if i < 5 else 50.0)]
    fill(store, now, events)
    (found,) = recommend_timeouts(store, now - DAY, now)
    assert (found.n, found.p50_s, found.p95_s) == (5, 1.0, 1.0)
    assert "Only the latest 5 attempts are counted." in found.notes


def test_the_view_shows_what_was_written_and_a_second_writing_replaces_it(
    store: Store, now: datetime
) -> None:
    first = judged(attempts_of(np.linspace(1, 2, 400).tolist(), current_timeout_s=60))
    write_recommendations(store, [first, replace(first, step="ship")], now)
    write_recommendations(store, [replace(first, n=401)], now + timedelta(seconds=1))
    rows = store.select("SELECT * FROM recommendations ORDER BY step")
    assert [(row["step"], row["n"]) for row in rows] == [("charge", 401), ("ship", 400)]
    assert tuple(rows[0]) == LOGGED_FIELDS
    expected = replace(first, n=401)
    assert rows[0] == {name: getattr(expected, name) for name in LOGGED_FIELDS}


def test_insufficient_data_says_how_much_is_missing() -> None:
    found = judged(attempts_of([1.0] * 87, current_timeout_s=60))
    assert (found.verdict, found.missing_n) == ("inconclusive", 212)
    assert found.recommended_timeout_s is None
    assert found.stuck_s_saved is None


def test_no_attempts_completed_at_all() -> None:
    found = judged(attempts_of((), [10.0] * 50, current_timeout_s=10))
    assert (found.verdict, found.n, found.censored) == ("inconclusive", 0, 50)
    assert found.canary_timeout_s == 40
    assert any("try 40s on 5% of the attempts" in note for note in found.notes)
    assert found.survival == ()


def test_the_backtest_counts_what_was_stuck_at_its_real_age() -> None:
    completed = np.linspace(1, 2, 4000).tolist()
    found = judged(attempts_of(completed, [300.0] * 2, [1000.0, 0.5], current_timeout_s=300))
    recommended_s = found.recommended_timeout_s
    assert recommended_s is not None
    assert found.verdict == "too_loose"
    assert found.stuck_s_saved == pytest.approx(2 * (300 - recommended_s) + 1000 - recommended_s)
    assert found.recommended_cut_n == sum(value > recommended_s for value in completed)


def test_cancelled_attempts_are_not_cut_off_by_the_timeout() -> None:
    found = judged(attempts_of([1.0] * 400, (), [1.0] * 400, current_timeout_s=2))
    assert (found.censored, found.canary_timeout_s, found.verdict) == (0, None, "ok")


def frame(*rows: tuple[str, str, float, float | None]) -> pd.DataFrame:
    told = pd.DataFrame(rows, columns=["step", "status", "duration_s", "timeout_s"])
    return told.assign(workflow_version="2")


def one_step(*rows: tuple[str, str, float, float | None], **defined: Said) -> Attempts:
    """The only step of order; `defined`: what its definition of version 2 declares."""
    declared = Declared({("default", "custom", "order", "charge"): {"2": defined}})
    ((_, found),) = by_step(frame(*rows), ("default", "custom", "order"), declared)
    return found


def test_what_ran_under_a_shorter_timeout_is_left_out() -> None:
    found = one_step(
        ("charge", "completed", 12.0, 20.0),
        ("charge", "timed_out", 10.0, 10.0),
        ("charge", "completed", 9.0, 10.0),
        ("charge", "completed", 8.0, None),
        ("charge", "completed", 25.0, 30.0),
    )
    assert found.current_timeout_s == 20
    assert sorted(found.completed_s) == [8.0, 12.0, 25.0]
    assert (len(found.timed_out_s), found.dropped) == (0, 2)


def test_a_timeout_nobody_declared_shows_in_what_timed_out() -> None:
    found = one_step(
        ("charge", "timed_out", 10.0, None),
        ("charge", "timed_out", 10.2, None),
        ("charge", "timed_out", 10.1, None),
        ("charge", "completed", 1.0, None),
    )
    assert (found.current_timeout_s, found.declared) == (10.1, False)
    notes = judged(found).notes
    assert any("is not declared in the telemetry" in note for note in notes)


def test_a_definition_tells_the_timeout_that_no_attempt_tells() -> None:
    defined = Said(30.0, "asl")
    rows = [("charge", "timed_out", 10.0, None), ("charge", "completed", 1.0, None)]
    found = one_step(*rows, timeout_s=defined)
    assert (found.current_timeout_s, found.declared, found.declared_by) == (30.0, True, "asl")
    (*_, note) = judged(found).notes
    assert note == (
        "The current timeout is declared in the state machine's definition, not by the attempts."
    )
    told = one_step(*rows, ("charge", "completed", 1.0, 20.0), timeout_s=defined)
    assert (told.current_timeout_s, told.declared_by) == (20.0, "")


def test_a_recommendation_is_held_against_the_state_machines_definition(
    store: Store, now: datetime
) -> None:
    where: dict[str, Any] = {"engine": "stepfunctions", "workflow_version": "7"}
    asl = Definition(workflow="order", step="charge", source="asl", timeout_s=500.0, **where)
    store.write_definitions([asl, replace_struct(asl, workflow_version="6", timeout_s=5.0)], now)
    fill(store, now, [e for i in range(3000) for e in attempt(now, i + 1, 1 + i / 3000, **where)])
    (found,) = recommend_timeouts(store, now - DAY, now)
    assert (found.current_timeout_s, found.verdict) == (500.0, "too_loose")
    assert any("in the state machine's definition" in note for note in found.notes)


def test_earlier_weeks_steady_what_is_recommended(store: Store, now: datetime) -> None:
    """Three reports found 8 s, this week's window alone 2 s: that they differ so much asks for more, not for less."""
    fill(
        store, now, [e for i in range(400) for e in attempt(now, i + 1, 1 + i / 400, timeout_s=10)]
    )
    (alone,) = recommend_timeouts(store, now - DAY, now)
    assert alone.weekly_upper_s == alone.recommended_timeout_s
    assert alone.change == "due"
    for weeks in (1, 2, 3, 9):
        earlier = replace(
            alone,
            week=alone.week - weeks * timedelta(days=7),
            weekly_upper_s=8.0,
            recommended_timeout_s=8.0,
        )
        write_recommendations(
            store, [earlier, replace(earlier, step="other", weekly_upper_s=1e6)], now
        )
    (found,) = recommend_timeouts(store, now - DAY, now)
    upper_s = alone.weekly_upper_s or 0.0
    logs = np.log([8.0, 8.0, 8.0, upper_s])
    steady_s = np.exp(np.median(logs) + logs.std(ddof=1))
    assert found.recommended_timeout_s == pytest.approx(steady_s)
    assert found.weekly_upper_s == upper_s
    # Where weeks differ by a factor of four, the 10 s that are declared are as good.
    assert found.change == "keep"
    assert any("no reason to change it" in note for note in found.notes)
    assert any("smoothed over 4 weeks" in note for note in found.notes)


@pytest.mark.parametrize("imported", [False, True])
def test_the_workflow_is_given_room_for_its_steps(
    store: Store, now: datetime, imported: bool
) -> None:
    def execution(number: int) -> Iterator[StepEvent]:
        begun = now - timedelta(seconds=10 * number + 20)
        for event, after_s in (
            ("workflow.started", 0), ("step.started", 0), ("step.completed", 4), ("workflow.completed", 5),
        ):  # fmt: skip
            about = {"step": "charge"} if event.startswith("step") else {"timeout_s": 3}
            yield event_from_dict(
                {
                    "event": event, "time": (begun + timedelta(seconds=after_s)).isoformat(), "workflow": "order",
                    "execution_id": f"o-{number}", **about,
                },
                now,
            )  # fmt: skip

    events = [event for number in range(299) for event in execution(number)]
    store.insert_events(events, now, "test", historical=imported)
    store.fold(now)
    (found,) = recommend_timeouts(store, now - DAY, now)
    assert found.workflow_p999_s == pytest.approx(5.0)
    assert found.workflow_recommended_timeout_s == pytest.approx(6.0)
    assert found.workflow_current_timeout_s == 3.0
    assert "It declares 3s." in found.notes[-1]


def test_a_workflow_is_never_to_end_before_one_of_its_steps(store: Store, now: datetime) -> None:
    """The steps know of attempts that no sample of the workflow's executions has: here they came from failed ones."""

    def execution(number: int) -> Iterator[StepEvent]:
        begun = now - timedelta(seconds=200 * number + 400)
        slow = number % 20 == 0
        took_s = 60 if slow else 4
        for event, after_s in (
            ("workflow.started", 0), ("step.started", 0), ("step.completed", took_s),
            ("workflow.failed" if slow else "workflow.completed", took_s + 1),
        ):  # fmt: skip
            about = {"step": "charge"} if event.startswith("step") else {}
            yield event_from_dict(
                {
                    "event": event, "time": (begun + timedelta(seconds=after_s)).isoformat(), "workflow": "order",
                    "execution_id": f"o-{number}", **about,
                },
                now,
            )  # fmt: skip

    fill(store, now, [event for number in range(399) for event in execution(number)])
    (found,) = recommend_timeouts(store, now - DAY, now)
    assert found.workflow_p999_s == pytest.approx(5.0)
    assert found.recommended_timeout_s is not None
    assert found.recommended_timeout_s >= 60
    assert found.workflow_recommended_timeout_s == pytest.approx(
        1.2 * (5.0 + found.recommended_timeout_s - 4.0)
    )
    assert found.notes[-1].startswith("charge alone may take longer")


def test_what_hangs_makes_a_short_timeout_cheap() -> None:
    durations = np.random.default_rng(5).lognormal(0, 0.5, 3000)
    hanging = judged(attempts_of(durations.tolist(), [100.0] * 300, current_timeout_s=100))
    assert hanging.cheapest_timeout_s is not None
    assert hanging.cheapest_timeout_s < 10
    assert hanging.trade_off
    assert judged(attempts_of(durations.tolist(), current_timeout_s=100)).cheapest_timeout_s is None


durations = st.lists(st.floats(0.001, 1e6), max_size=400)


@given(durations, durations, durations, st.none() | st.floats(0.01, 1e6))
def test_every_row_is_within_its_bounds(
    completed: list[float], timed_out: list[float], cancelled: list[float], current: float | None
) -> None:
    found = judged(attempts_of(completed, timed_out, cancelled, current))
    for cut in (found.healthy_cut, found.recommended_cut, found.guidance_cut):
        assert cut is None or 0 <= cut <= 1
    if found.recommended_timeout_s is not None and found.p99_s is not None:
        assert found.recommended_timeout_s >= found.p99_s
    assert (found.missing_n > 0) == (found.verdict == "inconclusive")
    if found.recommended_cut_n is not None:
        assert 0 <= found.recommended_cut_n <= found.n


@given(durations.filter(bool))
def test_the_survival_curve_falls_from_everyone_to_the_longest(completed: list[float]) -> None:
    curve = survival(np.array(completed))
    assert curve[0] == (min(completed), 1.0)
    assert curve[-1] == (max(completed), 1 / len(completed))
    assert all(a[0] <= b[0] and a[1] > b[1] for a, b in pairwise(curve))


def test_a_window_that_ends_as_monday_begins_belongs_to_the_week_before() -> None:
    monday = datetime.fromisoformat("2026-01-05T00:00:00+00:00")
    assert week_of(monday) == WEEK
    assert week_of(monday + timedelta(microseconds=1)) == date(2026, 1, 5)
