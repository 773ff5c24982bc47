"""A history as the backend keeps it: the events of one generation, in their order, to step events.

A generation's history only grows, so it is read from its first event on, as far as there is no gap. What an event
means is decided by those before it alone; so of a longer part of a history, nothing that a shorter part told is taken
back. The one exception that the engine makes, a rewind, rewrites the history: then it is another one (see `documents`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import kinds, requests, values
from collector.engines.durable.facts import run_of
from collector.engines.durable.instances import is_entity
from collector.engines.durable.requests import Requests
from collector.engines.durable.telling import EVENT_SENT, TIMER, Call, Telling

Fact = Mapping[str, Any]
_BOOKKEEPING: Final = frozenset({"OrchestratorStarted", "OrchestratorCompleted"})


class History:
    """Reads the events of one generation. `looks`: the lengths that it had when it was seen at rest and running."""

    def __init__(
        self, namespace: str, instance: str, events: Sequence[Fact], looks: set[int]
    ) -> None:
        self.is_closed = False
        self.telling = Telling(namespace, instance, "", "")
        self._events = events
        self._looks = looks
        self._now: datetime | None = None
        self._shown: datetime | None = None
        self._calls: dict[int, Call] = {}
        self._requests = Requests(self.telling)
        self._under_way = 0
        self._turn_failures: list[Call] = []
        self._turn_timers: list[Call] = []
        self._is_suspended = False
        self._wait: tuple[str, datetime] | None = None
        self._rewinds = 0

    def read(self) -> Telling:
        """Every event that can be told. Nothing is, before it is known what was started, and when."""
        handlers = _HANDLERS
        for index, fact in enumerate(self._events):
            time = self._time(fact)
            handler = handlers.get(fact["k"])
            if handler is not None and (self.telling.run or fact["k"] in _FIRST):
                handler(self, fact, time)
            if fact["k"] not in _BOOKKEEPING:
                self._shown = time
            elif fact["k"] == "OrchestratorCompleted":
                self._at_rest(index)
        return self.telling

    def _time(self, fact: Fact) -> datetime | None:
        """When it happened; where its own clock cannot be believed, when the turn began that it belongs to."""
        own = values.time(fact.get("t"))
        if own is not None and (self._now is None or own > self._now):
            self._now = own
        return own or self._now

    def _execution_started(self, fact: Fact, time: datetime | None) -> None:
        if self.telling.run:
            return
        telling = self.telling
        telling.workflow = fact.get("n", "")
        telling.version = fact.get("v", "")
        telling.parent = fact.get("parent", "")
        telling.execution_id = fact.get("x", "")
        telling.run = run_of(fact, time)
        begin = values.time(fact.get("begin"))
        if time is not None and begin is not None:
            time = max(time, begin)
        telling.started(time, fact.get("trace", ""), fact.get("size"))

    def _orchestrator_started(self, _fact: Fact, _time: datetime | None) -> None:
        self._turn_failures = []
        self._turn_timers = []

    def _execution_completed(self, fact: Fact, time: datetime | None) -> None:
        status = fact.get("status") or kinds.STATUS_OF_KIND[fact["k"]]
        self.is_closed = True
        self._wait = None
        self.telling.closed(
            status, time, fact.get("err", ""), fact.get("msg", ""), fact.get("size")
        )

    def _rewound(self, _fact: Fact, time: datetime | None) -> None:
        self.is_closed = False
        self._rewinds += 1
        self.telling.changed("workflow.resumed", time)

    def _suspended(self, _fact: Fact, time: datetime | None) -> None:
        self._is_suspended = True
        self.telling.changed("workflow.suspended", time)

    def _resumed(self, _fact: Fact, time: datetime | None) -> None:
        self._is_suspended = False
        self.telling.changed("workflow.resumed", time)

    def _called(self, fact: Fact, time: datetime | None) -> None:
        kind = "task" if fact["k"] == "TaskScheduled" else "child"
        call = Call(kind, fact.get("n") or kind, self._run_id(fact["id"]), time)
        earlier = self._calls.get(fact["id"])
        if earlier is not None and earlier.is_open:
            return
        attributes: dict[str, Any] = {"instanceId": fact["child"]} if kind == "child" else {}
        again = self._tried_again(call, earlier)
        if again is not None:
            call.number = again.number + 1
            again.is_tried_again = True
            if again.run != call.run:
                attributes["retryOf"] = again.run
        call.number = fact.get("try") or call.number
        self._calls[fact["id"]] = call
        self._under_way += 1
        self.telling.began(
            call, fact.get("trace", ""), fact.get("size"), fact.get("max"), attributes
        )

    def _tried_again(self, call: Call, earlier: Call | None) -> Call | None:
        """The failed call that this one repeats.

        Either it has the same id (the Python and JavaScript SDKs), or it is the same step, made in the turn in which
        the timer fired that was created at the news of the failure (.NET and Java, and everything in a Functions host).
        """
        if earlier is not None and earlier.has_failed and earlier.step == call.step:
            for timer in self._turn_timers:
                if timer.after is earlier:
                    self.telling.retrying(earlier, timer)
            return earlier
        for timer in self._turn_timers:
            failed = timer.after
            if failed is None or failed.is_tried_again:
                continue
            if (failed.kind, failed.step) == (call.kind, call.step):
                return failed
        return None

    def _answered(self, fact: Fact, time: datetime | None) -> None:
        call = self._calls.get(fact.get("ref", 0))
        # A task that ran twice answers twice: the first answer counts, for the orchestrator too.
        if call is None or not call.is_open or call.kind == "timer":
            return
        self._end(call)
        if fact["k"].endswith("Failed"):
            call.has_failed = True
            self._turn_failures.append(call)
            self.telling.failed(call, time, fact.get("err", ""), fact.get("msg", ""))
        else:
            self.telling.ended(call, time, fact.get("size"))

    def _timer_created(self, fact: Fact, time: datetime | None) -> None:
        due = values.time(fact.get("due"))
        call = Call("timer", TIMER, self._run_id(fact["id"]), time, due=due)
        if self._turn_failures:
            call.after = self._turn_failures.pop(0)
        earlier = self._calls.get(fact["id"])
        if earlier is not None and earlier.is_open:
            return
        self._calls[fact["id"]] = call
        self._under_way += 1
        self.telling.began(
            call, attributes={"afterFailureOf": call.after.step} if call.after else None
        )

    def _timer_fired(self, fact: Fact, time: datetime | None) -> None:
        call = self._calls.get(fact.get("ref", 0))
        if call is None or not call.is_open or call.kind != "timer":
            return
        self._end(call)
        self._turn_timers.append(call)
        # Some backends stamp the firing when they store the timer.
        if time is not None and call.due is not None:
            time = max(time, call.due)
        self.telling.ended(call, time)

    def _event_sent(self, fact: Fact, time: datetime | None) -> None:
        request = fact.get("req") or self._run_id(fact["id"])
        if not is_entity(fact.get("child", "")):
            self.telling.sent(EVENT_SENT, request, time)
        elif fact.get("lock") or (fact.get("req") and not fact.get("only")):
            self._requests.asked(fact, time, request, is_lock=bool(fact.get("lock")))
        else:
            self._requests.signaled(fact, time, request)

    def _entity(self, fact: Fact, time: datetime | None) -> None:
        self._requests.happened(fact, time)

    def _event_raised(self, fact: Fact, time: datetime | None) -> None:
        name = fact.get("n", "")
        if not self._requests.answered(fact, time, name) and self._wait is not None:
            self.telling.raised(*self._wait, time, name)
            self._wait = None

    def _at_rest(self, index: int) -> None:
        """A turn is over. With nothing under way, it can only be waiting for an event from outside, or have ended.

        Which of both shows in what follows; or, for the last turn, in that it was seen running so.
        """
        if self.is_closed or self._is_suspended or not self.telling.run or self._wait:
            return
        if self._under_way or self._requests.under_way:
            return
        behind = self._events[index + 1]["k"] if index + 1 < len(self._events) else ""
        went_on = behind == "OrchestratorStarted" or index + 1 in self._looks
        if went_on and self._shown is not None:
            self._wait = (self.telling.waiting(self._shown), self._shown)

    def _end(self, call: Call) -> None:
        call.is_open = False
        self._under_way -= 1

    def _run_id(self, id: int) -> str:
        """A task's id is its step run, as it is in its spans. What is called after a rewind is called anew."""
        return f"{id}r{self._rewinds}" if self._rewinds else str(id)


_FIRST: Final = frozenset({"ExecutionStarted", "OrchestratorStarted"})
_HANDLERS: Final = {
    "ExecutionStarted": History._execution_started,
    "OrchestratorStarted": History._orchestrator_started,
    **dict.fromkeys(kinds.COMPLETIONS, History._execution_completed),
    "ExecutionRewound": History._rewound,
    "RewindEvent": History._rewound,
    "ExecutionSuspended": History._suspended,
    "ExecutionResumed": History._resumed,
    "TaskScheduled": History._called,
    "SubOrchestrationInstanceCreated": History._called,
    "TaskCompleted": History._answered,
    "TaskFailed": History._answered,
    "SubOrchestrationInstanceCompleted": History._answered,
    "SubOrchestrationInstanceFailed": History._answered,
    "TimerCreated": History._timer_created,
    "TimerFired": History._timer_fired,
    "EventSent": History._event_sent,
    "EventRaised": History._event_raised,
    **dict.fromkeys(requests.KINDS, History._entity),
}
