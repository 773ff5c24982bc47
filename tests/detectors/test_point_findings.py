"""retries_exhausted, failed_execution, event_gap and duplicate_step."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import duplicate_step, event_gap, failed_execution, retries_exhausted
from detectors.calibration import Declared, Said
from stallwatch.model.findings import Observation
from tests.detectors.support import EPOCH, NAMES, NOW, PLACE, ago, calibration, context, tick

# retries_exhausted


def given_up(**said: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("queue", "worker", "downstream", "region", "workflow_version"), "")
    return {
        **NAMES,
        "step": "charge",
        "execution_id": "o-1",
        "attempt": 3,
        "max_attempts": 3,
        "ended_at": ago(60),
        "received_at": ago(59),
        "error_type": "CardServiceDown",
        "error_message": "no answer",
        "repaired_at": None,
        **texts,
        **said,
    }


def test_one_finding_for_each_error_type() -> None:
    rows = [given_up(), given_up(execution_id="o-2"), given_up(error_type="Refused")]
    first, second = retries_exhausted.judge(tick(), rows, context())
    assert (first.key, first.executions) == ("CardServiceDown", ("o-1", "o-2"))
    assert second.key == "Refused"
    assert first.fingerprint != second.fingerprint
    assert first.point_until == ago(59) + timedelta(hours=1)
    assert "attempt 3 of 3" in first.explanation


def test_a_later_completion_repairs() -> None:
    assert retries_exhausted.judge(tick(), [given_up(repaired_at=ago(1))], context()) == []
    assert retries_exhausted.judge(tick(), [given_up(repaired_at=ago(61))], context())


def test_a_definition_may_say_how_often_a_step_is_tried() -> None:
    declared = Declared({PLACE: {"": {"max_attempts": Said(3, "configuration")}}})
    known = context(calibration=calibration(declared=declared))
    silent = given_up(max_attempts=None)
    assert retries_exhausted.judge(tick(), [silent], context()) == []
    assert retries_exhausted.judge(tick(), [{**silent, "attempt": 2}], known) == []
    (found,) = retries_exhausted.judge(tick(), [silent], known)
    assert found.evidence["declared_by"] == "configuration"
    assert "attempt 3 of 3 allowed (declared in the configuration), at" in found.explanation
    own = given_up(attempt=5, max_attempts=5)
    assert "declared_by" not in retries_exhausted.judge(tick(), [own], known)[0].evidence


# failed_execution


def closed(
    error_type: str,
    failures: Sequence[tuple[float, str, str]] = (),
    n: int = 60,
    first: float = 9000,
) -> dict[str, Any]:
    """Executions that closed with one error type (none: well), the first so many seconds ago;
    failures as (seconds ago, execution, step)."""
    return {
        **NAMES,
        "failed": bool(error_type),
        "error_type": error_type,
        "n": n,
        "first_at": ago(first),
        "first_closed": [ago(first - number) for number in range(min(n, 50))],
        "told": len(failures),
        "failures": [(ago(at), name, ago(at), "why", step) for at, name, step in failures],
    }


NEW = closed("New", [(60, "o-1", "charge")], n=1, first=60)


def test_an_error_type_never_seen_is_news() -> None:
    (found,) = failed_execution.judge(tick(), [closed(""), NEW], context())
    assert (found.key, found.step, found.executions) == ("New", "charge", ("o-1",))
    assert "None of the 60 other executions" in found.explanation


def test_where_executions_fail_is_no_part_of_what_the_finding_is() -> None:
    (found,) = failed_execution.judge(tick(), [closed(""), NEW], context())
    nowhere = closed("New", [(60, "o-1", "")], n=1, first=60)
    (early,) = failed_execution.judge(tick(), [closed(""), nowhere], context())
    assert (early.step, early.fingerprint) == ("", found.fingerprint)


def test_a_failure_that_spans_tell_waits_a_little_for_what_the_engine_says() -> None:
    fresh = closed("New", [(20, "o-1", "")], n=1, first=20)
    for looked_s, is_told in ((25, False), (20, True), (5, True)):
        asked = context(looks={"poll:custom": ago(looked_s)})
        assert bool(failed_execution.judge(tick(), [closed(""), fresh], asked)) is is_told
    older = closed("New", [(61, "o-1", "")], n=1, first=61)
    away = context(looks={"poll:custom": ago(500)})
    assert failed_execution.judge(tick(), [closed(""), older], away)


def test_an_error_type_seen_before_is_not() -> None:
    known = closed("New", [(60, "o-1", "charge")], n=2, first=7000)
    assert failed_execution.judge(tick(), [closed(""), known], context()) == []


@pytest.mark.parametrize(("n", "told"), [(49, False), (50, True)])
def test_a_young_workflow_has_no_unusual_errors(n: int, told: bool) -> None:
    assert bool(failed_execution.judge(tick(), [closed("", n=n), NEW], context())) is told


def test_executions_that_closed_after_the_failure_do_not_count() -> None:
    later = closed("", n=50, first=100)
    assert later["first_closed"][-1] > ago(60)
    assert failed_execution.judge(tick(), [later, NEW], context()) == []


def test_the_owner_may_want_all_or_none() -> None:
    known = closed("Old", [(60, "o-1", "")], n=9, first=7000)
    always = context({"policy": [{"on_failure": "always"}]})
    never = context({"policy": [{"on_failure": "never"}]})
    assert failed_execution.judge(tick(), [known], always)
    assert failed_execution.judge(tick(), [closed(""), NEW], never) == []


def test_a_step_is_named_when_nearly_all_failed_there() -> None:
    always = context({"policy": [{"on_failure": "always"}]})
    mixed = [(60.0, "o-1", "charge"), (50.0, "o-2", "ship")]
    (found,) = failed_execution.judge(tick(), [closed("Old", mixed)], always)
    assert (found.step, found.evidence["steps"]) == ("", {"charge": 1, "ship": 1})


def test_an_end_without_an_error_type_is_put_in_words() -> None:
    untyped = closed("failed", [(60, "o-1", "charge")], n=1, first=60)
    (found,) = failed_execution.judge(tick(), [closed(""), untyped], context())
    assert found.title == "o-1 of order failed without naming an error"
    assert found.explanation.startswith(
        "o-1 of order failed at charge without naming an error: why"
    )
    slow = closed("timed_out", [(60, "o-1", "charge")], n=1, first=60)
    (found,) = failed_execution.judge(tick(), [closed(""), slow], context())
    assert found.title == "o-1 of order timed out"
    assert "on record timed out before" in found.explanation


# event_gap


def numbered(*seen: tuple[int, float], execution_id: str = "o-1") -> dict[str, Any]:
    """An execution's events: (sequence, received so many seconds ago)."""
    events = [(number, ago(at), ago(at), f"event {number}") for number, at in sorted(seen)]
    return {**NAMES, "execution_id": execution_id, "run_id": "", "seen": events}


def gaps_of(*rows: dict[str, Any], until: datetime = NOW) -> list[Observation]:
    return event_gap.judge(tick(until), rows, context())


def test_a_gap_is_suspected_then_certain_then_over() -> None:
    row = numbered((0, 100), (2, 90), (3, 80))
    (found,) = gaps_of(row)
    assert found.suspected
    assert found.evidence["missing_sequences"] == [1]
    (found,) = gaps_of(row, until=NOW + timedelta(seconds=511))
    assert not found.suspected
    assert gaps_of(row, until=NOW + timedelta(seconds=509))[0].suspected
    assert gaps_of(row, until=NOW + timedelta(seconds=510 + 3600)) == []


def test_the_gap_is_noticed_by_whatever_came_first_behind_it() -> None:
    row = numbered((0, 1000), (2, 10), (3, 900))
    (found,) = gaps_of(row)
    assert not found.suspected


def test_what_may_have_come_while_nobody_listened_is_not_lost_yet() -> None:
    row = numbered((0, 1000), (2, 900))
    for away, suspected in (
        ([(950, 550)], True),  # 350 s of it are since what lies behind the gap came
        ([(950, 650)], False),
        ([(5000, 1000)], False),
        ([(800, 600), (500, 300)], True),
        ([(800, 600), (500, 400)], False),
    ):
        unheard = tuple((ago(begin), ago(end)) for begin, end in away)
        (found,) = event_gap.judge(tick(), [row], context(unheard=unheard))
        assert found.suspected == suspected


def test_an_execution_without_its_beginning_has_a_gap() -> None:
    (found,) = gaps_of(numbered((1, 700), (2, 690)))
    assert found.evidence["missing_sequences"] == [0]
    assert "before event 1" in found.explanation


def test_all_numbers_are_no_gap_in_whatever_order() -> None:
    assert gaps_of(numbered((0, 5), (1, 1000), (2, 800), (2, 700))) == []


def test_one_finding_for_each_workflow() -> None:
    (found,) = gaps_of(
        numbered((0, 700), (2, 700)), numbered((0, 650), (9, 650), execution_id="o-2")
    )
    assert (found.executions, found.evidence["missing"]) == (("o-1", "o-2"), 9)


def test_several_lost_events_are_told_as_several() -> None:
    (one,) = gaps_of(numbered((0, 700), (2, 700)))
    assert "the event with number 1 has not arrived: it belongs between" in one.explanation
    (several,) = gaps_of(numbered((0, 700), (5, 700)))
    assert "the events with numbers 1 to 4 have not arrived: they belong" in several.explanation


def test_what_was_noticed_before_the_watch_began_is_not_told() -> None:
    row = numbered((0, 700), (2, 700))
    assert event_gap.judge(tick(epoch=ago(600)), [row], context()) == []


# duplicate_step


def starts(kind: str, *at: float, **said: Any) -> dict[str, Any]:
    return {
        **NAMES,
        "step": "charge",
        "kind": kind,
        "executions": ["o-1"],
        "attempt": 1,
        "starts": [(ago(one), ago(one), "", f"s-{one}") for one in at],
        "breaks": [],
        "idempotency_key": "",
        **said,
    }


def test_two_starts_of_one_attempt() -> None:
    (found,) = duplicate_step.judge(tick(), [starts("started", 60, 50)], context())
    assert (found.executions, found.evidence["kind"]) == (("o-1",), "executed_twice")
    assert found.since == ago(50)


@pytest.mark.parametrize(
    ("at", "step", "told"),
    [(55, "charge", False), (55, "", False), (55, "ship", True), (70, "charge", True)],
)
def test_a_resumption_or_redrive_between_them_explains(at: int, step: str, told: bool) -> None:
    row = starts("started", 60, 50, breaks=[(ago(at), step)])
    assert bool(duplicate_step.judge(tick(), [row], context())) is told


def test_one_effect_in_two_executions_names_both() -> None:
    row = starts("effect", 5000, 50, executions=["o-2", "o-1"], idempotency_key="cart-7")
    row["starts"] = [(ago(5000), ago(5000), "", "o-1"), (ago(50), ago(50), "", "o-2")]
    (found,) = duplicate_step.judge(tick(), [row], context())
    assert found.executions == ("o-1", "o-2")
    assert "cart-7" in found.explanation


def test_an_attempt_repeated_in_one_execution_is_no_second_effect() -> None:
    row = starts("effect", 50, 40, executions=["o-1", "o-2"])
    row["starts"] = [(ago(50), ago(50), "", "o-1"), (ago(40), ago(40), "", "o-1")]
    assert duplicate_step.judge(tick(), [row], context()) == []


def test_old_duplicates_are_not_told_any_more() -> None:
    assert duplicate_step.judge(tick(), [starts("overlap", 3700, 3601)], context()) == []
    early = tick(EPOCH + timedelta(hours=1), EPOCH)
    before = starts("overlap", 6 * 3600 + 9, 6 * 3600 + 5)
    assert duplicate_step.judge(early, [before], context()) == []


def test_of_several_duplicates_the_others_are_named_as_others() -> None:
    rows = [starts("started", 60, 50), starts("started", 40, 30, executions=["o-2"])]
    (found,) = duplicate_step.judge(tick(), rows, context())
    assert found.count == 2
    assert found.explanation.endswith("1 more case like it: o-2.")
