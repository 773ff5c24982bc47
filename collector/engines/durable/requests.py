"""What an orchestration asks of entities: operations, locks, signals. Each request has an id of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from collector.engines.durable.instances import entity_step
from collector.engines.durable.telling import LOCK, Call, Telling

Fact = Mapping[str, Any]
KINDS: Final = frozenset({
    "EntityOperationSignaled", "EntityOperationCalled", "EntityLockRequested",
    "EntityOperationCompleted", "EntityOperationFailed", "EntityLockGranted",
})  # fmt: skip
"""The events that newer backends have for it. Else it is told by EventSent, and answered by EventRaised."""


class Requests:
    """The requests of one run. `under_way` counts those that have no answer."""

    def __init__(self, telling: Telling) -> None:
        self.under_way = 0
        self._telling = telling
        self._calls: dict[str, Call] = {}

    def happened(self, fact: Fact, time: datetime | None) -> None:
        """An event that is one of KINDS."""
        kind, request = fact["k"], fact.get("req", "")
        if kind == "EntityOperationSignaled":
            self.signaled(fact, time, request)
        elif kind in ("EntityOperationCalled", "EntityLockRequested"):
            self.asked(fact, time, request, is_lock=kind == "EntityLockRequested")
        else:
            self.answered(fact, time, request)

    def asked(self, fact: Fact, time: datetime | None, request: str, is_lock: bool) -> None:
        if request in self._calls:
            return
        step = LOCK if is_lock else entity_step(fact.get("child", ""), fact.get("op", ""))
        call = self._calls[request] = Call("lock" if is_lock else "entity", step, request, time)
        self.under_way += 1
        self._telling.began(call, fact.get("trace", ""), fact.get("size"))

    def answered(self, fact: Fact, time: datetime | None, request: str) -> bool:
        """Whether it is the answer of a request."""
        call = self._calls.get(request)
        if call is None:
            return False
        if call.is_open:
            call.is_open = False
            self.under_way -= 1
            if fact["k"] == "EntityOperationFailed":
                self._telling.failed(call, time, fact.get("err", ""), fact.get("msg", ""))
            else:
                self._telling.ended(call, time, fact.get("size"))
        return True

    def signaled(self, fact: Fact, time: datetime | None, request: str) -> None:
        step = entity_step(fact.get("child", ""), fact.get("op", ""))
        self._telling.sent(f"signal {step}", request, time)
