"""What is told of one run (a generation) of an orchestration, as step events.

Event ids say what an event is about, not where it was read, so that one fact has one id on every road.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from collector.engines.durable import values
from collector.engines.durable.kinds import CLOSING
from stallwatch.model.events import StepEvent

ENGINE: Final = "durable"
TIMER: Final = "timer"
EXTERNAL_EVENT: Final = "external event"
LOCK: Final = "lock"
EVENT_SENT: Final = "event to instance"
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_FUNCTION_TIMEOUT: Final = re.compile(
    r"FunctionTimeout|Timeout value of \S+ (was )?exceeded by function"
)


@dataclass(slots=True)
class Call:
    """One try of something that an orchestrator waits for. `run` is the step run, `number` the attempt."""

    kind: str
    """`task`, `child`, `timer`, `entity` or `lock`."""
    step: str
    run: str
    began: datetime | None
    number: int = 1
    due: datetime | None = None
    is_open: bool = True
    has_failed: bool = False
    is_tried_again: bool = False
    after: "Call | None" = None
    """Of a timer: the failed call whose news it was created at, so that it may be its backoff."""


@dataclass(slots=True)
class Telling:
    """Events of one run; the same id is told once."""

    namespace: str
    instance: str
    workflow: str
    run: str
    version: str = ""
    parent: str = ""
    execution_id: str = ""
    label: str = ""
    """What event ids begin with where the run is not known."""
    events: dict[str, StepEvent] = field(default_factory=dict)

    def started(self, time: datetime | None, trace: str = "", size: int | None = None) -> None:
        self._tell(
            "workflow.started",
            time,
            "",
            payload_bytes=size,
            **_trace(trace),
            attributes=self._ids(),
        )

    def closed(
        self, status: str, time: datetime | None, error: str = "", message: str = "",
        size: int | None = None,
    ) -> None:  # fmt: skip
        """`status` as in `OrchestrationStatus`; one that closes nothing tells nothing."""
        if status in CLOSING:
            self._tell(
                CLOSING[status], time, _at(time),
                error_type=error, error_message=message, payload_bytes=size,
            )  # fmt: skip

    def changed(self, event: str, time: datetime | None) -> None:
        """`workflow.suspended` or `workflow.resumed`."""
        self._tell(event, time, _at(time))

    def began(
        self, call: Call, trace: str = "", size: int | None = None, most: int | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """A call was made: a task, an entity's operation and a lock run; a child and a timer are waited for."""
        waits = {"child": "child", "timer": "timer"}.get(call.kind, "")
        self._step(
            "step.waiting" if waits else "step.started", call.began, call,
            waiting_on=waits, due=call.due, payload_bytes=size, max_attempts=most, **_trace(trace),
            attributes=attributes or {},
        )  # fmt: skip

    def ended(self, call: Call, time: datetime | None, size: int | None = None) -> None:
        self._step("step.completed", _not_before(time, call), call, payload_bytes=size)

    def failed(self, call: Call, time: datetime | None, error: str, message: str) -> None:
        is_timeout = _FUNCTION_TIMEOUT.search(error) or _FUNCTION_TIMEOUT.search(message)
        event = "step.timed_out" if is_timeout else "step.failed"
        self._step(event, _not_before(time, call), call, error_type=error, error_message=message)

    def retrying(self, call: Call, timer: Call) -> None:
        """That the try after `call` waited for `timer`."""
        backoff_s = None
        if timer.began is not None and timer.due is not None and timer.due >= timer.began:
            backoff_s = (timer.due - timer.began).total_seconds()
        self._step("step.retrying", _not_before(timer.began, call), call, backoff_s=backoff_s)

    def sent(self, step: str, run: str, time: datetime | None) -> None:
        """A one-way message: there is nothing to wait for."""
        self._step("step.completed", time, Call("sent", step, run, time))

    def waiting(self, since: datetime) -> str:
        """Nothing is under way: only an event from outside can wake it. The wait's step run is given back."""
        call = Call("event", EXTERNAL_EVENT, f"since {values.written(since)}", since)
        self._step("step.waiting", since, call, waiting_on="signal")
        return call.run

    def raised(self, run: str, since: datetime, time: datetime | None, name: str) -> None:
        """An event from outside ended the wait that `waiting` told."""
        call = Call("event", EXTERNAL_EVENT, run, since)
        self._step("step.completed", _not_before(time, call), call, attributes={"event": name})

    def _ids(self) -> dict[str, str]:
        return {"executionId": self.execution_id} if self.execution_id else {}

    def _step(self, event: str, time: datetime | None, call: Call, **fields: Any) -> None:
        self._tell(
            event, time, f"{call.step}:{call.run}:{call.number}",
            step=call.step, step_run_id=call.run, attempt=call.number, **fields,
        )  # fmt: skip

    def _tell(self, event: str, time: datetime | None, about: str, **fields: Any) -> None:
        # What has no time that can be believed is left out: a wrong one would be worse than none.
        if time is None:
            return
        event_id = f"{self.label or self.run}:{event}:{about}"
        if event_id not in self.events:
            self.events[event_id] = StepEvent(
                event=event, time=time, workflow=self.workflow, execution_id=self.instance,
                engine=ENGINE, namespace=self.namespace, run_id=self.run,
                workflow_version=self.version, parent_execution_id=self.parent, event_id=event_id,
                **fields,
            )  # fmt: skip


def _not_before(time: datetime | None, call: Call) -> datetime | None:
    """The clocks of workers and of the orchestrator differ: nothing ends before it began."""
    if time is None or call.began is None:
        return time
    return max(time, call.began)


def _at(time: datetime | None) -> str:
    return "" if time is None else values.written(time)


def _trace(traceparent: str) -> dict[str, str]:
    found = _TRACEPARENT.fullmatch(traceparent)
    return {"trace_id": found[1], "span_id": found[2]} if found else {}
