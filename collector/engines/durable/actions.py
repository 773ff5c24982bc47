"""What an orchestrator did, worked out again from a history that the HTTP management API gave (see `management`).

1. Take apart what the orchestrator did (with when) and what arrived for it (in its order).
2. Number what it did: .NET numbers everything from 0 on, in the order in which it is done.
3. Find the answer of each; then the timers that were backoffs, and the tries behind them.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from collector.engines.durable import values
from collector.engines.durable.telling import TIMER, Call

Fact = Mapping[str, Any]
_ANSWERS: Final = {
    "TaskCompleted": "task",
    "TaskFailed": "task",
    "SubOrchestrationInstanceCompleted": "child",
    "SubOrchestrationInstanceFailed": "child",
}
_ACTIONS: Final = {
    "TaskScheduled": "task",
    "SubOrchestrationInstanceCreated": "child",
    "TimerCreated": "timer",
    "EventSent": "sent",
}
_LAST: Final = 2**62


@dataclass(slots=True)
class Action:
    """Something the orchestrator did; `behind` counts the arrivals known to be before it, None if that is not known."""

    kind: str
    fact: Fact
    time: datetime
    behind: int | None
    answer: int | None = None
    """The place of the arrival that answered it."""
    call: Call = field(init=False)

    @property
    def ended(self) -> datetime:
        """When an answer tells that it was given."""
        return values.time(self.fact.get("t")) or self.time

    @property
    def order(self) -> tuple[datetime, str, int]:
        """By time. Equal calls at the same instant are told apart by their answers, which keep their places."""
        last = _LAST if self.answer is None else self.answer
        return (self.time, self.fact.get("n", ""), last)


class Actions:
    """A history taken apart: `actions` in their order, `arrivals` in theirs, `answered` by the place of the answer."""

    def __init__(self, events: Sequence[Fact], began: datetime | None) -> None:
        self.arrivals: list[Fact] = []
        self.actions: list[Action] = []
        self._take_apart(events, began)
        self._timers = [action for action in self.actions if action.kind == "timer"]
        self.answered = {
            action.answer: action for action in self.actions if action.answer is not None
        }
        self._number()
        self._find_firings()
        self._find_tries()

    def idle_since(self, place: int, actions: Sequence[Action]) -> datetime | None:
        """Since when nothing of `actions` was under way before the arrival at `place`; None if something was."""
        if any(
            action.kind != "sent" and (action.answer is None or action.answer >= place)
            for action in actions
        ):
            return None
        times = [values.time(event.get("t")) for event in self.arrivals[:place]]
        arrived = [time for time in times if time is not None]
        return max([*arrived, *(action.time for action in actions)], default=None)

    def _take_apart(self, events: Sequence[Fact], began: datetime | None) -> None:
        known = began
        for event in events:
            known = values.time(event.get("t")) or known
            if known is None:
                continue
            place = len(self.arrivals)
            if event["k"] in _ACTIONS:
                self.actions.append(Action(_ACTIONS[event["k"]], event, known, place))
                continue
            if event["k"] in _ANSWERS:
                called = values.time(event.get("at")) or known
                self.actions.append(Action(_ANSWERS[event["k"]], event, called, None, place))
            self.arrivals.append(event)
        self.actions.sort(key=lambda action: action.order)

    def _number(self) -> None:
        for number, action in enumerate(self.actions):
            step, due = action.fact.get("n") or action.kind, None
            if action.kind == "timer":
                step, due = TIMER, values.time(action.fact.get("due"))
            action.call = Call(action.kind, step, str(number), action.time, due=due)
            action.call.has_failed = action.fact["k"].endswith("Failed")

    def _find_firings(self) -> None:
        """A firing says when it was due, and nothing else of its timer."""
        unfired: dict[str, deque[Action]] = defaultdict(deque)
        for timer in self._timers:
            unfired[timer.fact.get("due", "")].append(timer)
        for place, event in enumerate(self.arrivals):
            if event["k"] == "TimerFired" and unfired[event.get("due", "")]:
                timer = unfired[event.get("due", "")].popleft()
                timer.answer = place
                self.answered[place] = timer

    def _find_tries(self) -> None:
        backoffs: dict[tuple[str, str], list[Action]] = defaultdict(list)
        for timer, failed in self._backoffs():
            timer.call.after = failed.call
            backoffs[failed.kind, failed.call.step].append(timer)
        for action in self.actions:
            call = action.call
            for timer in backoffs[action.kind, call.step]:
                before = timer.call.after
                is_over = timer.call.due is not None and timer.call.due <= action.time
                if before is not None and is_over:
                    call.number = before.number + 1
                    call.after = before
                    backoffs[action.kind, call.step].remove(timer)
                    break
            call.number = action.fact.get("try") or call.number

    def _backoffs(self) -> Iterator[tuple[Action, Action]]:
        """The timers that may be backoffs, each with the failure at whose news it was made.

        Of as many timers as were made in one turn, each belongs to one of the last failures before it. News of a
        failure is older than the turn if a timer was made since, or if what was called since has been answered.
        """
        earlier = 0
        last_call: datetime | None = None
        for behind, made in groupby(self._timers, key=lambda timer: timer.behind or 0):
            beside = list(made)
            arrived = [self.answered[p] for p in range(earlier, behind) if p in self.answered]
            calls = [action.time for action in arrived if action.kind != "timer"]
            last_call = max([*calls, *([last_call] if last_call else [])], default=None)
            fresh = [
                action
                for action in arrived
                if action.call.has_failed and (last_call is None or action.ended >= last_call)
            ]
            yield from zip(beside[-len(fresh) :], fresh[-len(beside) :], strict=False)
            earlier = behind
