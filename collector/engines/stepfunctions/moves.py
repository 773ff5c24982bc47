"""What each event of a history does: where the execution is after it, and what there is to tell of its states."""

from collections.abc import Callable, Mapping
from typing import Final

from collector.engines.stepfunctions import containers, tasks
from collector.engines.stepfunctions.attempts import Fact, Move, abort, fail, fail_inside, told_of
from collector.engines.stepfunctions.places import Place, State


def _entered(type_: str) -> Callable[[Place, int, Fact], Move]:
    def move(place: Place, id: int, fact: Fact) -> Move:
        state = State(id, fact.get("name", ""), type_)
        if type_ in ("Task", "Parallel", "Map"):
            return place.entered(state), []
        after = place.entered(state._replace(attempt=1, is_open=True))
        attributes = {"attributes": {"state_type": type_}}
        if type_ == "Wait":
            return after, [told_of(after, -1, "waiting", waiting_on="timer", **attributes)]
        return after, [told_of(after, -1, "started", **attributes)]

    return move


def _exited(place: Place, _id: int, fact: Fact) -> Move:
    index = place.find(fact.get("name", ""))
    if index is None:
        return place, []
    if place.states[index].failed:
        # Its failure was caught.
        return place.left(index), []
    done = place.changed(index, attempt=max(1, place.states[index].attempt))
    return place.left(index), [told_of(done, index, "completed")]


def _aborted(place: Place, _id: int, _fact: Fact) -> Move:
    index = place.worker()
    return (place, []) if index is None else abort(place, index)


def _evaluation_failed(place: Place, _id: int, fact: Fact) -> Move:
    index = place.find(fact.get("state", ""))
    if index is None:
        index = len(place.states) - 1
    if index < 0:
        return place, []
    state = place.states[index]
    if state.failed and fact.get("location", "").startswith("Catch"):
        # What was to follow the failure failed: it is the same attempt's.
        place = place.changed(index, is_open=True)
    return fail(place, index, fact)


def _execution_failed(place: Place, _id: int, fact: Fact) -> Move:
    """A state that nothing was said of before fails with the execution: a Fail state, or one whose output is wrong."""
    return fail_inside(place, -1, fact)


def _execution_redriven(place: Place, _id: int, fact: Fact) -> Move:
    return place._replace(redrives=fact.get("redriveCount", place.redrives + 1)), []


def _nowhere(place: Place, _id: int, _fact: Fact) -> Move:
    return place, []


MOVES: Final[Mapping[str, Callable[[Place, int, Fact], Move]]] = {
    **{
        f"{type_}StateEntered": _entered(type_)
        for type_ in ("Task", "Parallel", "Map", "Pass", "Wait", "Choice", "Succeed", "Fail")
    },
    **{
        f"{type_}StateExited": _exited
        for type_ in ("Task", "Parallel", "Map", "Pass", "Wait", "Choice", "Succeed")
    },
    **{f"{type_}StateStarted": containers.started(type_) for type_ in ("Parallel", "Map")},
    **{f"{type_}StateFailed": containers.failed(type_) for type_ in ("Parallel", "Map")},
    **{f"{type_}StateAborted": containers.aborted(type_) for type_ in ("Parallel", "Map")},
    "TaskStateAborted": _aborted,
    "WaitStateAborted": _aborted,
    "TaskScheduled": tasks.scheduled,
    "TaskStarted": tasks.started,
    "TaskStartFailed": tasks.failed,
    "TaskSubmitted": tasks.submitted,
    "TaskSubmitFailed": tasks.failed,
    "TaskFailed": tasks.failed,
    "TaskTimedOut": tasks.timed_out,
    "LambdaFunctionScheduled": tasks.scheduled,
    "LambdaFunctionScheduleFailed": tasks.failed,
    "LambdaFunctionStarted": tasks.started,
    "LambdaFunctionStartFailed": tasks.failed,
    "LambdaFunctionFailed": tasks.failed,
    "LambdaFunctionTimedOut": tasks.timed_out,
    "ActivityScheduled": tasks.scheduled,
    "ActivityScheduleFailed": tasks.failed,
    "ActivityStarted": tasks.started,
    "ActivityFailed": tasks.failed,
    "ActivityTimedOut": tasks.timed_out,
    "MapIterationStarted": containers.iteration_started,
    "MapIterationFailed": containers.iteration_failed,
    "MapRunStarted": containers.map_run_started,
    "MapRunRedriven": containers.map_run_redriven,
    "MapRunFailed": containers.map_run_failed,
    "EvaluationFailed": _evaluation_failed,
    "ExecutionStarted": _nowhere,
    "ExecutionSucceeded": _nowhere,
    "ExecutionFailed": _execution_failed,
    "ExecutionTimedOut": _nowhere,
    "ExecutionAborted": _nowhere,
    "ExecutionRedriven": _execution_redriven,
}
IGNORED: Final = frozenset({
    # A state is completed when it is left: until then its output can turn out to be wrong.
    "TaskSucceeded",
    "LambdaFunctionSucceeded",
    "ActivitySucceeded",
    "ParallelStateSucceeded",
    "MapStateSucceeded",
    "MapRunSucceeded",
    # The next iteration, or what becomes of the Map state, says what is to be known.
    "MapIterationSucceeded",
    "MapIterationAborted",
    "MapRunAborted",
})  # fmt: skip
"""Events that change neither where the execution is nor what is to be told."""


def is_known(type_: str) -> bool:
    """Whether it is known what an event of this type means."""
    return type_ in MOVES or type_ in IGNORED
