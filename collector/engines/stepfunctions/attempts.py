"""Attempts of states: how they begin and end, and what is told of that."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from collector.engines.stepfunctions.places import Place, State

Fact = Mapping[str, Any]
_TIMEOUTS: Final = ("States.Timeout", "States.HeartbeatTimeout")


class Told(NamedTuple):
    """A step event in the making: `step.<kind>` of a state, with the fields that only this kind has."""

    kind: str
    state: State
    branch: str
    around: tuple[int, ...]
    """The states that it is inside of, by the ids of the events that entered them."""
    fields: Mapping[str, Any] = {}
    beside: bool = False
    """It is not what the history's event is about, but follows from it."""
    before: bool = False
    """It happened when the event before this one did."""


Move = tuple[Place, list[Told]]


def told_of(place: Place, index: int, kind: str, **fields: Any) -> Told:
    index %= len(place.states)
    around = tuple(state.entered for state in place.states[:index])
    return Told(kind, place.states[index], place.branch(index), around, fields)


def next_attempt(place: Place, index: int, **changes: Any) -> Place:
    return place.changed(
        index,
        attempt=place.states[index].attempt + 1,
        is_open=True,
        is_started=False,
        failed=False,
        error="",
        cause="",
        **changes,
    )


def fail(place: Place, index: int, fact: Fact) -> Move:
    """The attempt under way fails; if none is, then it was one that did not get as far as being scheduled."""
    error, cause = fact.get("error", ""), fact.get("cause", "")
    if not place.states[index].is_open:
        place = next_attempt(place, index)
    after = place.changed(index, is_open=False, failed=True, error=error, cause=cause)
    kind = "timed_out" if error in _TIMEOUTS and not after.states[index].is_container else "failed"
    return after, [told_of(after, index, kind, error_type=error, error_message=cause)]


def fail_inside(place: Place, index: int, fact: Fact) -> Move:
    """The innermost state fails, if it is inside of the given one and did not say so itself."""
    last = len(place.states) - 1
    if last <= index or not place.states[last].may_fail:
        return place, []
    after, told = fail(place, last, fact)
    return after, [one._replace(beside=True) for one in told]


def abort(place: Place, index: int) -> Move:
    state = place.states[index]
    if state.failed:
        # It waited for its next attempt, which will not be.
        return place, []
    after = place.changed(index, attempt=max(1, state.attempt), is_open=False, failed=True)
    return after, [told_of(after, index, "cancelled")]


def blame(place: Place, index: int) -> dict[str, str]:
    """The error that a Parallel or Map fails with: that of the state inside which failed last, or its map run's."""
    for state in reversed(place.states[index:]):
        if state.error:
            return {"error": state.error, "cause": state.cause}
    return {}
