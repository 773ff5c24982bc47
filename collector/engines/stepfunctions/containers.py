"""Events of states that have others inside: Parallel, Map, and the map runs of distributed Maps."""

from collections.abc import Callable

from collector.engines.stepfunctions.attempts import (
    Fact,
    Move,
    Told,
    abort,
    blame,
    fail,
    fail_inside,
    next_attempt,
    told_of,
)
from collector.engines.stepfunctions.places import Place


def started(type_: str) -> Callable[[Place, int, Fact], Move]:
    def move(place: Place, _id: int, fact: Fact) -> Move:
        index = place.container(type_)
        if index is None:
            return place, []
        ended: list[Told] = []
        if place.states[index].is_open:
            # A retry is not always told with a failure before it.
            place, ended = fail_inside(place, index, {})
            place, of_container = fail(place, index, blame(place, index))
            ended += of_container
        after = next_attempt(place, index, inside="", map_run="")
        attributes = {"state_type": type_}
        if "length" in fact:
            attributes["items"] = str(fact["length"])
        started = told_of(after, index, "started", attributes=attributes)
        return after, [*(one._replace(beside=True, before=True) for one in ended), started]

    return move


def failed(type_: str) -> Callable[[Place, int, Fact], Move]:
    def move(place: Place, _id: int, fact: Fact) -> Move:
        index = place.unfailed(type_)
        if index is None:
            return place, []
        place, told = fail_inside(place, index, fact)
        cause = {**blame(place, index), **fact}
        after, of_container = fail(place, index, cause)
        return after, told + of_container

    return move


def aborted(type_: str) -> Callable[[Place, int, Fact], Move]:
    def move(place: Place, _id: int, _fact: Fact) -> Move:
        index = place.unfailed(type_)
        return (place, []) if index is None else abort(place, index)

    return move


def iteration_started(place: Place, _id: int, fact: Fact) -> Move:
    index = place.container("Map", fact.get("name", ""))
    if index is None:
        return place, []
    return place.changed(index, inside=str(fact.get("index", ""))), []


def iteration_failed(place: Place, _id: int, fact: Fact) -> Move:
    index = place.container("Map", fact.get("name", ""))
    if index is None:
        return place, []
    place, told = fail_inside(place, index, fact)
    return place.changed(index, **blame(place, index)), told


def map_run_started(place: Place, _id: int, fact: Fact) -> Move:
    index = place.container("Map")
    if index is None:
        return place, []
    after = place.changed(index, map_run=fact.get("mapRunArn", ""))
    attributes = {"map_run": fact.get("mapRunArn", "")}
    return after, [told_of(after, index, "waiting", waiting_on="child", attributes=attributes)]


def map_run_redriven(place: Place, id: int, fact: Fact) -> Move:
    index = place.container("Map")
    if index is not None and not place.states[index].is_open:
        place = next_attempt(place, index)
    return map_run_started(place, id, fact)


def map_run_failed(place: Place, _id: int, fact: Fact) -> Move:
    index = place.container("Map")
    if index is None:
        return place, []
    return place.changed(index, error=fact.get("error", ""), cause=fact.get("cause", "")), []
