"""What Temporal's workflow tasks tell: an execution's own code that fails, or that no worker takes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from collector.engines.reading import Hints
from collector.engines.temporal import Temporal
from detectors import never_started, stalled_execution
from detectors.calibration.learned import EVERY_VERSION
from stallwatch.model.findings import Observation
from stallwatch.store import Store
from tests.collector.engines.timelines import read_all
from tests.detectors.support import ago, calibration, context, learned, tick

WORKFLOW: Final = ("default", "temporal", "order")
TASK: Final = {
    **dict(zip(("namespace", "engine", "workflow"), WORKFLOW, strict=True)),
    "workflow_version": "",
    "execution_id": "o-1",
    "step": "workflow task",
    "sender": "upload",
    "queue": "orders",
}
UNKNOWN: Final = calibration(gaps={}, executions={})


def task(attempt: int, state: str = "running", **said: Any) -> dict[str, Any]:
    """The last attempt of a workflow task that began half a minute ago."""
    return {
        **TASK,
        "attempt": attempt,
        "state": state,
        "call": "run/workflow-task-4",
        "last_progress_at": ago(8),
        "its_error": "",
        "its_message": "",
        "suspects": 1,
        **said,
    }


def failed(attempt: int = 1, **said: Any) -> dict[str, Any]:
    """How it failed first."""
    its = {"its_error": "RuntimeError", "its_message": "a bug.", "last_progress_at": ago(40)}
    return task(attempt, "failed", **{**its, "suspects": 0, **said})


def fails(*rows: dict[str, Any], **more: Any) -> list[Observation]:
    known = context(**{"calibration": UNKNOWN, **more})
    return stalled_execution.judge(tick(), rows, known)


def test_code_that_failed_twice_in_a_row() -> None:
    (found,) = fails(task(3), failed())
    assert found.title == "The code of order fails again and again with RuntimeError in o-1"
    assert "has failed 2 times in a row (attempt 3 is under way)" in found.explanation
    assert "It failed with RuntimeError: a bug." in found.explanation
    assert (found.step, found.since) == ("workflow task", ago(40))
    assert found.evidence == {
        "rule": "code_fails",
        "attempt": 3,
        "failures": 2,
        "error_type": "RuntimeError",
        "error_message": "a bug.",
        "queue": "orders",
    }


def test_one_failure_may_pass() -> None:
    for young in (task(2), task(1, "backing_off")):
        assert fails({**young, "last_progress_at": ago(29)}) == []
    assert fails(task(2, last_progress_at=ago(31)))
    (found,) = fails(task(1, "backing_off", last_progress_at=ago(31)))
    assert "has failed 1 time in a row." in found.explanation


def test_one_failure_that_makes_the_execution_take_too_long_is_told() -> None:
    quick = calibration(executions={WORKFLOW: {EVERY_VERSION: learned(5.0)}})
    assert fails(task(2), calibration=quick)
    assert fails(task(2, last_progress_at=ago(5)), calibration=quick) == []
    allowed = {"policy": {"policy": [{"workflow": "order", "max_duration": "7s"}]}}
    assert stalled_execution.judge(tick(), [task(2)], context(allowed["policy"]))


def test_whom_nobody_runs_does_not_fail() -> None:
    assert fails(task(2, "scheduled", last_progress_at=ago(31))) == []
    assert fails(task(3, "scheduled"))


def test_a_change_that_no_longer_fits_is_to_be_compared() -> None:
    (found,) = fails(task(3), failed(its_error="NonDeterministicError"))
    assert "Compare the code of order with what ran" in found.next_steps[0]
    (timeout,) = fails(task(3), failed(its_error="StartToCloseTimeout"))
    assert "memory" in timeout.next_steps[1]


def test_the_oldest_first_and_the_error_of_who_has_one() -> None:
    rows = [
        task(3, execution_id="o-2", call="2"),
        failed(execution_id="o-2", call="2"),
        task(9, last_progress_at=ago(600)),
    ]
    (found,) = fails(*rows)
    assert (found.executions, found.count) == (("o-1", "o-2"), 2)
    assert "It failed with RuntimeError: a bug (in o-2)." in found.explanation
    (unseen,) = fails(task(9))
    assert unseen.title.endswith("with an error that nobody saw in o-1")


def test_judged_as_of_when_the_server_was_asked_last() -> None:
    asked = {"sender": "poll:temporal"}
    looks = {"poll:temporal": ago(15)}
    assert fails(task(2, **asked, last_progress_at=ago(40)), looks=looks) == []
    assert fails(task(2, **asked, last_progress_at=ago(46)), looks=looks)


def test_what_is_explained_switched_off_or_silent() -> None:
    told = frozenset({("default", "temporal", "o-1")})
    assert fails(task(3), explained=told) == []
    off = context({"policy": [{"workflow": "order", "enabled": False}]})
    assert stalled_execution.judge(tick(), [task(3)], off) == []
    (found,) = fails(task(3), silent_senders=frozenset({"upload"}))
    assert found.hidden_by == "upload"


def test_what_something_else_explains_is_not_counted() -> None:
    told = frozenset({("default", "temporal", "o-2")})
    both = (task(3, suspects=2), task(3, suspects=2, execution_id="o-2"))
    (found,) = fails(*both, explained=told)
    assert (found.executions, found.count) == (("o-1",), 1)


def test_it_is_told_beside_a_standstill_behind_such_a_task() -> None:
    gaps = {(*WORKFLOW, "workflow task"): learned(10.0)}
    idle = task(0, execution_id="o-2", last_progress_at=ago(60), retry_due_at=None)
    both = fails(task(3), idle, calibration=calibration(gaps=gaps, executions={}))
    assert [one.executions for one in both] == [("o-1",), ("o-2",)]
    assert len({one.fingerprint for one in both}) == 2


def untaken(age_s: float, **more: Any) -> list[Observation]:
    row = {
        **TASK,
        "attempt": 1,
        "worker": "",
        "downstream": "",
        "region": "",
        "scheduled_at": ago(age_s),
        "suspended_s": 0.0,
        "schedule_to_start_timeout_s": None,
        "is_own_code": True,
        "last_step": "charge",
    }
    return never_started.judge(tick(), [row], context(**{"calibration": UNKNOWN, **more}))


def test_code_that_nobody_takes() -> None:
    assert untaken(60) == []
    (found,) = untaken(61)
    assert found.title == "No worker takes the workflow task of order from queue orders in o-1"
    assert "no worker has taken its workflow task from queue orders since" in found.explanation
    assert (found.step, found.evidence["queue"]) == ("workflow task", "orders")
    assert found.evidence["rule"] == "code_not_taken"


@pytest.mark.parametrize(
    ("gap_s", "execution_s", "limit_s", "words"),
    [
        (1.0, None, 30.0, "less than once in 100,000; up to 30s is always allowed."),
        (1.0, 20.0, 21.0, "less than once in 100,000. It is told after 21s: by then the execution"),
        (40.0, None, 41.0, "longer than 41s less than once in 100,000."),
        (40.0, 20.0, 21.0, "It is told after 21s: by then the execution as a whole takes longer"),
        (None, 20.0, 21.0, "within milliseconds; up to 21s is allowed here."),
    ],
)
def test_how_long_it_may_wait(
    gap_s: float | None, execution_s: float | None, limit_s: float, words: str
) -> None:
    """As long as executions stood still before, half a minute at least, but not until all of it takes too long."""
    known = calibration(
        gaps={} if gap_s is None else {(*WORKFLOW, "charge"): learned(gap_s)},
        executions={} if execution_s is None else {WORKFLOW: {EVERY_VERSION: learned(execution_s)}},
    )
    assert untaken(limit_s, calibration=known) == []
    (found,) = untaken(limit_s + 0.1, calibration=known)
    assert found.evidence["threshold_s"] == limit_s
    assert words in found.explanation


def history(now: datetime, *events: tuple[float, str, dict[str, Any]]) -> dict[str, Any]:
    """A history as `temporal workflow show -o json` gives it. What has no task id is not written yet."""
    told = []
    for id, (at_s, kind, said) in enumerate(events, 1):
        name = "".join(part.capitalize() for part in kind.split("_"))
        attempt = said.get("attempt", 1)
        told.append(
            {
                "eventId": str(id),
                "eventTime": (now + timedelta(seconds=at_s)).isoformat(),
                "eventType": f"EVENT_TYPE_{kind}",
                **({"taskId": str(100 + id)} if attempt == 1 or said.get("written") else {}),
                f"{name[0].lower()}{name[1:]}EventAttributes": said,
            }
        )
    execution = {"workflowId": "o-1", "runId": "01a2029d-5363-7aa9-a9d9-4d57c578618f"}
    return {"execution": execution, "events": told}


def scheduled(attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"taskQueue": {"name": "orders"}, "attempt": attempt, **more}


def begun(since: float) -> list[tuple[float, str, dict[str, Any]]]:
    """A run whose first workflow task failed."""
    failure = {
        "message": "[TMPRL1100] Nondeterminism error",
        "applicationFailureInfo": {"type": ""},
    }
    ended = {
        "scheduledEventId": "2",
        "startedEventId": "3",
        "cause": "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR",
        "failure": failure,
    }
    return [
        (since, "WORKFLOW_EXECUTION_STARTED", {"workflowType": {"name": "order"}}),
        (since, "WORKFLOW_TASK_SCHEDULED", scheduled()),
        (since, "WORKFLOW_TASK_STARTED", {"scheduledEventId": "2"}),
        (since, "WORKFLOW_TASK_FAILED", ended),
    ]


def push(store: Store, documents: Sequence[dict[str, Any]], now: datetime) -> list[Observation]:
    """What is told once these have been received."""
    engine = Temporal()
    (read,) = read_all(engine, [engine.parts(document, Hints(now)) for document in documents])
    store.insert_events(read.events, [now] * len(read.events), "upload")
    store.fold(now)
    known = context(calibration=UNKNOWN)
    parameters = stalled_execution.parameters(tick(now), known)
    detector = stalled_execution.DETECTOR
    rows = store.select(detector.sql, parameters)
    looked = store.select(detector.look_sql, parameters)
    asked = stalled_execution.narrow(tick(now), looked, known)
    assert (asked == parameters) if looked else (asked is None and not rows)
    return stalled_execution.judge(tick(now), rows, known)


def test_a_history_that_is_pushed_tells_it_until_a_task_completes(
    store: Store, now: datetime
) -> None:
    again = [
        (-12.0, "WORKFLOW_TASK_SCHEDULED", scheduled(4)),
        (-12.0, "WORKFLOW_TASK_STARTED", {"scheduledEventId": "5", "attempt": 4}),
    ]
    broken = history(now, *begun(-60.0), *again)
    (found,) = push(store, [broken], now)
    assert found.evidence["error_type"] == "NonDeterministicError"
    assert found.evidence["error_message"] == "[TMPRL1100] Nondeterminism error"
    assert (found.evidence["attempt"], found.evidence["failures"]) == (4, 3)
    assert (found.evidence["queue"], found.since) == ("orders", now - timedelta(seconds=60))

    mended = history(
        now,
        *begun(-60.0),
        (2.0, "WORKFLOW_TASK_SCHEDULED", scheduled(5, written=True)),
        (2.0, "WORKFLOW_TASK_STARTED", {"scheduledEventId": "5"}),
        (2.1, "WORKFLOW_TASK_COMPLETED", {"scheduledEventId": "5", "startedEventId": "6"}),
    )
    assert push(store, [broken, mended], now + timedelta(seconds=60)) == []


def test_of_very_many_the_worst_are_looked_up_and_all_are_counted(
    store: Store, now: datetime
) -> None:
    engine = Temporal()
    for number in range(7):
        document = history(now, *begun(-60.0 - number))
        document["execution"] = {**document["execution"], "workflowId": f"o-{number}"}
        (read,) = read_all(engine, [engine.parts(document, Hints(now))])
        store.insert_events(read.events, [now] * len(read.events), "upload")
    store.fold(now)
    known = context(calibration=UNKNOWN)
    few = {"rows_per_place": 3, "looked_up": 1}
    parameters = {**stalled_execution.parameters(tick(now), known), **few}
    rows = store.select(stalled_execution.DETECTOR.sql, parameters)
    (found,) = stalled_execution.judge(tick(now), rows, known)
    assert (found.count, len(found.executions)) == (7, 3)
    assert found.evidence["error_type"] == "NonDeterministicError"
