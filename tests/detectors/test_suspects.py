"""What leaves the store is all that the judge would call late, and not much more."""

import random
from datetime import timedelta
from typing import Any

import pytest

from detectors import stalled_step, suspects
from detectors.calibration.learned import EVERY_VERSION
from detectors.detector import Context
from detectors.stalled_step import DETECTOR
from stallwatch.store import Store
from tests.detectors.support import NAMES, NOW, PLACE, ago, calibration, context, learned, tick

COLUMNS = (
    "execution_key", "namespace", "engine", "workflow", "workflow_version", "execution_id", "step", "attempt", "status",
    "scheduled_at", "started_at", "last_heartbeat_at", "retrying_at", "waited_s", "timeout_s", "heartbeat_timeout_s",
    "schedule_to_close_timeout_s", "backoff_s", "is_last_attempt", "sender", "version", "execution_status",
    "execution_suspended_s",
)  # fmt: skip
STEPS = ("charge", "pack", "ship", "rest")
KNOWN = {
    "steps": {
        ("default", "custom", "order", "charge"): {EVERY_VERSION: learned(10.0)},
        ("default", "custom", "order", "pack"): {
            EVERY_VERSION: learned(60.0),
            "1": learned(60.0, n=900),
            "2": learned(20.0, n=30),
        },
        ("default", "custom", "order", "ship"): {EVERY_VERSION: learned(None)},
    },
    "heartbeats": {("default", "custom", "order", "charge"): learned(3.0)},
}


def drawn(number: int, choose: random.Random) -> list[Any]:
    """An open attempt with some of what may make it late."""

    def maybe(value: Any) -> Any:
        return value if choose.random() < 0.3 else None

    started_at = ago(choose.uniform(0, 120))
    status = choose.choice(("running", "running", "backing_off"))
    return [
        number, "default", "custom", "order", choose.choice(("1", "2", "3", "")), f"o-{number}",
        choose.choice(STEPS), 1, status,
        maybe(started_at - timedelta(seconds=choose.uniform(0, 30))), started_at,
        maybe(started_at + (NOW - started_at) * choose.random()),
        started_at if status == "backing_off" else None, choose.choice((0.0, 0.0, 15.0)),
        maybe(choose.uniform(1, 100)), maybe(choose.uniform(1, 50)), maybe(choose.uniform(1, 100)),
        maybe(choose.uniform(1, 5)), True, "shop", 1, choose.choice(("running", "running", "suspended")),
        choose.choice((0.0, 0.0, 20.0)),
    ]  # fmt: skip


def late_ones(store: Store, known: Context, **given: Any) -> tuple[set[str], int]:
    """The executions that are called late, and how many rows were judged."""
    parameters = {**stalled_step.parameters(tick(), known), **given}
    rows = store.select(DETECTOR.sql, parameters)
    found = stalled_step.judge(tick(), rows, known)
    return {name for one in found for name in one.executions}, len(rows)


def test_nothing_that_is_late_stays_in_the_store(store: Store) -> None:
    choose = random.Random(5)
    rows = [drawn(number, choose) for number in range(2000)]
    store.engine.insert_rows("open_attempt", COLUMNS, rows)
    known = context(calibration=calibration(**KNOWN))
    late, judged = late_ones(store, known)
    places = [("default", "custom", "order", step) for step in STEPS]
    nothing = [-1e9] * len(places)
    all_late, all_rows = late_ones(
        store, known, places=places, silence_s=nothing, age_s=nothing, rows_per_place=5000
    )
    assert late == all_late
    assert 0 < len(late) <= judged < all_rows


def test_of_very_many_the_oldest_are_named_and_the_rest_is_counted(store: Store) -> None:
    rows = [drawn(number, random.Random(1)) for number in range(30)]
    for number, row in enumerate(rows):
        row[5], row[6], row[8], row[10] = f"o-{number}", "charge", "running", ago(1000 + number)
        row[12], row[13], row[21], row[22] = None, 0.0, "running", 0.0
        row[9] = row[11] = row[14] = row[15] = row[16] = None
    store.engine.insert_rows("open_attempt", COLUMNS, rows)
    known = context()
    parameters = {**stalled_step.parameters(tick(), known), "rows_per_place": 7}
    (found,) = stalled_step.judge(tick(), store.select(DETECTOR.sql, parameters), known)
    assert (len(found.executions), found.count) == (7, 30)
    assert found.executions[0] == "o-29"
    assert "So have 29 other executions" in found.explanation


@pytest.mark.parametrize("late", [3, 2])
def test_what_was_not_looked_at_counts_only_where_all_else_is_late(late: int) -> None:
    rows = [{"suspects": 10}] * 3
    assert suspects.beyond(rows, late, 3) == (7 if late == 3 else 0)


def test_what_something_else_explains_was_looked_at() -> None:
    """Of 3 that came one is explained elsewhere: there are no others beyond those."""
    rows = [{**NAMES, "step": "charge", "suspects": 3}] * 3
    (place, came), *_ = suspects.came(rows).items()
    assert (place, came) == (PLACE, 3)
    assert suspects.beyond(rows[:2], 2, came) == 0
