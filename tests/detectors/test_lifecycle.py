import dataclasses
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.lifecycle import advance
from stallwatch.model.findings import EXECUTIONS_MAX, Finding, Observation, Severity, Status
from tests.detectors.support import NOW

SAYS: Final = ("nothing", "suspected", "firing", "hidden", "not asked")
STATUS_OF: Final = {
    "suspected": Status.PENDING,
    "firing": Status.FIRING,
    "hidden": Status.UNKNOWN,
}


def observation(says: str = "firing", executions: tuple[str, ...] = ("o-1",)) -> Observation:
    return Observation(
        detector="stalled_step",
        severity=Severity.WARNING,
        workflow="order",
        step="charge",
        executions=executions,
        count=len(executions),
        since=NOW,
        title="charge hangs",
        explanation="It hangs.",
        suspected=says == "suspected",
        hidden_by="shop" if says == "hidden" else "",
    )


@given(st.lists(st.sampled_from(SAYS), max_size=30))
def test_whatever_is_said_the_life_of_a_finding_makes_sense(course: list[str]) -> None:
    findings: dict[str, Finding] = {}
    transitions: list[Finding] = []
    held = False
    for second, says in enumerate(course):
        until = NOW + timedelta(seconds=second)
        asked = says != "not asked"
        said = [observation(says)] if says in STATUS_OF else []
        before = next(iter(findings.values()), None)
        changes = advance(findings, said, {"stalled_step"} if asked else set(), until)
        for finding in (*changes.transitions, *changes.updates):
            findings[finding.fingerprint] = finding
        transitions += changes.transitions
        now = next(iter(findings.values()), None)
        if not asked:
            assert now is before
            continue
        if says in STATUS_OF:
            assert now is not None
            assert now.status is STATUS_OF[says]
            assert now.last_seen == until
            # A new episode begins when nothing was held just before, and only then.
            if held and before is not None:
                assert now.first_seen == before.first_seen
            else:
                assert now.first_seen == until
        elif now is not None:
            assert now.status is Status.RESOLVED
        held = says in STATUS_OF
    assert [one.number for one in transitions] == list(range(1, len(transitions) + 1))
    for earlier, later in pairwise(transitions):
        assert earlier.status is not later.status
    # Judging the same again at the same time changes nothing.
    if course and course[-1] in STATUS_OF:
        again = advance(findings, [observation(course[-1])], {"stalled_step"}, until)
        assert again.transitions == ()
        assert again.updates == tuple(findings.values())
        assert again.news == ()


def test_a_finding_names_a_hundred_executions_and_counts_all() -> None:
    many = tuple(f"o-{number}" for number in range(EXECUTIONS_MAX + 50))
    (found,) = advance({}, [observation(executions=many)], {"stalled_step"}, NOW).transitions
    assert (len(found.executions), found.count) == (EXECUTIONS_MAX, EXECUTIONS_MAX + 50)


def test_more_executions_are_news_but_no_transition() -> None:
    first = advance({}, [observation()], {"stalled_step"}, NOW).transitions[0]
    known = {first.fingerprint: first}
    wider = observation(executions=("o-1", "o-2"))
    changes = advance(known, [wider], {"stalled_step"}, NOW + timedelta(seconds=5))
    assert changes.transitions == ()
    assert [one.number for one in changes.news] == [1]


def test_a_step_that_becomes_known_is_news_of_the_same_finding() -> None:
    """Of a failure that two roads tell, the step may come after the end; nobody is to be told twice."""
    early = dataclasses.replace(observation(), step="", step_may_change=True)
    first = advance({}, [early], {"stalled_step"}, NOW).transitions[0]
    later = dataclasses.replace(early, step="charge")
    changes = advance({first.fingerprint: first}, [later], {"stalled_step"}, NOW)
    assert changes.transitions == ()
    assert [one.step for one in changes.news] == ["charge"]


def test_one_detector_says_a_thing_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        advance({}, [observation(), observation()], {"stalled_step"}, NOW)
