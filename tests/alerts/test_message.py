from dataclasses import replace
from datetime import timedelta

import msgspec

from alerts.message import FINDINGS_LISTED, Message, name_executions
from stallwatch.model.findings import Severity, Status
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


def test_many_findings_are_cut_and_counted() -> None:
    many = [replace(finding(f"f{number}"), explanation=f"e{number}") for number in range(60)]
    one = message(*many)
    assert (len(one.findings), one.findings_left_out) == (FINDINGS_LISTED, 10)
    assert "And 57 more findings of the same kind." in one.lines


def test_it_survives_the_outbox() -> None:
    one = message(finding(severity=Severity.CRITICAL), closed_at=NOW, why="The severity rose.")
    assert msgspec.json.decode(msgspec.json.encode(one), type=Message) == one
