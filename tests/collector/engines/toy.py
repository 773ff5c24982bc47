"""The smallest engine: documents `{"run": …, "did": […]}`, of which each deed is a fact."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.engines.reading import (
    Delivery,
    Engine,
    Facts,
    Fragment,
    Hints,
    Parts,
    Piece,
    Poller,
    Reading,
)
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition
from stallwatch.model.events import StepEvent

BEGAN = datetime(2026, 1, 5, 11, tzinfo=UTC)


class Toy(Engine):
    """A deed is `started`, `ended` or a step's name; a step is told only when the start is known."""

    name = "toy"

    def parts(self, document: Any, hints: Hints) -> Parts:
        if "timeout_s" in document:
            definition = Definition(
                engine=self.name, workflow="toy", source="server", timeout_s=document["timeout_s"]
            )
            return Parts(definitions=[definition])
        run = document.get("run", hints.execution_id)
        if not run:
            raise InputError("run: is missing")
        return Parts([Fragment(run, {str(n): deed for n, deed in document["did"]})])

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        reading = Reading()
        for number, deed in sorted(facts.items(), key=lambda fact: int(fact[0])):
            if deed.startswith("?"):
                reading.kinds["unknown", deed] += 1
            elif deed == "started" or "0" in facts:
                reading.events.append(_event(execution, namespace, int(number), deed))
        reading.is_closed = "ended" in facts.values()
        return reading

    def delivery(self, document: Any) -> Delivery | None:
        if "records" not in document:
            return None
        return Delivery(document["records"], {"requestId": document["requestId"]})


def _event(execution: str, namespace: str, number: int, deed: str) -> StepEvent:
    event = {"started": "workflow.started", "ended": "workflow.completed"}.get(
        deed, "step.completed"
    )
    return StepEvent(
        event=event,
        time=BEGAN - timedelta(days=20_000)
        if deed == "garbage"
        else BEGAN + timedelta(seconds=number),
        workflow="toy",
        execution_id=execution,
        step=deed if event == "step.completed" else "",
        engine="toy",
        namespace=namespace,
        event_id=f"toy:{execution}:{number}",
    )


def did(run: str, *deeds: str, first: int = 0) -> dict[str, Any]:
    return {"run": run, "did": list(enumerate(deeds, first))}


@dataclass
class ToyPoller(Poller):
    """Gives what it is told to, and remembers with which marks it was asked."""

    looks: list[list[Piece | Exception]] = field(default_factory=list)
    asked: Counter[str | None] = field(default_factory=Counter)
    lag_s: float = 0.0

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        self.asked[mark] += 1
        for piece in self.looks.pop(0) if self.looks else []:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def complete_since(self, began_at: datetime) -> datetime:
        return began_at - timedelta(seconds=self.lag_s)
