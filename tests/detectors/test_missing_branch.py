"""missing_step: branches that are absent as a whole, from a real store."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from detectors import missing_step
from detectors.calibration.flows import learn_flows
from detectors.detector import Context
from detectors.statistics.flow_model import WHOLE
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Observation
from stallwatch.store import Store
from tests.detectors.support import calibration, context, tick
from tests.detectors.test_missing_step import run

VALIDATE, SHIP = ("validate", ""), ("ship", "")
RESERVE, CREDIT = ("reserve", "0"), ("check_credit", "1")
USUAL = (VALIDATE, RESERVE, CREDIT, SHIP)
Steps = tuple[tuple[str, str], ...]


def watched(store: Store, now: datetime, known: Iterable[Steps], ran: Iterable[Steps]) -> Context:
    """60 executions of each known kind a day ago; `ran` (o-0, o-1, …) half an hour ago, when the watch had begun."""
    day, half_an_hour = now - timedelta(days=1), now - timedelta(minutes=30)
    events = [
        event
        for kind, steps in enumerate(known)
        for number in range(60)
        for event in run(f"past-{kind}-{number}", day, *steps)
    ]
    events += [
        event
        for number, steps in enumerate(ran)
        for event in run(f"o-{number}", half_an_hour, *steps)
    ]
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    flows = learn_flows(store, now - timedelta(days=7), now - timedelta(hours=1))
    return context(calibration=calibration(flows=flows))


def judged(store: Store, now: datetime, knowing: Context) -> list[Observation]:
    watch = tick(now, epoch=now - timedelta(hours=1))
    rows = store.select(missing_step.DETECTOR.sql, missing_step.parameters(watch, knowing))
    return missing_step.judge(watch, rows, knowing)


@pytest.mark.parametrize("label", ["0", ""])
def test_a_branch_that_is_absent_shows_beside_its_sibling(
    store: Store, now: datetime, label: str
) -> None:
    """Also where nobody labelled the branches of this execution."""
    without = (VALIDATE, ("reserve", label), SHIP)
    (found,) = judged(store, now, watched(store, now, [USUAL], [without]))
    assert (found.step, found.executions) == ("check_credit", ("o-0",))
    assert found.point_until is not None
    assert found.evidence == {
        "missing": "check_credit",
        "likely": 1.0,
        "gap_confirm_s": 600.0,
        "beside": "reserve",
        "seen_beside": 60,
        "told_until": rfc3339(found.point_until),
    }
    assert found.explanation.startswith("o-0 of order was over at ")


def test_what_a_branch_lacks_itself_is_told_once(store: Store, now: datetime) -> None:
    chain = (("pick", "0"), ("pack", "0"), ("label", "0"))
    known = (VALIDATE, *chain, CREDIT, SHIP)
    knowing = watched(store, now, [known], [(VALIDATE, chain[0], chain[2], SHIP)])
    found = judged(store, now, knowing)
    assert sorted(one.step for one in found) == ["check_credit", "pack"]


def test_what_ran_in_a_sibling_is_missing_in_its_branch(store: Store, now: datetime) -> None:
    left, right = (
        tuple((step, label) for step in ("pick", "pack", "label")) for label in ("0", "1")
    )
    known = (VALIDATE, *left, *right, SHIP)
    ran = (VALIDATE, left[0], left[2], *right, SHIP)
    knowing = watched(store, now, [known], [ran])
    (found,) = judged(store, now, knowing)
    assert found.step == "pack"


def test_who_tells_of_a_part_of_an_execution_lost_nothing(store: Store, now: datetime) -> None:
    parts = [(RESERVE,), (VALIDATE, RESERVE), (VALIDATE, SHIP), (VALIDATE, RESERVE, SHIP)]
    usual = (VALIDATE, RESERVE, CREDIT, ("check_fraud", "2"), SHIP)
    assert judged(store, now, watched(store, now, [usual], parts)) == []


def test_a_fan_out_may_have_no_items(store: Store, now: datetime) -> None:
    items = (VALIDATE, ("item", "0"), ("item", "1"), CREDIT, SHIP)
    none = (VALIDATE, CREDIT, SHIP)
    knowing = watched(store, now, [items], [none])
    (flow,) = knowing.calibration.flows.values()
    rosters = flow.rosters[WHOLE]
    assert rosters.is_known(frozenset((step, 1) for step, _ in none), now)
    assert judged(store, now, knowing) == []


def test_a_branch_that_ran_twice_is_not_missing(store: Store, now: datetime) -> None:
    twice = (VALIDATE, RESERVE, CREDIT, CREDIT, SHIP)
    assert judged(store, now, watched(store, now, [USUAL], [twice])) == []


def test_a_branch_that_is_sometimes_left_out_is_not_missing(store: Store, now: datetime) -> None:
    without = (VALIDATE, RESERVE, SHIP)
    assert judged(store, now, watched(store, now, [USUAL, without], [without])) == []
