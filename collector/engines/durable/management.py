"""A history as the HTTP management API gives it, to step events.

The API takes the turns and every id out of a history, and folds what was scheduled into what answered it:
TaskScheduled into TaskCompleted and TaskFailed (`ScheduledTime`, `FunctionName`), SubOrchestrationInstanceCreated
likewise (Durable Functions extension, `DurableClient.GetDurableOrchestrationStatusAsync`). So places in it move, and
ids are worked out again, of the whole document. Only what happened before a thing decides about it: a later document of
the same generation tells the same of it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import kinds, requests, values
from collector.engines.durable.actions import Action, Actions
from collector.engines.durable.facts import run_of
from collector.engines.durable.instances import is_entity
from collector.engines.durable.requests import Requests
from collector.engines.durable.status import Status, said, said_of_status
from collector.engines.durable.telling import EVENT_SENT, Telling

Fact = Mapping[str, Any]
_CHANGES: Final = {
    "ExecutionSuspended": "workflow.suspended",
    "ExecutionResumed": "workflow.resumed",
    "ExecutionRewound": "workflow.resumed",
    "RewindEvent": "workflow.resumed",
}
# Entities answer by an event that is named after the request.
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def said_of_history(status: Status, events: Sequence[Fact]) -> tuple[str, dict[str, Any]]:
    """The run, and what is told of it, ready. The kinds of events that nothing is made of are facts too."""
    started = next((event for event in events if event["k"] == "ExecutionStarted"), {})
    began = values.time(started.get("t")) or status.created
    run = run_of(started, began)
    telling = Telling("", status.instance, started.get("n") or status.name, run, status.version)
    history = Actions(events, began)
    found = {
        f"other|{place}": {"k": event["k"]}
        for place, event in enumerate(history.arrivals)
        if kinds.fate(event["k"]) != "mapped"
    }
    if began is None:
        return run, found
    telling.started(began)
    told = _Told(telling, history)
    told.tell(is_running=status.status == "Running")
    found |= said(telling, "historyEvents")
    if status.closes and not told.is_ended:
        found |= said_of_status(status, only_end=True)
    return run, found


class _Told:
    def __init__(self, telling: Telling, history: Actions) -> None:
        self.is_ended = any(event["k"] in kinds.COMPLETIONS for event in history.arrivals)
        self._telling = telling
        self._history = history
        self._requests = Requests(telling)

    def tell(self, is_running: bool) -> None:
        history = self._history
        for action in history.actions:
            self._tell_action(action)
        for place, event in enumerate(history.arrivals):
            self._tell_arrival(place, event)
        if is_running and not self.is_ended and not self._may_be_answered():
            since = history.idle_since(len(history.arrivals), history.actions)
            if since is not None:
                self._telling.waiting(since)

    def _tell_action(self, action: Action) -> None:
        call, fact = action.call, action.fact
        if call.kind == "sent":
            if is_entity(fact.get("child", "")):
                self._requests.signaled(fact, action.time, call.run)
            else:
                self._telling.sent(EVENT_SENT, call.run, action.time)
            return
        attributes: dict[str, Any] = {}
        if call.after is not None and call.kind == "timer":
            attributes["afterFailureOf"] = call.after.step
        elif call.after is not None:
            attributes["retryOf"] = call.after.run
        self._telling.began(call, most=fact.get("max"), attributes=attributes)

    def _tell_arrival(self, place: int, event: Fact) -> None:
        kind, time = event["k"], values.time(event.get("t"))
        telling, answered = self._telling, self._history.answered.get(place)
        if answered is not None and answered.call.has_failed:
            telling.failed(answered.call, time, event.get("err", ""), event.get("msg", ""))
        elif answered is not None:
            due = answered.call.due
            time = max(time, due) if time and due else time
            telling.ended(answered.call, time, event.get("size"))
        elif kind == "EventRaised" and time is not None:
            self._tell_raised(place, time, event.get("n", ""))
        elif kind in requests.KINDS:
            self._requests.happened(event, time)
        elif kind in _CHANGES:
            telling.changed(_CHANGES[kind], time)
        elif kind in kinds.COMPLETIONS:
            ended = event.get("status") or kinds.STATUS_OF_KIND[kind]
            error, message = event.get("err", ""), event.get("msg", "")
            telling.closed(ended, time, error, message, event.get("size"))

    def _tell_raised(self, place: int, time: datetime, name: str) -> None:
        if _GUID.fullmatch(name):
            return
        before = [action for action in self._history.actions if action.time < time]
        since = self._history.idle_since(place, before)
        if since is not None:
            self._telling.raised(self._telling.waiting(since), since, time, name)

    def _may_be_answered(self) -> bool:
        """Whether an entity owes an answer, or was just spoken to so that what was said may have been a call."""
        return self._requests.under_way > 0 or any(
            action.kind == "sent"
            and action.behind == len(self._history.arrivals)
            and is_entity(action.fact.get("child", ""))
            and not action.fact.get("only")
            for action in self._history.actions
        )
