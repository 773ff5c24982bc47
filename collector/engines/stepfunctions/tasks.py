"""Events of Tasks, whatever they call: services, Lambda functions, activities."""

from typing import Any

from collector.engines.stepfunctions import calls
from collector.engines.stepfunctions.asl_values import NEVER_S
from collector.engines.stepfunctions.attempts import Fact, Move, fail, next_attempt, told_of
from collector.engines.stepfunctions.places import Place


def scheduled(place: Place, _id: int, fact: Fact) -> Move:
    index = place.worker()
    if index is None:
        return place, []
    after = next_attempt(place, index, waits_on=_waits_on(fact))
    return after, [told_of(after, index, "scheduled", **_declared(fact))]


def started(place: Place, _id: int, fact: Fact) -> Move:
    index = place.worker()
    if index is None:
        return place, []
    after = place if place.states[index].is_open else next_attempt(place, index)
    after = after.changed(index, is_started=True)
    worker = {"worker": fact["workerName"]} if "workerName" in fact else {}
    return after, [told_of(after, index, "started", **worker)]


def submitted(place: Place, _id: int, _fact: Fact) -> Move:
    """A job began, and the execution waits for its end. Not every history says before that the task was started."""
    index = place.worker()
    if index is None or not place.states[index].is_open:
        return place, []
    told = []
    if not place.states[index].is_started:
        place = place.changed(index, is_started=True)
        told = [told_of(place, index, "started")._replace(beside=True)]
    if waits_on := place.states[index].waits_on:
        told.append(told_of(place, index, "waiting", waiting_on=waits_on))
    return place, told


def failed(place: Place, _id: int, fact: Fact) -> Move:
    index = place.worker()
    return (place, []) if index is None else fail(place, index, fact)


def timed_out(place: Place, id: int, fact: Fact) -> Move:
    return failed(place, id, {"error": "States.Timeout", **fact})


def _waits_on(fact: Fact) -> str:
    resource = fact.get("resource", "")
    if resource.endswith(calls.CALLBACK):
        return "callback"
    return "child" if resource.startswith("startExecution.sync") else ""


def _declared(fact: Fact) -> dict[str, Any]:
    """What a Scheduled event says beside that it is one."""
    resource, service = fact.get("resource", ""), fact.get("resourceType", "")
    fields: dict[str, Any] = {
        "timeout_s": _seconds(fact.get("timeoutInSeconds")),
        "heartbeat_timeout_s": _seconds(fact.get("heartbeatInSeconds")),
        "region": fact.get("region", ""),
        "attributes": {"state_type": "Task"},
    }
    if service:
        fields["downstream"] = calls.downstream(service, None)
        fields["attributes"]["resource"] = f"{service}:{resource}"
    elif resource:
        service, _, fields["downstream"] = calls.call(resource)
        fields["region"] = fields["region"] or _region(resource)
        if service == "activity":
            fields["queue"] = fields["downstream"].removeprefix("activity:")
    return fields


def _seconds(value: int | None) -> float | None:
    return None if value is None or value >= NEVER_S else float(value)


def _region(arn: str) -> str:
    parts = arn.split(":", 4)
    return parts[3] if len(parts) == 5 and parts[0] == "arn" else ""
