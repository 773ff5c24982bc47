"""Of a busy week the calibration reads a sample of the executions, and all of rare workflows."""

from datetime import datetime, timedelta

import pytest

from detectors.calibration import learn, sampling
from detectors.calibration.learned import EVERY_VERSION
from detectors.calibration.learning import past, statement
from detectors.calibration.rows import ENOUGH, PAST, RECENT
from detectors.calibration.steps import STEPS_LIMITS
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store

BUSY, RARE = 1200, 60


def run(at: datetime, workflow: str, number: int) -> list[StepEvent]:
    said = {"workflow": workflow, "execution_id": f"{workflow}-{number}"}
    step = {**said, "step": "charge", "queue": f"q-{workflow}"}
    course = [
        (0.0, "workflow.started", said),
        (1.0, "step.started", step),
        (3.0 + number % 7, "step.completed", step),
        (12.0, "workflow.completed", said),
    ]
    return [
        event_from_dict({"event": event, "time": at + timedelta(seconds=s), **more}, at)
        for s, event, more in course
    ]


@pytest.fixture
def week(store: Store, now: datetime) -> Store:
    """A workflow with many executions and one with few, over three days."""
    begin, apart = now - timedelta(days=3), timedelta(days=3) / BUSY
    events = [e for n in range(BUSY) for e in run(begin + n * apart * 0.99, "busy", n)]
    events += [e for n in range(RARE) for e in run(begin + n * apart, "rare", n)]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    return store


def test_of_what_is_busy_a_share_is_read_and_of_what_is_rare_all(
    week: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(week, now, 1.0)
    monkeypatch.setattr(sampling, "RARE", 100)
    monkeypatch.setattr(sampling, "ENOUGH", 100)
    monkeypatch.setattr(sampling, "ATTEMPTS_MAX", (BUSY + RARE) // 4)
    sample = sampling.sample_of(week, past(now), now - RECENT)
    assert sample == sampling.Sample(4.0, frozenset({("default", "custom", "rare")}))
    rows = week.select(
        statement("steps"),
        {**sample.bounds(past(now)), "sample": 20_000, **STEPS_LIMITS},
    )
    seen = {row["workflow"]: row["n"] for row in rows}
    assert seen["rare"] == RARE
    # Four standard deviations around a fair share.
    assert abs(seen["busy"] - BUSY / 4) < 4 * (BUSY * 0.25 * 0.75) ** 0.5
    weights = {row["workflow"]: sample.weight(row) for row in rows}
    assert weights == {"busy": 4.0, "rare": 1.0}

    some = learn(week, now, 1.0)
    place = ("default", "custom", "busy", "charge")
    full, part = (known.steps[place][EVERY_VERSION].threshold for known in (whole, some))
    assert part.n == seen["busy"] < full.n == BUSY
    # What is expected of a threshold depends on how many there are, not on how many were read.
    assert part.alpha == pytest.approx(full.alpha, rel=0.15)
    gaps = [known.gaps[place].threshold for known in (whole, some)]
    assert gaps[1].n == part.n
    assert gaps[1].alpha == pytest.approx(gaps[0].alpha, rel=0.15)
    assert set(some.liveness.steps) == set(whole.liveness.steps)
    queue = ("queue", "default", "custom", "", "q-busy")
    assert some.liveness.paces[queue].closes == whole.liveness.paces[queue].closes == BUSY


def test_a_week_that_is_not_busy_is_read_whole(week: Store, now: datetime) -> None:
    sample = sampling.sample_of(week, past(now), now - RECENT)
    assert (sample.one_of, sample.rare) == (1.0, frozenset())
    bounds = sample.bounds(past(now))
    assert (bounds["upto_key"], bounds["minutes_from"]) == (2**64 - 1, bounds["from"])


def test_what_is_seldom_seen_is_read_further_back(store: Store, now: datetime) -> None:
    """Imported an hour ago, all of it; `busy` has enough in its last week."""
    old, lately = now - timedelta(days=20), now - timedelta(days=2)
    minute = timedelta(minutes=1)
    events = [e for n in range(30) for e in run(old + n * minute, "seldom", n)]
    events += [e for n in range(5) for e in run(lately + n * minute, "seldom", 100 + n)]
    events += [e for n in range(30) for e in run(old + n * minute, "busy", n)]
    events += [e for n in range(ENOUGH) for e in run(lately + n * minute / 2, "busy", 100 + n)]
    store.insert_events(events, now - timedelta(hours=1), "import", historical=True)
    store.fold(now)
    sample = sampling.sample_of(store, past(now, PAST), now - RECENT)
    assert sample == sampling.Sample(1.0, seldom=frozenset({("default", "custom", "seldom")}))
    known = learn(store, now, 1.0)
    seldom, busy = (("default", "custom", workflow, "charge") for workflow in ("seldom", "busy"))
    for learned, n, days in (
        (known.steps[seldom][EVERY_VERSION], 35, 28),
        (known.gaps[seldom], 35, 28),
        (known.executions[seldom[:3]][EVERY_VERSION], 35, 28),
        (known.steps[busy][EVERY_VERSION], ENOUGH, 7),
        (known.gaps[busy], ENOUGH, 7),
        (known.executions[busy[:3]][EVERY_VERSION], ENOUGH, 7),
    ):
        assert (learned.spread.n, learned.spread.days) == (n, days)
