"""What stands still is one trouble, whichever detectors say so one after the other."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

from alerts.grouping import Kind, Reason, regroup
from stallwatch.model.causes import EVIDENCE, Cause
from stallwatch.model.findings import Finding, Incident, Status
from tests.alerts.helpers import NOW, finding

LATER = NOW + timedelta(minutes=1)


def opened(*findings: Finding) -> Incident:
    (transition,) = regroup([], findings, (), NOW)
    return transition.incident


def test_what_another_detector_says_of_the_same_executions_is_the_same_trouble() -> None:
    late = finding("late", detector="overdue_execution", step="")
    still = finding("still", detector="stalled_execution", step="")
    (joined,) = regroup([opened(late)], [late, still], (), LATER)
    assert joined.reason is Reason.FINDING_JOINED
    # That one is explained now, and its end is not the end of the trouble.
    over = replace(late, status=Status.RESOLVED)
    (goes_on,) = regroup([joined.incident], [over, still], (), LATER)
    assert goes_on.kind is Kind.CHANGED
    gone = replace(still, status=Status.RESOLVED)
    (closed,) = regroup([goes_on.incident], [over, gone], (), LATER)
    assert (closed.reason, closed.incident.id) == (Reason.ALL_RESOLVED, joined.incident.id)


def test_a_cause_goes_on_as_the_incident_of_what_it_explains() -> None:
    hangs = finding("hangs", executions=("o-1", "o-2"), count=2)
    dead = replace(
        finding("dead", detector="dead_queue", step="", executions=("o-1", "o-2", "o-3"), count=3),
        evidence={EVIDENCE: Cause(dimension="queue", value="payments").as_evidence()},
    )
    incident = opened(hangs)
    over = replace(hangs, status=Status.RESOLVED)
    (taken,) = regroup([incident], [over, dead], (), LATER)
    assert (taken.kind, taken.incident.id) == (Kind.CHANGED, incident.id)
    # Nor is it another one while both fire, whichever of them was first.
    for first in ([hangs], [hangs, dead]):
        (alone,) = regroup([], first, (), NOW)
        (both,) = regroup([alone.incident], [hangs, dead], (), LATER)
        assert names(both.incident) == ["dead", "hangs"]
        assert both.incident.key[:2] == ("queue", "payments")


def test_what_is_told_by_another_incident_in_the_end_is_merged_into_it() -> None:
    late = finding("late", detector="overdue_execution", step="")
    hangs = finding("hangs", executions=("o-2",))
    incidents = [one.incident for one in regroup([], [late, hangs], (), NOW)]
    assert len(incidents) == 2
    over = replace(late, status=Status.RESOLVED)
    more = replace(hangs, executions=("o-1", "o-2"), count=2)
    changes = {one.reason: one.incident for one in regroup(incidents, [over, more], (), LATER)}
    assert changes[Reason.MERGED].merged_into == changes[Reason.ABSORBED].id


def names(incident: Incident) -> list[str]:
    return sorted(one.fingerprint for one in incident.findings)


def test_what_belongs_together_by_way_of_a_third_is_one_trouble_at_once() -> None:
    def still(name: str, detector: str, *executions: str) -> Finding:
        return finding(name, detector=detector, executions=executions, count=len(executions))

    findings = [
        still("a", "dead_queue", "o-1", "o-2"),
        still("b", "overdue_execution", "o-3", "o-4"),
        still("c", "stalled_step", "o-1", "o-2", "o-3", "o-4"),
    ]
    for order in permutations(findings):
        (one,) = regroup([], order, (), NOW)
        assert names(one.incident) == ["a", "b", "c"]
    tied = [still("d", "dead_queue", "o-1"), still("e", "overdue_execution", "o-2")]
    incidents = [one.incident for one in regroup([], tied, (), NOW)]
    over = [replace(one, status=Status.RESOLVED) for one in tied]
    between = still("f", "stalled_step", "o-1", "o-2")
    joined = {
        next(one.incident.id for one in regroup(held, [*over, between], (), LATER) if one.absorbed)
        for held in permutations(incidents)
    }
    assert len(joined) == 1


def failing(name: str, detector: str, *executions: str, step: str = "charge") -> Finding:
    return finding(name, detector=detector, step=step, executions=executions, count=len(executions))


def test_what_fails_in_the_same_executions_is_one_trouble() -> None:
    failed = failing("failed", "failed_execution", "o-1", "o-2", step="")
    burst = failing("burst", "error_burst", "o-1", "o-2", "o-3")
    refused = replace(
        failing("refused", "throttled", "o-2", "o-3", step=""),
        evidence={EVIDENCE: Cause(dimension="downstream", value="bank").as_evidence()},
    )
    elsewhere = failing("elsewhere", "error_burst", "o-8", "o-9", step="ship")
    together = ["burst", "failed", "refused"]
    at_once = regroup([], [failed, burst, refused, elsewhere], (), NOW)
    assert sorted(names(one.incident) for one in at_once) == [together, ["elsewhere"]]
    incidents = [opened(failed)]
    for known in ([failed, burst], [failed, burst, refused], [failed, burst, refused, elsewhere]):
        incidents = [one.incident for one in regroup(incidents, known, (), LATER)]
    told, other = incidents
    assert names(told) == together
    assert told.id == opened(failed).id
    assert told.key[:2] == ("downstream", "bank")
    assert names(other) == ["elsewhere"]


def test_two_causes_stay_two_though_the_same_executions_fail() -> None:
    one, other = (
        replace(
            failing(detector, detector, "o-1", "o-2"),
            evidence={EVIDENCE: Cause(dimension="downstream", value=detector).as_evidence()},
        )
        for detector in ("error_burst", "timeout_burst")
    )
    assert len(regroup([], [one, other], (), NOW)) == 2


def test_what_hangs_is_another_trouble_than_what_fails() -> None:
    hangs = finding("hangs", executions=("o-1",))
    assert len(regroup([], [hangs, failing("failed", "failed_execution", "o-1")], (), NOW)) == 2


def test_another_step_or_execution_is_another_trouble() -> None:
    incident = opened(finding("f1"))
    other_step = finding("f2", step="ship")
    other_execution = finding("f3", detector="overdue_execution", step="", executions=("o-2",))
    burst = finding("f4", detector="error_burst", step="")
    present = [finding("f1"), other_step, other_execution, burst]
    kinds = [one.kind for one in regroup([incident], present, (), LATER)]
    assert sorted(kinds) == [Kind.KEPT, Kind.OPENED, Kind.OPENED, Kind.OPENED]
