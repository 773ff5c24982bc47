from dataclasses import replace
from datetime import timedelta

import msgspec

from alerts.message import FINDINGS_LISTED, Message, name_executions
from detectors.lifecycle import advance
from stallwatch.model.findings import Finding, Observation, Severity, Status
from tests.alerts.helpers import NOW, finding, message


def test_it_names_some_executions_and_counts_the_rest() -> None:
    names = tuple(f"o-{number}" for number in range(1, 43))
    assert name_executions(names, 42) == "o-1, o-2, o-3, o-4, o-5 and 37 more"
    assert name_executions(("o-1",), 1) == "o-1"
    assert name_executions(("o-1",), 1000) == "o-1 and 999 more"
    assert name_executions((), 3) == "3 not named"
    assert name_executions((), 0) == ""


def test_a_firing_message_reads_like_a_person_wrote_it() -> None:
    one = message(finding(count=42, executions=("o-1", "o-2")))
    assert one.title == "charge of order is stalled"
    assert one.lines == (
        "charge of order runs for 5m; 99 of 100 took less than 8s.",
        "Executions: o-1, o-2 and 40 more.",
        "What to do: look at the worker of payments.",
    )
    assert one.status == "firing"
    assert one.fields == {
        "detector": "stalled_step",
        "namespace": "shop",
        "engine": "temporal",
        "workflow": "order",
        "step": "charge",
    }
    assert one.links[0].url == "https://stallwatch.example.com/?incident=0123456789abcdef"


def test_a_resolved_message_says_how_long_it_lasted() -> None:
    over = finding(status=Status.RESOLVED)
    one = message(over, closed_at=NOW + timedelta(minutes=7))
    assert one.status == "resolved"
    assert one.lines[0] == "Over since 2026-11-22 10:07:00 UTC; it lasted 12m."
    assert not any(line.startswith("What to do") for line in one.lines)


def gap_told_for_an_hour(last_tick_min: int) -> Finding:
    """Lost events as the lifecycle leaves them after a tick at which they were there, and one where they were not."""
    observed = Observation(
        detector="event_gap",
        severity=Severity.WARNING,
        workflow="invoice",
        since=NOW,
        title="2 events of invoice did not arrive",
        explanation="",
        point_until=NOW + timedelta(hours=1),
    )
    earlier: dict[str, Finding] = {}
    for minutes in (0, last_tick_min):
        changes = advance(earlier, [observed], {"event_gap"}, NOW + timedelta(minutes=minutes))
        earlier = {one.fingerprint: one for one in (*changes.transitions, *changes.updates)}
    (over,) = advance(earlier, [], {"event_gap"}, NOW + timedelta(minutes=60)).transitions
    return over


def test_what_is_only_no_longer_told_is_not_called_over() -> None:
    one = message(gap_told_for_an_hour(59), closed_at=NOW + timedelta(hours=1))
    assert (one.status, one.lapsed) == ("resolved", True)
    assert one.lines[0] == (
        "No longer told since 2026-11-22 11:00:00 UTC, 1h after it was found: it has not happened again. "
        "Nothing that arrived since repaired it."
    )


def test_lost_events_that_arrive_after_all_are_over() -> None:
    one = message(gap_told_for_an_hour(10), closed_at=NOW + timedelta(minutes=11))
    assert (one.lapsed, one.lines[0]) == (
        False,
        "Over since 2026-11-22 10:11:00 UTC; it lasted 11m.",
    )
    # Its incident may close later: another finding of it went on.
    assert not message(gap_told_for_an_hour(10), closed_at=NOW + timedelta(hours=2)).lapsed


def test_beside_what_is_over_it_is_said_what_is_not_repaired() -> None:
    over = finding(status=Status.RESOLVED)
    one = message(over, gap_told_for_an_hour(59), closed_at=NOW + timedelta(hours=1))
    assert not one.lapsed
    assert one.lines[0].startswith("Over since ")
    assert one.lines[1] == (
        "Not repaired, only no longer told: 2 events of invoice did not arrive."
    )


def test_many_findings_are_cut_and_counted() -> None:
    many = [replace(finding(f"f{number}"), explanation=f"e{number}") for number in range(60)]
    one = message(*many)
    assert (len(one.findings), one.findings_left_out) == (FINDINGS_LISTED, 10)
    assert "And 57 more findings of the same kind." in one.lines


def test_names_do_not_act_where_they_are_read() -> None:
    one = message(finding(step="pay\u202eyap", workflow="a\x1b[2J", executions=("o\u2066",)))
    text = repr(msgspec.to_builtins(one)) + "".join(one.lines)
    assert not any(code in text for code in ("\u202e", "\x1b", "\u2066", "\\u202e", "\\x1b"))
    assert (one.fields["step"], one.findings[0].step) == ("pay\ufffdyap", "pay\ufffdyap")
    assert "Executions: o\ufffd." in one.lines


def test_a_line_break_in_a_name_makes_no_line_of_its_own() -> None:
    forged = replace(finding(executions=("t-3\n\nFAKE: all ok",)), explanation="t-3\nFAKE is late.")
    one = message(forged)
    assert not any("\n" in line for line in one.lines)
    assert one.lines[0] == "t-3\ufffdFAKE is late."
    assert one.findings[0].explanation == "t-3\ufffdFAKE is late."


def test_it_survives_the_outbox() -> None:
    one = message(finding(severity=Severity.CRITICAL), closed_at=NOW, why="The severity rose.")
    assert msgspec.json.decode(msgspec.json.encode(one), type=Message) == one
