"""throttled: what was refused, by whom, and what usually is."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import throttled
from detectors.bursts import BIN_S
from detectors.calibration.bursts import THROTTLES, BurstHabit
from stallwatch.model.events import event_from_dict
from stallwatch.store import Store
from tests.detectors.support import NAMES, NOW, PLACE, calibration, context, tick

BIN = int(NOW.timestamp()) // BIN_S
NEVER = BurstHabit(errors=0.0, attempts=1000.0)
OFTEN = BurstHabit(errors=400.0, attempts=1000.0)


@pytest.mark.parametrize(
    "error_type",
    [
        "ThrottlingException", "Throttling", "RequestThrottled", "TooManyRequestsException",
        "Lambda.TooManyRequestsException", "TooManyRequests", "too many requests", "RESOURCE_EXHAUSTED",
        "ResourceExhausted", "RateExceeded", "RateLimitError", "rate_limit_exceeded", "RateLimitExceeded",
        "RequestLimitExceeded", "ProvisionedThroughputExceededException", "SlowDown", "429", "HTTP 429",
        "Http429", "QuotaExceeded", "ConcurrentInvocationLimitExceeded", "RpsLimit",
        "LimitExceededException", "BandwidthLimitExceeded", "PriorRequestNotComplete", "RequestRateTooLarge",
    ],
)  # fmt: skip
def test_error_types_that_ask_for_less(error_type: str) -> None:
    assert re.search(THROTTLES, error_type)


@pytest.mark.parametrize(
    "error_type", ["Http500", "14290", "E4291", "TimeoutError", "LimitExceeded", "Slowdowns", ""]
)
def test_error_types_that_do_not(error_type: str) -> None:
    assert not re.search(THROTTLES, error_type)


def row(
    step: str, refused: int, workflow: str = "order", downstream: str = "bank"
) -> dict[str, Any]:
    """So many of four attempts were refused in each of the last six bins."""
    bins = list(range(BIN - 5, BIN + 1))
    return {
        **NAMES,
        "workflow": workflow,
        "step": step,
        "downstream": downstream,
        "bins": bins,
        "attempts": [4] * 6,
        "errors": [refused] * 6,
        "details": [
            (one, [f"{workflow}-{one}"], [("429", downstream, "", "", "")]) for one in bins
        ],
    }


def judged(*rows: dict[str, Any], habits: Any = None, policy: Any = None) -> Any:
    known = {PLACE: NEVER} if habits is None else habits
    told = context(policy, calibration=calibration(bursts={"throttled": known}))
    return throttled.judge(tick(), list(rows), told)


def test_who_refuses_is_told_once_for_all_that_call_it() -> None:
    (found,) = judged(row("charge", 3), row("pay", 3, workflow="refund"))
    assert (found.workflow, found.step, found.key) == ("", "", "bank")
    assert found.title == "bank throttles several workflows"
    assert found.evidence["errors"] == 36


def test_the_step_is_named_that_has_more_than_nine_in_ten() -> None:
    (found,) = judged(row("charge", 4))
    assert (found.workflow, found.step) == ("order", "charge")
    assert found.title == "bank throttles charge of order"
    (found,) = judged(row("charge", 4), row("refund", 3))
    assert (found.workflow, found.step) == ("order", "")


def test_downstreams_stay_apart_and_without_one_it_is_the_engine() -> None:
    found = judged(row("charge", 3), row("mail", 3, downstream=""))
    assert [one.title for one in found] == [
        "bank throttles charge of order",
        "The engine custom throttles mail of order",
    ]
    assert len({one.fingerprint for one in found}) == 2


def test_what_was_never_seen_is_taken_to_be_never_throttled() -> None:
    assert judged(row("charge", 4), habits={})


def test_what_is_always_throttled_so_is_left_alone() -> None:
    assert judged(row("charge", 2), habits={PLACE: OFTEN}) == []


def test_policy_leaves_steps_out() -> None:
    assert judged(row("charge", 4), policy={"policy": [{"step": "charge", "enabled": False}]}) == []


def test_the_statement_takes_throttling_alone(store: Store, now: datetime) -> None:
    def attempt(name: str, event: str, **said: Any) -> list[Any]:
        at = now - timedelta(seconds=12)
        told = {"workflow": "order", "execution_id": name, "step": "charge", "downstream": "bank"}
        began = {**told, "event": "step.started", "time": at - timedelta(seconds=1)}
        return [
            event_from_dict(began, at),
            event_from_dict({**told, "event": event, "time": at, **said}, at),
        ]

    events = [
        *attempt("a", "step.failed", error_type="ThrottlingException"),
        *attempt("b", "step.retrying", error_type="429"),
        *attempt("c", "step.failed", error_type="Http500"),
        *attempt("d", "step.completed"),
    ]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    asked = throttled.DETECTOR.parameters(tick(now), context())
    (found,) = store.select(throttled.DETECTOR.sql, asked)
    assert (found["downstream"], found["attempts"], found["errors"]) == ("bank", [4], [2])
    assert sorted(found["details"][0][1]) == ["a", "b"]
