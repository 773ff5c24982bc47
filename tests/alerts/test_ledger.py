from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alerts import ledger
from alerts.ledger import Address, Reason, Told, decide, digest_of
from stallwatch.config.alerts import RouteConfig
from stallwatch.model.findings import Incident, Severity, Status
from stallwatch.store.state import State
from tests.alerts.helpers import NOW, finding, incident, message

PACE = RouteConfig(receiver="oncall")
ADDRESS = Address("oncall", "console/0")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def told(one: Incident, state: str = "firing") -> Told:
    return Told(digest=digest_of(one), at=NOW, state=state, number=1, dedup_key=one.id)


BASE = incident(finding(count=3))


def seen(seconds: float) -> Incident:
    """BASE, when it was seen again."""
    return incident(replace(finding(count=3), last_seen=after(seconds)))


@pytest.mark.parametrize(
    ("one", "before", "seconds", "reason"),
    [
        (BASE, None, 0, Reason.OPENED),
        (BASE, told(BASE), 299, Reason.UNCHANGED),
        (BASE, told(BASE), 4 * 3600 - 1, Reason.UNCHANGED),
        (seen(4 * 3600), told(BASE), 4 * 3600, Reason.REPEAT_INTERVAL),
        (seen(4 * 3600), told(BASE), 4 * 3600 + 600, Reason.REPEAT_INTERVAL),
        # Nobody has judged since: it may be over.
        (seen(4 * 3600), told(BASE), 4 * 3600 + 601, Reason.STATE_UNKNOWN),
        (BASE, told(BASE, "resolved"), 1, Reason.REOPENED),
        (incident(finding(count=5)), told(BASE), 4000, Reason.UNCHANGED),
        (incident(finding(count=6)), told(BASE), 299, Reason.GROUP_INTERVAL),
        (incident(finding(count=6)), told(BASE), 300, Reason.COUNT_DOUBLED),
        (incident(finding(count=3), finding("f2")), told(BASE), 299, Reason.GROUP_INTERVAL),
        (incident(finding(count=3), finding("f2")), told(BASE), 300, Reason.FINDING_JOINED),
        (incident(finding(severity=Severity.CRITICAL)), told(BASE), 1, Reason.SEVERITY_ROSE),
        (incident(finding(severity=Severity.INFO)), told(BASE), 4000, Reason.UNCHANGED),
        (incident(finding(status=Status.UNKNOWN)), told(BASE), 10**6, Reason.STATE_UNKNOWN),
        (incident(finding(status=Status.UNKNOWN)), None, 0, Reason.STATE_UNKNOWN),
        (incident(closed_at=NOW), None, 0, Reason.NEVER_TOLD),
        (incident(closed_at=NOW), told(BASE), 0, Reason.RESOLVED),
        (incident(closed_at=NOW), told(BASE, "resolved"), 0, Reason.ALREADY_RESOLVED),
    ],
)
def test_reasons(one: Incident, before: Told | None, seconds: float, reason: Reason) -> None:
    assert decide(one, before, PACE, (), after(seconds)) is reason


def test_group_wait_holds_a_new_incident_back() -> None:
    pace = PACE.model_copy(update={"group_wait": 30.0})
    assert decide(BASE, None, pace, (), after(29)) is Reason.GROUP_WAIT
    assert decide(BASE, None, pace, (), after(30)) is Reason.OPENED


def test_what_is_acknowledged_is_not_repeated_but_its_end_is_told() -> None:
    assert decide(BASE, told(BASE), PACE, {"f1"}, after(10**6)) is Reason.ACKNOWLEDGED
    over = replace(BASE, closed_at=NOW)
    assert decide(over, told(BASE), PACE, {"f1"}, NOW) is Reason.RESOLVED


def test_exactly_the_reasons_with_words_tell() -> None:
    assert {reason for reason in Reason if reason.tells} == set(ledger.WORDS)


def commit(state: State, number: int, seconds: float = 0) -> None:
    with state.transaction() as db:
        one = message(number=number)
        ledger.commit(
            db, one.dedup_key, ADDRESS, one, digest_of(BASE), Reason.OPENED, after(seconds)
        )


def due(state: State, seconds: float) -> list[ledger.Delivery]:
    with state.transaction() as db:
        return ledger.due(db, after(seconds)).get(ADDRESS, [])


def test_what_was_told_is_not_due_again() -> None:
    state = State(None)
    commit(state, 1)
    (delivery,) = due(state, 0)
    assert delivery.message == message(number=1)
    with state.transaction() as db:
        ledger.mark_told(db, delivery, NOW)
        (row,) = db.execute("SELECT told_number, told_state, told_digest FROM deliveries")
    assert due(state, 10**6) == []
    assert (row["told_number"], row["told_state"]) == (1, "firing")
    assert row["told_digest"] is not None
    state.close()


def test_a_newer_message_replaces_one_that_waits_and_keeps_its_wait() -> None:
    state = State(None)
    commit(state, 1)
    (old,) = due(state, 0)
    with state.transaction() as db:
        ledger.mark_failed(db, old, "away", after(60))
    commit(state, 2, seconds=10)
    assert due(state, 59) == []
    (new,) = due(state, 60)
    assert (new.message.number, new.attempts) == (2, 0)
    with state.transaction() as db:
        # The old one was still on its way and arrived after all.
        ledger.mark_told(db, old, after(61))
    assert [one.message.number for one in due(state, 61)] == [2]
    state.close()


def test_a_target_that_answers_again_gets_all_that_waits_for_it() -> None:
    state = State(None)
    commit(state, 1)
    (delivery,) = due(state, 0)
    with state.transaction() as db:
        ledger.mark_failed(db, delivery, "away", after(600))
        ledger.wake(db, Address("oncall", "slack/0"), after(1))
    assert due(state, 1) == []
    with state.transaction() as db:
        ledger.wake(db, ADDRESS, after(2))
    assert len(due(state, 2)) == 1
    state.close()


def test_one_target_never_crowds_out_another() -> None:
    state = State(None)
    other = Address("pager", "pagerduty/0")
    with state.transaction() as db:
        for number in range(ledger.DUE_MAX + 5):
            one = replace(message(), dedup_key=f"i{number}")
            ledger.commit(db, one.dedup_key, ADDRESS, one, digest_of(BASE), Reason.OPENED, NOW)
        ledger.commit(
            db, message().dedup_key, other, message(), digest_of(BASE), Reason.OPENED, after(1)
        )
        found = ledger.due(db, after(1))
        assert len(found[ADDRESS]) == ledger.DUE_MAX
        assert len(found[other]) == 1
        assert ledger.pending(db) == {ADDRESS: ledger.DUE_MAX + 5, other: 1}
    state.close()
