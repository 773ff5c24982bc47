"""Histories made up as .NET's orchestrators write them, for tests that need many: every action has the next id."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

BEGAN = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Maker:
    """Writes one history, turn by turn."""

    def __init__(self, data: st.DataObject) -> None:
        self.events: list[dict[str, Any]] = []
        self.rests: list[int] = []
        """Lengths of the history at the ends of turns."""
        self._data = data
        self._now = BEGAN
        self._ids = 0
        self._names = 0
        self._tasks: dict[int, str] = {}
        self._timers: dict[int, tuple[str, str]] = {}
        self._again: dict[int, str] = {}

    def make(self) -> list[dict[str, Any]]:
        instance = {"instanceId": "made", "executionId": "x1"}
        self._turn([("executionStarted", {"name": "made", "orchestrationInstance": instance})])
        for _ in range(self._draw(0, 8)):
            self._turn(self._arrivals())
        if self._draw(0, 1):
            self._add("orchestratorStarted", {})
            self._add("eventRaised", {"name": "stop"})
            status = {"orchestrationStatus": "ORCHESTRATION_STATUS_COMPLETED"}
            self._add("executionCompleted", status)
            self._add("orchestratorCompleted", {})
            self.rests.append(len(self.events))
        return self.events

    def _arrivals(self) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        for _ in range(self._draw(1, 2)):
            if self._tasks and self._draw(0, 2):
                found.append(self._answer())
            elif self._timers:
                id = next(iter(self._timers))
                due, again = self._timers.pop(id)
                self._now = max(self._now, datetime.fromisoformat(due))
                self._again[id] = again
                found.append(("timerFired", {"timerId": id, "fireAt": due}))
        return found or [("eventRaised", {"name": "go"})]

    def _answer(self) -> tuple[str, dict[str, Any]]:
        id = self._data.draw(st.sampled_from(sorted(self._tasks)))
        name = self._tasks.pop(id)
        if self._draw(0, 1):
            failure = {"errorType": "E", "errorMessage": name}
            return "taskFailed", {"taskScheduledId": id, "failureDetails": failure}
        return "taskCompleted", {"taskScheduledId": id}

    def _turn(self, arrivals: list[tuple[str, dict[str, Any]]]) -> None:
        self._add("orchestratorStarted", {})
        for kind, body in arrivals:
            self._add(kind, body)
        for kind, body in arrivals:
            if kind == "taskFailed":
                self._backoff(body["failureDetails"]["errorMessage"])
            if kind == "timerFired":
                self._schedule(self._again[body["timerId"]])
        for _ in range(self._draw(0, 2)):
            self._names += 1
            self._schedule(f"step {self._names}")
        self._add("orchestratorCompleted", {})
        self.rests.append(len(self.events))

    def _backoff(self, name: str) -> None:
        due = (self._now + timedelta(seconds=self._draw(1, 5))).isoformat()
        self._timers[self._ids] = (due, name)
        self._add("timerCreated", {"fireAt": due}, self._next())

    def _schedule(self, name: str) -> None:
        self._tasks[self._ids] = name
        self._add("taskScheduled", {"name": name, "input": "1"}, self._next())

    def _next(self) -> int:
        self._ids += 1
        return self._ids - 1

    def _add(self, kind: str, body: dict[str, Any], id: int = -1) -> None:
        self._now += timedelta(milliseconds=self._draw(1, 50))
        self.events.append({"eventId": id, "timestamp": self._now.isoformat(), kind: body})

    def _draw(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))
