"""What stands still is one trouble, whichever detectors say so one after the other."""

from dataclasses import replace
from datetime import timedelta

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
    names = ("o-1", "o-2")
    hangs = finding("hangs", executions=names, count=2)
    dead = replace(
        finding("dead", detector="dead_queue", step="", executions=(*names, "o-3"), count=3),
        evidence={EVIDENCE: Cause(dimension="queue", value="payments").as_evidence()},
    )
    incident = opened(hangs)
    over = replace(hangs, status=Status.RESOLVED)
    (taken,) = regroup([incident], [over, dead], (), LATER)
    assert (taken.kind, taken.incident.id) == (Kind.CHANGED, incident.id)
    # Where both fired for a while, the first is merged into the other when it ends.
    both = regroup([incident], [hangs, dead], (), LATER)
    others = [one.incident for one in both]
    merged = {one.incident.id: one for one in regroup(others, [over, dead], (), LATER)}
    assert merged[incident.id].reason is Reason.MERGED


def test_another_step_or_execution_is_another_trouble() -> None:
    incident = opened(finding("f1"))
    other_step = finding("f2", step="ship")
    other_execution = finding("f3", detector="overdue_execution", step="", executions=("o-2",))
    failing = finding("f4", detector="error_burst", step="")
    present = [finding("f1"), other_step, other_execution, failing]
    kinds = [one.kind for one in regroup([incident], present, (), LATER)]
    assert sorted(kinds) == [Kind.KEPT, Kind.OPENED, Kind.OPENED, Kind.OPENED]
