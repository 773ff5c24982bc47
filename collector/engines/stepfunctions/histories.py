"""The events of an execution that were not fetched yet.

A token of GetExecutionHistory does not live until the next look. So an execution that was seen before is read from its
end, until an event comes that is known; one that was not is read from its beginning.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from collector.engines.stepfunctions.aws import Api
from collector.engines.stepfunctions.watching import Execution

_WHOLE_PAGE: Final = 200
_NEWEST_PAGE: Final = 50
"""Events have payloads of up to 256 KiB, and most looks find nothing new."""
ENDS: Final = frozenset(
    {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}
)
Events = list[dict[str, Any]]


def new_events(api: Api, execution: Execution, payloads: bool = True) -> Iterator[Events]:
    """Events after the last that was seen, in their order. Raises what Api.call raises."""
    asked: dict[str, Any] = {"executionArn": execution.arn, "includeExecutionData": payloads}
    if execution.seen == 0:
        asked["maxResults"] = _WHOLE_PAGE
        yield from filter(None, api.pages("get_execution_history", "events", **asked))
        return
    asked |= {"maxResults": _NEWEST_PAGE, "reverseOrder": True}
    new: Events = []
    for page in api.pages("get_execution_history", "events", **asked):
        found = [event for event in page if event["id"] > execution.seen]
        new += found
        # An endpoint that gives all events whatever is asked for has given the known ones too.
        if len(found) < len(page) or (found and found[-1]["id"] == execution.seen + 1):
            break
    if new:
        yield sorted(new, key=_id)


def last_id(events: Events) -> int:
    return max(map(_id, events))


def is_end(events: Events) -> bool:
    """Whether the last event ends the execution. A redrive goes on after it."""
    return max(events, key=_id)["type"] in ENDS


def map_runs_begun(events: Events) -> Iterator[tuple[str, datetime]]:
    """The map runs that were begun or redriven, and when."""
    for event in events:
        details = event.get("mapRunStartedEventDetails") or event.get("mapRunRedrivenEventDetails")
        if details and "mapRunArn" in details:
            yield details["mapRunArn"], datetime.fromisoformat(event["timestamp"])


def page_document(item: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """A page of a history with what it does not say itself: whose it is."""
    about = (
        "executionArn", "stateMachineArn", "stateMachineVersionArn", "stateMachineAliasArn", "name",
        "mapRunArn", "parentExecutionArn",
    )  # fmt: skip
    return {"events": events, **{key: item[key] for key in about if item.get(key)}}


def _id(event: Mapping[str, Any]) -> int:
    return int(event["id"])
