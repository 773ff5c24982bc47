"""A shop in which a downstream dies, with its real store: for tests of causes and incidents."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.store import Store

FLOWS: Final = {
    "order": ("charge", "reserve"),
    "invoice": ("collect", "render"),
    "refund": ("pay_back", "note"),
    "subscription": ("renew", "mail"),
}
"""By workflow the step that calls a payment provider and one that calls nobody."""
OPEN_FOR_S: Final = 60
LIMIT_S: Final = 30


class Shop:
    """Writes attempts that are open for 60 s and were allowed 30 s, and others that were not late."""

    def __init__(self, store: Store, now: datetime) -> None:
        self._store = store
        self._now = now
        self._number = 0
        self._random = Random(1)
        self._events: list[StepEvent] = []

    def attempts(self, n: int, workflow: str, step: str, *, late: bool, **said: Any) -> list[str]:
        """`n` executions that hang in this step, or were in it and have gone on. Their ids."""
        first = self._number
        for _ in range(n):
            self._number += 1
            began = self._now - timedelta(seconds=OPEN_FOR_S)
            name = {"workflow": workflow, "execution_id": f"{workflow}-{self._number}"}
            # Spread so that no dimension goes with another.
            queue, worker, region = (
                self._number * prime // 64 for prime in (7919, 104729, 1299709)
            )
            where = {
                "step": step,
                "queue": f"q{queue % 3}",
                "worker": f"w{worker % 12}",
                "region": ("eu", "us")[region % 2],
                **said,
            }
            self._say("workflow.started", began, name)
            self._say("step.started", began, {**name, **where, "timeout_s": LIMIT_S})
            if not late:
                self._say("step.completed", began + timedelta(seconds=2), {**name, "step": step})
                self._say("workflow.completed", began + timedelta(seconds=2), name)
        return [f"{workflow}-{number + 1}" for number in range(first, self._number)]

    def outage(self, n: int, downstream: str, flows: Sequence[str] = tuple(FLOWS)) -> None:
        """`n` executions hang in calls of the downstream, of these workflows together."""
        for workflow in flows:
            step = FLOWS[workflow][0]
            self.attempts(n // len(flows), workflow, step, late=True, downstream=downstream)

    def business(self, n: int, downstream: str = "paypal") -> None:
        """`n` executions of each step that were well."""
        for workflow, (paying, other) in FLOWS.items():
            self.attempts(n, workflow, paying, late=False, downstream=downstream)
            self.attempts(n, workflow, other, late=False)

    def recover(self, names: Sequence[str], step: str, at: datetime) -> None:
        """These executions complete the step."""
        for name in names:
            workflow = name.rpartition("-")[0]
            said = {"workflow": workflow, "execution_id": name, "step": step}
            self._say("step.completed", at, said)
            self._say("workflow.completed", at, {"workflow": workflow, "execution_id": name})

    def land(self, at: datetime | None = None) -> None:
        """Put into the store what was written so far."""
        events, self._events = self._events, []
        self._store.insert_events(events, [event.time for event in events], "shop")
        self._store.fold(at or self._now)

    def _say(self, event: str, at: datetime, said: dict[str, Any]) -> None:
        self._events.append(event_from_dict({"event": event, "time": at, **said}, at))
