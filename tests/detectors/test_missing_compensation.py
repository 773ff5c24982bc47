"""missing_compensation: what earlier failures teach, and its judge."""

from datetime import timedelta
from typing import Any

from detectors import missing_compensation
from detectors.calibration.compensations import Compensation, compensations_of
from detectors.statistics.flow_model import Flow
from stallwatch.model.findings import Observation
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, tick

USUAL = Flow(ran={"reserve": 300, "charge": 300, "ship": 300})


def failures(
    n: int,
    *begun: str,
    done: tuple[str, ...] = ("reserve",),
    undoes: str = "",
    delay_s: float = 0.0,
) -> dict[str, Any]:
    """So many executions that failed alike; the last of the begun steps declares what it undoes."""
    names = [(step, "") for step in begun[:-1]] + [(step, undoes) for step in begun[-1:]]
    return {
        **NAMES,
        "failed": True,
        "done": list(done),
        "begun": names,
        "n": n,
        "delays": [[(step, undone, delay_s) for step, undone in names]] * min(n, 200),
    }


def learned(*rows: dict[str, Any], flow: Flow = USUAL) -> list[Compensation]:
    found = compensations_of(rows, {PLACE[:3]: flow})
    return list(found.get(PLACE[:3], ()))


def test_what_is_declared_once_is_known() -> None:
    (one,) = learned(failures(1, "reserve", "release", undoes="reserve"))
    assert (one.step, one.by, one.declared, one.limit_s) == (
        "reserve",
        frozenset({"release"}),
        True,
        60.0,
    )


def test_twenty_failures_show_it_and_nineteen_do_not() -> None:
    (one,) = learned(failures(20, "reserve", "charge", "release"))
    assert (one.step, one.by, one.declared) == ("reserve", frozenset({"release"}), False)
    assert (one.shown, one.failures) == (20, 20)
    assert learned(failures(19, "reserve", "charge", "release")) == []
    assert learned(failures(20, "reserve", "release"), failures(2, "reserve", "charge")) == []


def test_a_step_of_the_usual_way_undoes_nothing() -> None:
    done = ("reserve", "charge")
    assert learned(failures(100, "reserve", "charge", "ship", done=done)) == []


def test_what_is_undone_is_what_was_done_last_or_makes_the_difference() -> None:
    both = failures(30, "reserve", "charge", "refund", done=("reserve", "charge"))
    assert learned(both)[0].step == "charge"
    reserved_only = failures(30, "reserve", "charge", done=("reserve",))
    assert [one.step for one in learned(both, reserved_only)] == ["charge"]


def test_a_delay_that_was_usual_is_waited_for() -> None:
    (one,) = learned(failures(30, "reserve", "release", undoes="reserve", delay_s=600.0))
    assert 600 <= one.limit_s < 86_400
    (slow,) = learned(failures(30, "reserve", "release", undoes="reserve", delay_s=90_000.0))
    assert slow.limit_s == 86_400


RELEASE = Compensation("reserve", frozenset({"release"}), 60.0, declared=True)


def row(at: float = 100, **said: Any) -> dict[str, Any]:
    return {
        **NAMES,
        "execution_id": "o-1",
        "ended_at": ago(at),
        "received_at": ago(at),
        "error_type": "CardServiceDown",
        "sender": "shop",
        "done": [("reserve", ago(at + 10))],
        "begun": [("reserve", "", ago(at + 11)), ("charge", "", ago(at + 9))],
        "declared": [],
        **said,
    }


def judged(
    *rows: dict[str, Any], known: Compensation = RELEASE, **policy: Any
) -> list[Observation]:
    asked = context(policy, calibration=calibration(compensations={PLACE[:3]: (known,)}))
    return missing_compensation.judge(tick(), rows, asked)


def test_what_is_not_undone_in_time_is_told_for_an_hour() -> None:
    (found,) = judged(row(), row(execution_id="o-2"))
    assert (found.step, found.count) == ("reserve", 2)
    assert "declared" in found.explanation
    assert judged(row(at=59)) == []
    assert judged(row(at=60))
    assert judged(row(at=3659))
    assert judged(row(at=3660)) == []


def test_a_compensation_counts_whenever_it_began_behind_the_step() -> None:
    for at in (105, 99, 5):
        assert judged(row(begun=[("release", "", ago(at))])) == []
        assert judged(row(begun=[("other", "reserve", ago(at))])) == []
    assert judged(row(begun=[("release", "charge", ago(5))]))
    assert judged(row(begun=[("release", "", ago(200))]))


def test_what_did_not_complete_need_not_be_undone() -> None:
    assert judged(row(done=[])) == []


def test_what_was_only_shown_says_how_often() -> None:
    shown = Compensation("reserve", frozenset({"release"}), 60.0, False, 40, 41)
    (found,) = judged(row(), known=shown)
    assert "40 of 41 earlier failures" in found.explanation


def test_a_policy_switches_it_off() -> None:
    assert judged(row(), policy=[{"step": "reserve", "enabled": False}]) == []


def test_the_window_is_as_long_as_the_longest_delay() -> None:
    slow = Compensation("reserve", frozenset({"release"}), 7200.0, True)
    asked = context(calibration=calibration(compensations={PLACE[:3]: (slow,)}))
    parameters = missing_compensation.parameters(tick(), asked)
    assert parameters["from"] <= ago(3 * 3600)
    assert parameters["workflows"] == ["order"]
    assert timedelta(0) < tick().until - parameters["from"]


def test_what_was_declared_since_the_calibration_is_known_as_well() -> None:
    declared = [("release", "reserve"), ("refund", "charge")]
    asked = context(calibration=calibration())
    (found,) = missing_compensation.judge(tick(), [row(declared=declared)], asked)
    assert (found.step, found.evidence["compensation"]) == ("reserve", ["release"])
    # What was learned of the same step stands.
    (known,) = judged(row(declared=[("another", "reserve")]))
    assert known.evidence["compensation"] == ["release"]
