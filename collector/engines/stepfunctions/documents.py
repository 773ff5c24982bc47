"""Which document of Step Functions this is, and what it says."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from collector.engines.reading import Fragment, Hints, Parts
from collector.engines.stepfunctions import arns, asl, statuses
from collector.engines.stepfunctions.facts import Event
from collector.engines.stepfunctions.moves import is_known
from collector.engines.stepfunctions.values import Fields
from stallwatch.errors import InputError

_KNOWN: Final = (
    "a GetExecutionHistory, DescribeExecution, ListExecutions or DescribeMapRun response, a definition, "
    "an execution status change, or an event of a state machine's log"
)


def parts(document: Any, hints: Hints) -> Parts:
    """What one document says. Raises InputError that names the field."""
    said = Fields(document)
    if "StartAt" in said or "definition" in said:
        return Parts(definitions=asl.definitions(document, hints))
    return Parts(_reader(said)(said, hints))


def _reader(said: Fields) -> Callable[[Fields, Hints], list[Fragment]]:
    if "events" in said:
        return _history
    if "type" in said and "timestamp" in said:
        return lambda event, hints: _history(Fields({"events": [event.value]}), hints)
    if "execution_arn" in said:
        return _logged
    if "detail" in said or "detail-type" in said:
        return lambda event, _: [statuses.change(event)]
    if "executionCounts" in said or "itemCounts" in said:
        return lambda run, hints: [statuses.map_run(run, hints)]
    if "executionArn" in said and "status" in said:
        return lambda status, _: [statuses.status(status)]
    if "executions" in said:
        return lambda listed, _: [statuses.status(one) for one in _items(listed, "executions")]
    raise InputError(f"is none of Step Functions: {_KNOWN}")


def _history(said: Fields, hints: Hints) -> list[Fragment]:
    """GetExecutionHistory, or a page of it; whose it is stands beside `events`, or in the hints.

    Beside may also be `stateMachineVersionArn`, `stateMachineAliasArn`, `mapRunArn`, `traceHeader`, and
    `parentExecutionArn`, which is of our own making: a child of a map run does not say whose child it is.
    """
    execution = said.text("executionArn") or hints.execution_id
    if not execution:
        raise said.wrong(
            "executionArn",
            'a history does not say whose it is: wrap it, {"executionArn": …, "events": […]}, or say it beside it '
            "(`import --execution-id`, over HTTP `?execution_id=`)",
        )
    events = [_api_event(one) for one in _items(said, "events")]
    # A later page may have nothing but what is newer than Stallwatch; a beginning without a known type is no history.
    first = next((event for event in events if event.id == 1), None)
    if first is not None and not any(is_known(event.type) for event in events):
        raise said.wrong("events", f"not one type is known, the first is {first.type[:100]!r}")
    facts = statuses.beside(said)
    if not arns.execution(execution):
        facts["about"] = {"workflow": hints.workflow or execution}
    fragments = [Fragment(execution, facts)] if events or facts else []
    redrives = 0
    for event in sorted(events, key=lambda event: event.id):
        if event.type == "ExecutionRedriven":
            redrives = event.details.number("redriveCount") or redrives + 1
        # Behind a redrive, the event itself tells: a page does not know how many there were before it.
        facts |= event.facts() | ({} if redrives else event.end(0))
        fragments += event.child(execution)
    return fragments


def _logged(said: Fields, _hints: Hints) -> list[Fragment]:
    """One event as state machines log it: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html."""
    execution = said.text("execution_arn", required=True)
    if not arns.execution(execution):
        raise said.wrong("execution_arn", "must be the ARN of an execution")
    event = Event(
        said.number("id"),
        said.number("previous_event_id") or 0,
        said,
        said.time("event_timestamp"),
    )
    facts = event.facts() | event.end(said.number("redrive_count") or 0)
    return [Fragment(execution, facts), *event.child(execution)]


def _api_event(said: Fields) -> Event:
    return Event(
        said.number("id"), said.number("previousEventId") or 0, said, said.time("timestamp")
    )


def _items(said: Fields, key: str) -> Iterator[Fields]:
    items = said.value[key]
    if not isinstance(items, list):
        raise said.wrong(key, "must be an array")
    for index, item in enumerate(items):
        yield Fields(item, f"{key}[{index}]")
