from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.errors import InputError
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.simulator.expectations import (
    Expectation,
    check_expectation,
    matches,
    parse_expectation,
)
from stallwatch.simulator.spec import plain_spec

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
STALL = Finding(
    detector="stalled_step",
    severity=Severity.CRITICAL,
    status=Status.FIRING,
    namespace="default",
    engine="custom",
    workflow="order",
    step="charge",
    executions=("o-1", "o-2"),
    count=2,
    first_seen=START + timedelta(minutes=1),
    last_seen=START + timedelta(minutes=2),
    fingerprint="00ff",
    title="charge hangs in 2 executions",
    explanation="…",
    evidence={"threshold_s": 30.0, "queue": {"name": "payments", "depth": 4}},
    next_steps=("look at the worker",),
)
STORM = replace(STALL, detector="retry_storm", step="ship", executions=(), title="ship is retried")


def expectation(**clauses: Any) -> Expectation:
    return parse_expectation(plain_spec({"at": "4m", **clauses}), START)


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        ({"detector": "stalled_step"}, True),
        ({"detector": "stalled_execution"}, False),
        ({"severity": "critical", "status": "firing", "count": 2}, True),
        ({"severity": "warning"}, False),
        ({"count": 3}, False),
        ({"step": ""}, False),
        ({"executions": ["o-2"]}, True),
        ({"executions": ["o-2", "o-3"]}, False),
        ({"executions": []}, True),
        ({"evidence": {"threshold_s": 30}}, True),
        ({"evidence": {"threshold_s": True}}, False),
        ({"evidence": {"queue": {"name": "payments"}}}, True),
        ({"evidence": {"queue": {"name": "mail"}}}, False),
        ({"evidence": {"worker": "a"}}, False),
        ({"next_steps": ["look at the worker"]}, True),
        ({"first_seen": "1m", "last_seen": "2026-01-05T12:02:00Z"}, True),
        ({"first_seen": "2m"}, False),
    ],
)
def test_the_fields_given_must_match(expected: dict[str, Any], fits: bool) -> None:
    parsed = expectation(contains=[expected]).contains
    assert parsed is not None
    assert matches(parsed[0], STALL) is fits


def test_nothing_expected_and_nothing_firing_is_well() -> None:
    assert check_expectation(expectation(findings=[]), []) == []


def test_a_finding_left_over_is_told() -> None:
    problems = check_expectation(expectation(findings=[{"workflow": "order"}]), [STALL, STORM])
    assert len(problems) == 1
    assert problems[0].startswith("at 4m (line 0): ")
    assert problems[0].endswith("is firing and was not expected")


def test_an_expectation_left_over_is_told_with_what_fires_instead() -> None:
    expected = [{"detector": "stalled_step", "executions": ["o-9"]}]
    problems = check_expectation(expectation(findings=expected), [STORM])
    assert problems == [
        "at 4m (line 0): {detector: stalled_step, executions: [o-9]} should be firing and is not; "
        "firing: retry_storm · workflow order · step ship (ship is retried)",
        "at 4m (line 0): retry_storm · workflow order · step ship (ship is retried) "
        "is firing and was not expected",
    ]


def test_one_finding_cannot_serve_two_expectations() -> None:
    expected = [{"workflow": "order"}, {"workflow": "order"}]
    assert len(check_expectation(expectation(findings=expected), [STALL])) == 1


def test_a_vague_expectation_leaves_the_finding_that_another_needs() -> None:
    expected = [{"workflow": "order"}, {"detector": "stalled_step"}]
    for firing in permutations([STALL, STORM]):
        for order in permutations(expected):
            assert check_expectation(expectation(findings=list(order)), firing) == []


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_pairing_finds_a_full_match_whenever_there_is_one(
    order: list[int], vague: set[int]
) -> None:
    firing = [replace(STALL, executions=(f"o-{number}",)) for number in order]
    expected: list[dict[str, Any]] = [
        {"workflow": "order"} if number in vague else {"executions": [f"o-{number}"]}
        for number in range(6)
    ]
    assert check_expectation(expectation(findings=expected), firing) == []
    assert check_expectation(expectation(findings=expected), firing[1:]) != []


def test_contains_lets_others_be() -> None:
    assert check_expectation(expectation(contains=[{"step": "ship"}]), [STALL, STORM]) == []
    problems = check_expectation(expectation(contains=[{"step": "ship"}]), [])
    assert problems == [
        "at 4m (line 0): {step: ship} should be firing and is not; nothing is firing"
    ]


def test_absent_must_not_be_matched_by_any() -> None:
    assert check_expectation(expectation(absent=[{"detector": "event_gap"}]), [STALL]) == []
    problems = check_expectation(expectation(absent=[{"workflow": "order"}]), [STALL, STORM])
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"at": "1m"}, "needs one of findings, contains, absent"),
        ({"findings": []}, "at is required"),
        ({"at": "-1m", "findings": []}, "at: a duration"),
        ({"at": "1m", "findings": {}}, "findings: must be a list"),
        ({"at": "1m", "found": []}, "found: unknown key"),
        ({"at": "1m", "findings": [{"detectr": "x"}]}, r"findings\[0\].detectr: unknown key"),
        ({"at": "1m", "absent": [{}]}, r"absent\[0\]: names no field"),
        ({"at": "1m", "contains": [{"detector": "x"}]}, "'x' is not a known detector"),
        ({"at": "1m", "contains": [{"severity": "bad"}]}, "'bad' is not a known severity"),
        ({"at": "1m", "contains": [{"executions": "o-1"}]}, "executions: must be a list"),
        ({"at": "1m", "contains": [{"count": "2"}]}, "count: must be a whole number"),
        ({"at": "1m", "contains": [{"first_seen": "soon"}]}, "must be an offset or a time"),
    ],
)
def test_a_wrong_expectation_is_refused(line: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_expectation(plain_spec(line), START)
