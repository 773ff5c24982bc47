"""Incidents over time: which one goes on when findings turn out to have one cause, or two."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.grouping import Kind, Reason, Transition, regroup
from stallwatch.model.causes import EVIDENCE, Cause
from stallwatch.model.findings import Finding, Incident, Severity, Status, executions_of
from tests.alerts.helpers import NOW, finding

LATER = NOW + timedelta(minutes=1)
STRIPE = Cause(dimension="downstream", value="stripe", inside=0.9, score=5.0)
QUEUE = Cause(dimension="queue", value="payments", namespace="shop", inside=0.9, score=5.0)


def because(
    cause: Cause | None, name: str, *, count: int = 1, status: Status = Status.FIRING
) -> Finding:
    """A finding of a step of its own, with this cause."""
    one = finding(name, step=f"step-{name}", count=count, executions=(), status=status)
    return one if cause is None else replace(one, evidence={EVIDENCE: cause.as_evidence()})


def opened(*findings: Finding) -> list[Incident]:
    return [one.incident for one in regroup([], findings, (), NOW)]


def by_kind(transitions: Sequence[Transition], kind: Kind) -> list[Transition]:
    return [one for one in transitions if one.kind is kind]


def names(incident: Incident) -> list[str]:
    return sorted(one.fingerprint for one in incident.findings)


def test_findings_of_one_cause_are_one_incident_whatever_their_step() -> None:
    (incident,) = opened(because(STRIPE, "a", count=40), because(STRIPE, "b", count=2))
    assert incident.cause == ("Downstream stripe: step-a of order is stalled (and 1 more finding)")
    assert incident.executions == 42
    assert len(opened(because(STRIPE, "a"), because(QUEUE, "b"), because(None, "c"))) == 3


def test_the_smaller_is_merged_into_the_larger_which_keeps_its_id() -> None:
    small, large = opened(because(None, "a", count=3), because(None, "b", count=400))
    if "a" not in names(small):
        small, large = large, small
    now_known = [because(STRIPE, "a", count=3), because(STRIPE, "b", count=400)]
    transitions = regroup([small, large], now_known, (), LATER)
    (closed,) = by_kind(transitions, Kind.CLOSED)
    (grown,) = by_kind(transitions, Kind.CHANGED)
    assert (closed.incident.id, closed.reason) == (small.id, Reason.MERGED)
    assert closed.incident.merged_into == large.id
    assert (grown.incident.id, grown.reason) == (large.id, Reason.ABSORBED)
    assert grown.absorbed == (small.id,)
    assert names(grown.incident) == ["a", "b"]


def test_what_does_not_fire_goes_with_what_is_merged() -> None:
    first, second = opened(because(QUEUE, "a", count=3), because(STRIPE, "b", count=9))
    if "a" not in names(first):
        first, second = second, first
    first = replace(first, findings=(*first.findings, because(None, "u", status=Status.UNKNOWN)))
    known = [
        because(STRIPE, "a", count=3),
        because(STRIPE, "b", count=9),
        because(None, "u", status=Status.UNKNOWN),
    ]
    transitions = regroup([first, second], known, (), LATER)
    (grown,) = by_kind(transitions, Kind.CHANGED)
    assert names(grown.incident) == ["a", "b", "u"]


def test_when_two_causes_become_apparent_the_larger_keeps_the_id() -> None:
    (incident,) = opened(*(because(STRIPE, name, count=10) for name in "abc"))
    known = [because(QUEUE, "a", count=10), because(QUEUE, "b", count=10), because(STRIPE, "c")]
    transitions = regroup([incident], known, (), LATER)
    (kept,) = by_kind(transitions, Kind.CHANGED)
    (new,) = by_kind(transitions, Kind.OPENED)
    assert (kept.incident.id, names(kept.incident)) == (incident.id, ["a", "b"])
    assert (new.reason, new.incident.split_from) == (Reason.SPLIT_OFF, incident.id)
    assert names(new.incident) == ["c"]


def test_the_id_stays_though_all_of_its_findings_are_others_by_now() -> None:
    (incident,) = opened(because(STRIPE, "a"))
    (kept,) = regroup(
        [incident], [because(STRIPE, "a", status=Status.RESOLVED), because(STRIPE, "b")], (), LATER
    )
    assert (kept.incident.id, kept.kind) == (incident.id, Kind.CHANGED)


def test_a_finding_moves_to_the_incident_that_explains_it() -> None:
    (queue,) = opened(because(QUEUE, "a", count=50), because(QUEUE, "b"))
    (stripe,) = opened(because(STRIPE, "c", count=60))
    known = [because(QUEUE, "a", count=50), because(STRIPE, "b"), because(STRIPE, "c", count=60)]
    transitions = regroup([queue, stripe], known, (), LATER)
    assert {one.incident.id: names(one.incident) for one in transitions} == {
        queue.id: ["a"],
        stripe.id: ["b", "c"],
    }
    assert not by_kind(transitions, Kind.OPENED)
    assert not by_kind(transitions, Kind.CLOSED)


def test_a_finding_whose_cause_nobody_knows_any_more_stays() -> None:
    (incident,) = opened(because(STRIPE, "a"), because(STRIPE, "b"))
    (kept,) = regroup([incident], [because(None, "a"), because(None, "b")], (), LATER)
    assert (kept.incident.id, names(kept.incident)) == (incident.id, ["a", "b"])


def test_what_is_acknowledged_moves_nowhere() -> None:
    (incident,) = opened(because(QUEUE, "a"), because(QUEUE, "b"))
    known = [because(STRIPE, "a"), because(QUEUE, "b")]
    (kept,) = regroup([incident], known, {"a"}, LATER)
    assert names(kept.incident) == ["a", "b"]


def test_executions_are_counted_once_as_far_as_can_be_told() -> None:
    def of(name: str, step: str, count: int, workflow: str = "order", *ids: str) -> Finding:
        return finding(name, workflow=workflow, step=step, count=count, executions=ids)

    # All of them named: o-2 is in both.
    assert (
        executions_of([of("a", "x", 2, "order", "o-1", "o-2"), of("b", "y", 1, "order", "o-2")])
        == 2
    )
    # Not named: a step and its workflow as a whole are the same, two steps are not, two dead queues are not.
    assert executions_of([of("a", "x", 500), of("b", "", 400)]) == 500
    assert executions_of([of("a", "x", 500), of("b", "y", 400), of("c", "x", 300)]) == 900
    assert executions_of([of("a", "", 500, ""), of("b", "", 400, "")]) == 900
    (incident,) = opened(because(STRIPE, "a", count=500), because(STRIPE, "b", count=40))
    over = because(STRIPE, "a", count=500, status=Status.RESOLVED)
    (left,) = regroup([incident], [over, because(STRIPE, "b", count=40)], (), LATER)
    assert left.incident.executions == 40
    (closed,) = regroup([incident], [], (), LATER)
    assert closed.incident.executions == 540


CAUSES = st.sampled_from([None, STRIPE, QUEUE])
LOOK = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(CAUSES, st.sampled_from(Status), st.integers(1, 500)),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LOOK, min_size=1, max_size=6))
def test_every_firing_finding_is_in_one_open_incident_and_nothing_flaps(
    looks: list[dict[str, tuple[Cause | None, Status, int]]],
) -> None:
    held: list[Incident] = []
    at = NOW
    for look in looks:
        at += timedelta(minutes=1)
        known = [
            because(cause, name, count=count, status=status)
            for name, (cause, status, count) in look.items()
        ]
        transitions = regroup(held, known, (), at)
        assert len({one.incident.id for one in transitions}) == len(transitions)
        assert {one.id for one in held} <= {one.incident.id for one in transitions}
        held = [one.incident for one in transitions if one.incident.closed_at is None]
        open_ids = {one.id for one in held}
        for closed in by_kind(transitions, Kind.CLOSED):
            assert not closed.incident.merged_into or closed.incident.merged_into in open_ids
        lasting = [
            one.fingerprint
            for incident in held
            for one in incident.findings
            if one.status is not Status.RESOLVED
        ]
        assert len(lasting) == len(set(lasting))
        assert {one.fingerprint for one in known if one.status is Status.FIRING} <= set(lasting)
        # The same look again changes nothing.
        again = regroup(held, known, (), at)
        assert {one.kind for one in again} <= {Kind.KEPT}


def test_severity_grows_with_the_incident_and_does_not_come_and_go() -> None:
    (incident,) = opened(because(STRIPE, "a", count=9))
    assert incident.severity is Severity.WARNING
    unusual = replace(STRIPE, score=50.0)
    (grown,) = regroup([incident], [because(unusual, "a", count=10)], (), LATER)
    assert (grown.reason, grown.incident.severity) == (Reason.SEVERITY_CHANGED, Severity.CRITICAL)
    (eased,) = regroup([grown.incident], [because(unusual, "a", count=6)], (), LATER)
    assert eased.incident.severity is Severity.CRITICAL
    (over,) = regroup([eased.incident], [because(unusual, "a", count=4)], (), LATER)
    assert over.incident.severity is Severity.WARNING


def test_severity_grows_with_time_when_many_hang() -> None:
    one = because(None, "a", count=100)
    (incident,) = opened(one)
    assert incident.severity is Severity.WARNING
    (grown,) = regroup([incident], [one], (), NOW + timedelta(minutes=10))
    assert grown.incident.severity is Severity.CRITICAL
    (alone,) = opened(because(None, "b", count=5))
    (kept,) = regroup([alone], [because(None, "b", count=5)], (), NOW + timedelta(days=1))
    assert kept.incident.severity is Severity.WARNING


def test_what_is_informative_stays_so_however_many_there_are() -> None:
    quiet = replace(because(replace(STRIPE, score=900.0), "a", count=10**6), severity=Severity.INFO)
    (incident,) = opened(quiet)
    assert incident.severity is Severity.INFO
