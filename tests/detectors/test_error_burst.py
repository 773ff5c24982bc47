"""error_burst and timeout_burst: from counts to findings, and what their past teaches."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import error_burst, timeout_burst
from detectors.bursts import BIN_S
from detectors.calibration.bursts import BurstHabit, learn_bursts
from detectors.calibration.trends import Trend, learn_trends, trends_of
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Severity
from stallwatch.store import Store
from tests.detectors.support import EPOCH, NAMES, NOW, PLACE, ago, calibration, context, tick

BIN = int(NOW.timestamp()) // BIN_S
USUAL = BurstHabit(errors=10.0, attempts=1000.0)


def row(
    errors: dict[int, int], attempts: int = 2, upto: int = 400, step: str = "charge"
) -> dict[str, Any]:
    """Errors by how many bins ago, beside `attempts` in each of the last bins."""
    bins = list(range(upto, -1, -1))
    return {
        **NAMES,
        "step": step,
        "bins": [BIN - back for back in bins],
        "attempts": [attempts for _ in bins],
        "errors": [errors.get(back, 0) for back in bins],
        "details": [
            (BIN - back, [f"o-{back}"], [("Http500", "bank", "", "w-1", "")])
            for back in bins
            if errors.get(back)
        ],
    }


def judged(*rows: dict[str, Any], policy: Any = None, **known: Any) -> Any:
    learned = {"bursts": {"failed": {PLACE: USUAL}}, **known}
    told = context(policy, calibration=calibration(**learned))
    return error_burst.judge(tick(), list(rows), told)


def test_a_minute_of_errors_is_a_burst() -> None:
    (found,) = judged(row(dict.fromkeys(range(6), 2)))
    assert (found.workflow, found.step, found.since) == ("order", "charge", ago(50))
    assert found.executions == ("o-5", "o-4", "o-3", "o-2", "o-1", "o-0")
    assert "12 of 12 attempts of charge of order failed (100 %)" in found.explanation
    assert "usually 1 % do (10 of 1,000 attempts within a day before)" in found.explanation
    assert "Mostly with Http500. Nearly all of them: downstream bank" in found.explanation
    assert found.evidence["downstream"] == "bank"
    assert found.next_steps[0] == "Look at what Http500 says in o-5."
    untyped = row(dict.fromkeys(range(6), 2))
    untyped["details"] = [
        (bin_, ids, [("", "bank", "", "w-1", "")]) for bin_, ids, _ in untyped["details"]
    ]
    assert judged(untyped)[0].next_steps[0] == "Look at why charge failed in o-5."


def test_one_call_that_fails_again_and_again_is_no_burst() -> None:
    alone = row(dict.fromkeys(range(6), 2))
    alone["details"] = [(bin_, ["o-1"], shared) for bin_, _, shared in alone["details"]]
    assert judged(alone) == []
    alone["details"][0] = (alone["details"][0][0], ["o-2"], alone["details"][0][2])
    assert judged(alone)[0].executions == ("o-2", "o-1")


def test_it_lasts_until_fifteen_minutes_were_quiet() -> None:
    def ended(minutes: int) -> Any:
        return judged(row(dict.fromkeys(range(6 * minutes, 6 * minutes + 12), 2)))

    (found,) = ended(13)
    assert found.since == ago(13 * 60 + 110)
    assert "it counts as over when 15 minutes are quiet" in found.explanation
    assert ended(16) == []


def test_a_burst_that_is_over_does_not_live_on_in_the_errors_of_every_day() -> None:
    every_day = dict.fromkeys(range(0, 400, 12), 1)
    long_ago = dict.fromkeys(range(120, 150), 10)
    assert judged(row({**every_day, **long_ago}, attempts=10)) == []


def test_few_errors_unknown_steps_and_what_policy_leaves_out_are_not_told() -> None:
    assert judged(row({0: 1, 20: 1, 50: 1})) == []
    much = row(dict.fromkeys(range(6), 2))
    assert judged(much, bursts={"failed": {}}) == []
    assert judged(much, bursts={"timed_out": {PLACE: USUAL}}) == []
    assert judged(much, policy={"policy": [{"step": "charge", "enabled": False}]}) == []


def test_what_always_fails_so_is_no_burst() -> None:
    often = BurstHabit(errors=500.0, attempts=1000.0)
    assert judged(row(dict.fromkeys(range(60), 1)), bursts={"failed": {PLACE: often}}) == []


def test_timeouts_are_told_as_such() -> None:
    known = calibration(bursts={"timed_out": {PLACE: USUAL}})
    much = row(dict.fromkeys(range(6), 2))
    (found,) = timeout_burst.judge(tick(), [much], context(calibration=known))
    assert found.title == "charge of order times out far more often than usual"
    assert "12 of 12 attempts of charge of order timed out" in found.explanation


RISEN = Trend(ago(3600), 60.0, 1000.0, 200.0, 20_000.0, 50.0)


def test_a_trend_is_told_where_nothing_bursts() -> None:
    (found,) = judged(trends={PLACE: RISEN})
    assert (found.severity, found.since) == (Severity.INFO, ago(3600))
    assert "6 times as often as before" in found.explanation
    (burst,) = judged(row(dict.fromkeys(range(6), 2)), trends={PLACE: RISEN})
    assert burst.severity is Severity.WARNING
    assert burst.fingerprint != found.fingerprint


def test_a_trend_that_began_before_the_watch_is_not_told() -> None:
    early = Trend(EPOCH - timedelta(hours=1), 60.0, 1000.0, 200.0, 20_000.0, 50.0)
    assert judged(trends={PLACE: early}) == []


def by_hour(rates: list[float], per_hour: int = 100) -> dict[str, Any]:
    """Hours, the newest first."""
    return {
        **NAMES,
        "step": "charge",
        "hours": list(range(len(rates))),
        "attempts": [per_hour] * len(rates),
        "errors": [round(rate * per_hour) for rate in rates],
    }


def test_a_rise_over_hours_is_a_trend() -> None:
    found = trends_of([by_hour([0.06] * 12 + [0.02] * 156)], NOW, 0.1)
    assert found[PLACE].since == ago(11 * 3600)
    assert found[PLACE].errors_before > 0


@pytest.mark.parametrize(
    "rates",
    [
        [0.02] * 168,
        [0.03] * 12 + [0.02] * 156,
        # Every night, or too short a past.
        ([0.06] * 6 + [0.02] * 18) * 7,
        [0.06] * 6 + [0.02] * 12,
    ],
)
def test_what_is_as_ever_or_hardly_known_is_none(rates: list[float]) -> None:
    assert trends_of([by_hour(rates)], NOW, 0.1) == {}


def attempt(at: datetime, name: str, end: str, **said: Any) -> list[StepEvent]:
    """An attempt of one second that ends at `at`."""
    told = {"workflow": "order", "execution_id": name, "step": "charge"}
    return [
        event_from_dict({**told, "event": "step.started", "time": at - timedelta(seconds=1)}, at),
        event_from_dict({**told, **said, "event": end, "time": at}, at),
    ]


def kept(store: Store, now: datetime, attempts: list[list[StepEvent]]) -> None:
    events = [event for one in attempts for event in one]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)


def test_a_trend_is_read_from_the_hours_of_the_statistics(store: Store, now: datetime) -> None:
    attempts = []
    for minutes in range(1, 30 * 60):
        fails = minutes % (8 if minutes < 360 else 50) == 0
        end = "step.failed" if fails else "step.completed"
        attempts.append(attempt(now - timedelta(minutes=minutes), f"o-{minutes}", end))
    kept(store, now, attempts)
    store.refresh_statistics()
    trend = learn_trends(store, now, 1.0)[PLACE]
    assert (trend.since, trend.errors, trend.attempts) == (now - timedelta(hours=5), 37, 300)
    assert (trend.errors_before, trend.attempts_before) == (35, 1499)


def past(now: datetime, minutes_ago: range, end: str, **said: Any) -> list[list[StepEvent]]:
    return [
        attempt(now - timedelta(minutes=ago), f"{end}-{ago}", end, **said) for ago in minutes_ago
    ]


def test_the_last_seventy_minutes_teach_nothing(store: Store, now: datetime) -> None:
    failed = past(now, range(1, 60), "step.failed", error_type="TooManyRequestsException")
    completed = past(now, range(75, 1000), "step.completed")
    timed_out = past(now, range(1000, 1010), "step.timed_out")
    kept(store, now, [*completed, *timed_out, *failed])
    habits = learn_bursts(store, now)
    assert (habits["failed"][PLACE].errors, habits["failed"][PLACE].attempts) == (0, 935)
    assert habits["timed_out"][PLACE].errors == 10
    assert habits["throttled"][PLACE].errors == 0


def test_of_a_short_past_the_first_half_teaches(store: Store, now: datetime) -> None:
    throttled = past(now, range(1, 20), "step.failed", error_type="TooManyRequestsException")
    completed = past(now, range(20, 140), "step.completed")
    kept(store, now, [*completed, *throttled])
    habits = learn_bursts(store, now)
    assert (habits["failed"][PLACE].errors, habits["failed"][PLACE].attempts) == (0, 71)


def test_of_hardly_any_past_everything_teaches(store: Store, now: datetime) -> None:
    throttled = past(now, range(1, 20), "step.failed", error_type="TooManyRequestsException")
    completed = past(now, range(20, 60), "step.completed")
    kept(store, now, [*completed, *throttled])
    habits = learn_bursts(store, now)
    assert (habits["failed"][PLACE].errors, habits["failed"][PLACE].attempts) == (19, 59)
    assert habits["throttled"][PLACE].errors == 19


def test_the_statement_counts_by_ten_seconds_what_has_failed(store: Store, now: datetime) -> None:
    failed = [attempt(now - timedelta(seconds=5 + n), f"f-{n}", "step.failed") for n in range(4)]
    backing_off = [attempt(now - timedelta(seconds=25), "b", "step.retrying", error_type="Http500")]
    untold = [
        attempt(now - timedelta(seconds=25), f"u-{kind}", "step.retrying", error_type=kind)
        for kind in ("", "StartToCloseTimeout", "timed out")
    ]
    timed_out = [attempt(now - timedelta(seconds=25), "t", "step.timed_out")]
    kept(store, now, [*failed, *backing_off, *untold, *timed_out])
    moment = tick(now, now - timedelta(hours=1))
    (found,) = store.select(
        error_burst.DETECTOR.sql, error_burst.DETECTOR.parameters(moment, context())
    )
    counts = dict(
        zip(found["bins"], zip(found["attempts"], found["errors"], strict=True), strict=True)
    )
    assert counts == {BIN - 1: (4, 4), BIN - 3: (2, 1)}
    # Nothing that was before the watch.
    late = tick(now, now - timedelta(seconds=6))
    assert (
        store.select(error_burst.DETECTOR.sql, error_burst.DETECTOR.parameters(late, context()))
        == []
    )
