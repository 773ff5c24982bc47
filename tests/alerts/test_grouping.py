from dataclasses import replace
from datetime import timedelta

from alerts import incidents
from alerts.grouping import Kind, Reason, regroup
from stallwatch.model.findings import Finding, Incident, Severity, Status
from stallwatch.store.state import State
from tests.alerts.helpers import NOW, finding

LATER = NOW + timedelta(minutes=1)


def opened(*findings: Finding) -> Incident:
    (transition,) = regroup([], findings, (), NOW)
    return transition.incident


def test_only_what_fires_opens_an_incident() -> None:
    findings = [
        finding("f1", status=Status.PENDING, step="a"),
        finding("f2", status=Status.UNKNOWN, step="b"),
        finding("f3", status=Status.RESOLVED, step="c"),
        finding("f4", step="d"),
    ]
    (transition,) = regroup([], findings, (), NOW)
    assert (transition.kind, transition.reason) == (Kind.OPENED, Reason.FIRST_FIRING)
    assert [one.fingerprint for one in transition.incident.findings] == ["f4"]
    assert transition.incident.cause == "d of order is stalled"


def test_findings_of_one_group_share_an_incident_and_others_do_not() -> None:
    same = [finding("f1"), finding("f2", severity=Severity.CRITICAL)]
    others = [
        finding("f3", step="ship"),
        finding("f4", workflow="refund"),
        finding("f5", detector="retry_storm"),
        replace(finding("f6"), engine="dbos"),
        replace(finding("f7"), namespace="bank"),
    ]
    transitions = regroup([], [*same, *others], (), NOW)
    assert len(transitions) == 6
    assert len({transition.incident.id for transition in transitions}) == 6
    (shared,) = [one.incident for one in transitions if len(one.incident.findings) == 2]
    assert shared.severity is Severity.CRITICAL
    assert shared.cause == "charge of order is stalled (and 1 more like it)"


def test_an_incident_lives_while_any_finding_is_not_resolved() -> None:
    incident = opened(finding("f1"))
    (joined,) = regroup(
        [incident], [finding("f1", status=Status.RESOLVED), finding("f2")], (), LATER
    )
    assert (joined.kind, joined.reason) == (Kind.CHANGED, Reason.FINDING_JOINED)
    assert joined.incident.id == incident.id
    resolved = [finding(name, status=Status.RESOLVED) for name in ("f1", "f2")]
    (closed,) = regroup([joined.incident], resolved, (), LATER)
    assert (closed.kind, closed.reason) == (Kind.CLOSED, Reason.ALL_RESOLVED)
    assert closed.incident.closed_at == LATER
    assert closed.incident.id == incident.id


def test_unknown_keeps_it_open_and_nothing_new_is_unchanged() -> None:
    incident = opened(finding("f1"))
    (kept,) = regroup([incident], [finding("f1")], (), LATER)
    assert (kept.kind, kept.reason) == (Kind.KEPT, Reason.UNCHANGED)
    (unknown,) = regroup([incident], [finding("f1", status=Status.UNKNOWN)], (), LATER)
    assert (unknown.kind, unknown.reason) == (Kind.CHANGED, Reason.REFRESHED)


def test_a_deleted_finding_closes_its_incident() -> None:
    (closed,) = regroup([opened(finding("f1"))], [], (), LATER)
    assert (closed.kind, closed.reason) == (Kind.CLOSED, Reason.FINDINGS_GONE)


def test_severity_follows_what_is_not_over() -> None:
    incident = opened(finding("f1"))
    (worse,) = regroup([incident], [finding("f1", severity=Severity.CRITICAL)], (), LATER)
    assert worse.reason is Reason.SEVERITY_CHANGED
    assert worse.incident.severity is Severity.CRITICAL


def test_the_same_trouble_later_is_a_new_incident_even_within_one_instant() -> None:
    first = opened(finding("f1", number=1))
    again = opened(finding("f1", number=3))
    assert first.id != again.id
    assert first.id == opened(finding("f1", number=1)).id


def test_what_is_acknowledged_opens_nothing() -> None:
    assert regroup([], [finding("f1")], {"f1"}, NOW) == []


def test_incidents_survive_in_the_state() -> None:
    state = State(None)
    transitions = regroup([], [finding("f1"), finding("f2", step="ship")], (), NOW)
    with state.transaction() as db:
        incidents.save(db, transitions)
    with state.transaction() as db:
        loaded = incidents.load_open(db)
    assert sorted(loaded, key=lambda one: one.id) == sorted(
        (transition.incident for transition in transitions), key=lambda one: one.id
    )
    closed = regroup(loaded, [], (), LATER)
    with state.transaction() as db:
        incidents.save(db, closed)
        assert incidents.load_open(db) == []
        assert len(incidents.load_recent(db)) == 2
    state.close()


def test_an_incident_of_an_earlier_stallwatch_goes_on() -> None:
    """Its row has no key yet."""
    state = State(None)
    with state.transaction() as db:
        incidents.save(db, regroup([], [finding("f1")], (), NOW))
        db.execute("UPDATE incidents SET key = '[]'")
        (loaded,) = incidents.load_open(db)
    (kept,) = regroup([loaded], [finding("f1"), finding("f2")], (), LATER)
    assert (kept.incident.id, kept.reason) == (loaded.id, Reason.FINDING_JOINED)
    state.close()
