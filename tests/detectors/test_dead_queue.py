"""dead_queue: who is silent, who tells it, and what only looks like it."""

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from detectors import dead_queue, never_started, overdue_execution, stalled_step
from detectors.calibration import Calibration, learn
from detectors.calibration.hazards import Group, Liveness, Pace, StepLife
from detectors.dead_queue import DETECTOR
from detectors.detector import Context
from detectors.explaining import clock
from detectors.silences import DIMENSIONS
from detectors.statistics.silence import edge_of, hazard
from detectors.statistics.survival import bin_of
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.findings import Observation, Severity
from stallwatch.store import Store
from tests.detectors.support import NAMES, PLACE, ago, calibration, context, tick

QUEUE: Group = ("queue", "default", "custom", "", "payments")
STEP: Group = ("step", "default", "custom", "order", "charge")
OTHER = (*PLACE[:3], "pay")


def life(queue: str = "", downstream: str = "") -> StepLife:
    """Of a step that takes 2 s in the median, known from 1,000 attempts."""
    quantiles = (np.arange(1000) + 0.5) / 1000
    bins, closed = np.unique(bin_of(-2 / np.log(2) * np.log1p(-quantiles)), return_counts=True)
    known = hazard(bins, closed, np.zeros_like(closed))
    return StepLife(known, known, queue, downstream)


def pace(per_s: float = 1.0, **more: Any) -> Pace:
    known = {"closes": 100_000, "per_week": per_s * 604_800, "peak_per_s": 1.5 * per_s}
    return Pace(**{**known, "last_at": ago(3600), "pause_s": 0.0, **more})


def known(*groups: Group, **more: Any) -> Calibration:
    steps = {PLACE: life(), OTHER: life()}
    paces = dict.fromkeys(groups or (QUEUE, STEP), pace())
    return calibration(liveness=Liveness(**{"steps": steps, "paces": paces, **more}))


def row(opens: list[float], ends: list[tuple[float, float]] = (), **said: Any) -> dict[str, Any]:  # type: ignore[assignment]
    """Charges that are open for so many seconds, and others that ended so many seconds ago after so long."""
    ago_s = np.array([one[0] for one in ends])
    return {
        **NAMES,
        "step": "charge",
        "queue": "payments",
        "worker": "",
        "downstream": "",
        "sender": "shop",
        "closed_at": ago(min(ago_s, default=1e6)),
        "is_named": True,
        "open_ages": bin_of(np.array(opens)).tolist(),
        "open_counts": [1] * len(opens),
        "open_waits": [False] * len(opens),
        **{f"asks_{dimension}": True for dimension in DIMENSIONS},
        "executions": [[f"{said.get('step', 'o')}-{number}"] for number in range(len(opens))],
        "end_edges": edge_of(ago_s).tolist(),
        "end_ages": bin_of(np.array([one[1] for one in ends])).tolist(),
        "end_counts": [1] * len(ends),
        "end_closes": [True] * len(ends),
        **said,
    }


def judge(
    *rows: dict[str, Any], policy: dict[str, Any] | None = None, **more: Any
) -> list[Observation]:
    return dead_queue.judge(tick(), rows, context(policy, **{"calibration": known(), **more}))


TEN = [float(age) for age in range(1, 11)]


def test_ten_open_and_nothing_ends() -> None:
    (found,) = judge(row(TEN, [(12.0, 2.0)]))
    assert (found.severity, found.workflow, found.step) == (Severity.CRITICAL, "order", "charge")
    assert found.title == "Nothing ends any more: queue payments"
    assert (found.count, found.executions[0]) == (10, "o-9")
    assert found.evidence["state"] == "stopped"
    assert found.evidence["probability"] < 1e-7
    # The lateness that news of an end may have does not count as silence.
    assert 9.6 < found.evidence["silent_s"] < 9.9


def test_the_last_end_is_told_where_the_silence_began_later() -> None:
    (at_once,) = judge(row(TEN, [(12.0, 2.0)]))
    assert "The last end was" not in at_once.explanation
    (after_an_idle_minute,) = judge(row(TEN, [(70.0, 2.0)]))
    assert "The last end was at 2" in after_an_idle_minute.explanation


def test_something_ended_a_moment_ago() -> None:
    assert judge(row(TEN, [(0.5, 2.0)])) == []


def test_what_another_row_of_the_queue_ends_counts() -> None:
    ends = row([], [(0.5, 2.0)], step="pay", worker="w-2")
    assert judge(row(TEN, [(12.0, 2.0)]), ends, calibration=known(QUEUE)) == []
    (found,) = judge(row(TEN, [(12.0, 2.0)]), ends)
    assert found.title == "Nothing ends any more: charge of order"


def test_an_idle_queue_is_not_dead() -> None:
    assert judge(row([], [(3000.0, 2.0)])) == []
    assert judge(row([0.5, 0.4, 0.3], [(3000.0, 2.0)])) == []


def test_one_or_two_executions_are_hung_ones() -> None:
    assert judge(row([3000.0, 3000.0])) == []
    twice = row([3000.0] * 4)
    assert judge({**twice, "executions": [["a"], ["a"], ["b"], ["b"]]}) == []
    assert judge({**twice, "executions": [["a"], ["a"], ["b"], ["c"]]})


def test_the_most_general_group_tells_it() -> None:
    groups = (QUEUE, STEP, ("step", "default", "custom", "order", "pay"))
    rows = [row(TEN), row(TEN, step="pay")]
    (found,) = judge(*rows, calibration=known(*groups))
    assert found.evidence["group"] == "queue"
    assert (found.workflow, found.step, found.count) == ("order", "", 20)


def test_two_dead_queues_are_two_troubles() -> None:
    other = ("queue", "default", "custom", "", "mails")
    rows = [row(TEN), row(TEN, queue="mails", step="pay")]
    found = judge(*rows, calibration=known(QUEUE, other))
    assert {one.evidence["queue"] for one in found} == {"payments", "mails"}
    assert len({one.fingerprint for one in found}) == 2


def test_who_names_no_queue_is_in_the_usual_one() -> None:
    steps = {PLACE: life(queue="payments"), OTHER: life()}
    (found,) = judge(row(TEN, queue=""), calibration=known(QUEUE, steps=steps))
    assert found.evidence["queue"] == "payments"
    assert judge(row(TEN, queue=""), calibration=known(QUEUE)) == []


def test_a_dead_worker_beside_one_that_works() -> None:
    dead = ("worker", "default", "custom", "", "w-1")
    works = row([0.5], [(0.3, 2.0)], worker="w-2")
    (found,) = judge(row(TEN, worker="w-1"), works, calibration=known(QUEUE, STEP, dead))
    assert found.title == "Nothing ends any more: worker w-1"


def test_a_habit_of_pausing() -> None:
    habit = {QUEUE: pace(pause_s=30.0)}
    assert judge(row(TEN), calibration=known(paces=habit)) == []
    assert judge(row([40.0] * 10), calibration=known(paces=habit))


def test_what_is_not_known_is_not_judged() -> None:
    assert judge(row(TEN), calibration=calibration()) == []
    assert judge(row(TEN, step="new"), calibration=known()) == []


def test_what_is_not_known_waits_on_a_dead_queue_too() -> None:
    (found,) = judge(row(TEN), row([30.0, 3.0], step="new"))
    assert (found.count, found.executions[0], found.step) == (12, "new-0", "")
    assert found.evidence["open_attempts"] == 12
    assert judge(row(TEN[:2]), row(TEN, step="new")) == []


def test_policies() -> None:
    off = {"policy": [{"step": "charge", "enabled": False}]}
    waits = {"policy": [{"step": "charge", "waiting_on": "human"}]}
    assert judge(row(TEN), policy=off) == judge(row(TEN), policy=waits) == []
    (found,) = judge(row(TEN), policy={"policy": [{"severity": "info"}]})
    assert found.severity is Severity.INFO


def test_a_silent_sender_makes_it_unknown() -> None:
    silent: dict[str, Any] = {"silent_senders": frozenset({"shop"})}
    (found,) = judge(row(TEN), **silent)
    assert found.hidden_by == "shop"
    heard = row([0.5], [(0.4, 2.0)], sender="other")
    assert judge(row(TEN), heard, calibration=known(QUEUE), **silent) == []


def test_a_poller_that_looked_before_they_were_late() -> None:
    polled = row(TEN, sender="poll:custom")
    assert judge(polled, looks={"poll:custom": ago(9)}) == []
    assert judge(polled, looks={"poll:custom": ago(0.1)})


def half(hung: int, ended: int) -> dict[str, Any]:
    """In the last minute so many ended, and so many have begun that did not."""
    ends = [(1 + 60 * number / ended, 2.0) for number in range(ended)]
    earlier = [(61.0 + number, 2.0) for number in range(240)]
    return row([10 + 50 * number / hung for number in range(hung)], ends + earlier)


def test_half_of_the_workers_are_lost() -> None:
    (found,) = judge(half(hung=30, ended=30))
    assert (found.severity, found.evidence["state"]) == (Severity.WARNING, "degraded")
    assert found.title == "Too little ends: queue payments"
    assert "less than two thirds of what should have; " in found.explanation
    assert "less than 0.2 a week are called so wrongly" in found.explanation
    # Since it has been so, not since something ended last.
    assert f"at their logs since {clock(found.since)}." in found.next_steps[0]
    assert found.evidence["ends"] >= 25


def test_some_hang_while_all_others_go_on() -> None:
    assert judge(half(hung=6, ended=60)) == []


WAITING: dict[str, Any] = {"open_waits": [True] * 10}


def test_what_waits_behind_busy_workers_is_no_silence() -> None:
    busy = row([9.0, 8.0], [(12.0, 2.0)], step="pay")
    full = known(paces={QUEUE: pace(ceiling=2), STEP: pace(ceiling=9)})
    assert judge(row(TEN, **WAITING), busy, calibration=full) == []
    (found,) = judge(row(TEN, **WAITING), calibration=full)
    assert (found.count, found.evidence["group"]) == (10, "queue")
    # Where more could run it is a silence.
    roomy = known(paces={QUEUE: pace(ceiling=9)})
    assert judge(row(TEN, **WAITING), busy, calibration=roomy)


def test_workers_that_are_lost_are_not_busy() -> None:
    full = known(paces={QUEUE: pace(ceiling=2)})
    lost = row([60.0, 50.0], [(70.0, 2.0)])
    assert judge(row(TEN, **WAITING), lost, calibration=full)


def test_a_backlog_is_no_loss() -> None:
    full = known(paces={QUEUE: pace(ceiling=2)})
    backlog = half(hung=30, ended=30)
    waits = {**backlog, "open_waits": [True] * 30}
    assert judge(waits, row([1.0, 2.0]), calibration=full) == []
    assert judge(waits, row([1.0]), calibration=known(paces={QUEUE: pace(ceiling=9)}))


def looked(group: Group, **more: Any) -> dict[str, Any]:
    """What the first look says of a group in which ten are open and something ended a second ago."""
    dimension, namespace, engine, place, value = group
    known = {"closed_at": ago(1), "closes": {25: 1}, "ripe": 10, "fresh": 10}
    names = {"dimension": dimension, "namespace": namespace, "engine": engine}
    values = {"place": place, "value": value, "overdue": 0, "waiting": 0}
    return {**names, **values, **known, **more}


def test_who_has_just_ended_something_is_not_asked_for() -> None:
    said = context(calibration=known())
    assert dead_queue.narrow(tick(), [looked(QUEUE), looked(STEP)], said) is None
    assert dead_queue.narrow(tick(), [], said) is None
    idle = looked(QUEUE, closed_at=ago(60), ripe=0, fresh=0)
    assert dead_queue.narrow(tick(), [idle, looked(STEP)], said) is None


def test_who_is_silent_or_overdue_is_asked_for() -> None:
    steps = {PLACE: life(queue="payments"), OTHER: life()}
    said = context(calibration=known(steps=steps))
    silent = dead_queue.narrow(tick(), [looked(QUEUE, closed_at=ago(60)), looked(STEP)], said)
    assert silent is not None
    assert (silent["queues"], silent["queue_steps"], silent["steps"]) == (
        ["payments"],
        ["charge"],
        [],
    )
    overdue = dead_queue.narrow(tick(), [looked(QUEUE), looked(STEP, overdue=10)], said)
    assert overdue is not None
    assert (overdue["queues"], overdue["steps"], overdue["workflows"]) == (
        [],
        ["charge"],
        ["order"],
    )
    # What waits, waits in its queue.
    waiting = dead_queue.narrow(tick(), [looked(STEP, overdue=10, waiting=9)], said)
    assert waiting is not None
    assert waiting["queues"] == ["payments"]


def test_they_give_way_to_it() -> None:
    for detector in (stalled_step, never_started, overdue_execution):
        assert "dead_queue" in detector.DETECTOR.absorbed_by


def told(at: datetime, event: str, name: str, **said: Any) -> StepEvent:
    data = {"event": event, "time": at, "workflow": "order", "execution_id": name, **said}
    return event_from_dict(data, at)


def course(now: datetime) -> list[StepEvent]:
    """A hundred orders that ended, ten that wait for a worker; and what does not count."""
    charge = {"step": "charge", "queue": "payments"}
    events = []
    for number in range(100):
        begin, name = now - timedelta(seconds=220 + 10 * number), f"past-{number}"
        lasting = timedelta(seconds=1 + number / 50)
        events += [
            told(begin, "workflow.started", name),
            told(begin, "step.scheduled", name, **charge),
            told(begin + lasting, "step.completed", name, **charge),
            told(begin + lasting, "workflow.completed", name),
        ]
    for number in range(10):
        begin, name = now - timedelta(seconds=200 - number), f"o-{number}"
        events += [
            told(begin, "workflow.started", name),
            told(begin, "step.scheduled", name, **charge),
        ]
    soon = now - timedelta(seconds=200)
    other = now - timedelta(seconds=199)
    lately = now - timedelta(seconds=30)
    events += [
        told(soon, "step.started", "beats", **charge),
        told(lately, "step.heartbeat", "beats", **charge),
        told(soon, "step.waiting", "waits", **charge, waiting_on="human"),
        told(soon, "step.started", "held", **charge),
        told(other, "workflow.suspended", "held"),
        told(soon, "step.started", "parent", **charge),
        told(other, "workflow.started", "child", parent_execution_id="parent"),
        told(soon, "step.started", "fails", **charge),
        told(other, "step.failed", "fails", error_type="Refused", **charge),
    ]
    return events


def selected(store: Store, now: datetime, asked: Context) -> list[dict[str, Any]]:
    """What a tick is judged by: all that the first look leaves."""
    looked = store.select(DETECTOR.look_sql, DETECTOR.parameters(tick(now), asked))
    parameters = dead_queue.narrow(tick(now), looked, asked)
    return [] if parameters is None else store.select(DETECTOR.sql, parameters)


def test_what_the_statements_select(store: Store, now: datetime) -> None:
    events = course(now)
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    asked = context(calibration=learn(store, now, 1.0))
    liveness = asked.calibration.liveness
    assert liveness.steps[PLACE].hazard.closes == 101
    assert liveness.steps[PLACE].queue == "payments"
    assert (liveness.paces[QUEUE].closes, liveness.paces[QUEUE].peak_per_s) == (101, 0.1)
    rows = selected(store, now, asked)
    (charges,) = [one for one in rows if one["open_ages"]]
    assert {name for names in charges["executions"] for name in names} == {
        f"o-{number}" for number in range(10)
    }
    assert sum(charges["open_counts"]) == 10
    assert charges["closed_at"] == now - timedelta(seconds=199)
    assert sum(charges["end_counts"]) == 101
    assert all(charges["end_closes"])
    (found,) = dead_queue.judge(tick(now), rows, asked)
    # Of the same age within two percent the order is not kept.
    assert found.count == 10
    assert found.executions[0] in ("o-0", "o-1", "o-2")


def test_pauses_that_went_by_are_learned(store: Store, now: datetime) -> None:
    events = course(now)
    store.insert_events(events, [event.time for event in events], "shop")
    store.fold(now)
    evidence = [
        json.dumps({"group": "queue", "queue": "payments", "state": "stopped", "silent_s": seconds})
        for seconds in (50.0, 20.0, 30.0)
    ]
    for number, text in enumerate(evidence):
        store.engine.command(
            "INSERT INTO finding_log (fingerprint, number, detector, status, namespace, engine, "
            "last_seen, evidence) VALUES ('f', {n:UInt32}, 'dead_queue', 'resolved', 'default', "
            "'custom', {at:DateTime64(6, 'UTC')}, {evidence:String})",
            {"n": number, "at": now - timedelta(hours=number), "evidence": text},
        )
    assert learn(store, now, 1.0).liveness.paces[QUEUE].pause_s == 24.0
    two_left = now + timedelta(days=6, hours=23)
    assert learn(store, two_left, 1.0).liveness.paces[QUEUE].pause_s == 0.0
