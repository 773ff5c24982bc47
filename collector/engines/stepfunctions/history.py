"""All that is known of an execution, to its step events."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from collector.engines.reading import Facts, Fate, Reading
from collector.engines.stepfunctions import arns
from collector.engines.stepfunctions.attempts import Fact
from collector.engines.stepfunctions.facts import ENDS
from collector.engines.stepfunctions.moves import IGNORED, MOVES
from collector.engines.stepfunctions.statuses import ENDED, PENDING
from collector.engines.stepfunctions.walking import Walk
from stallwatch.model.events import StepEvent

ENGINE: Final = "stepfunctions"
_PAUSES: Final = {"pending": "workflow.suspended", "redriven": "workflow.resumed"}
_BESIDE_THE_START: Final = ("version", "parent", "map_run", "trace")


def read(execution: str, facts: Facts, namespace: str) -> Reading:
    """The step events of an execution; none while its state machine is not known."""
    reading = Reading(kinds=_kinds(facts))
    arn = arns.execution(execution)
    workflow = arn.machine if arn else facts.get("about", {}).get("workflow", "")
    if workflow:
        teller = _Teller(execution, workflow, namespace, facts)
        of_workflow = sorted(teller.of_workflow(), key=lambda event: (event.time, event.event_id))
        reading.events = [*of_workflow, *teller.of_steps()]
        reading.is_closed = teller.is_closed
    return reading


class _Teller:
    """Makes the step events of one execution."""

    def __init__(self, execution: str, workflow: str, namespace: str, facts: Facts) -> None:
        self._facts = facts
        self._said: dict[str, Any] = {
            "engine": ENGINE,
            "namespace": namespace,
            "workflow": workflow,
            "execution_id": execution,
        }
        self._redrives = 0
        self._ends = {-1}

    @property
    def is_closed(self) -> bool:
        """It ended after its last redrive. To be asked when all was told."""
        return max(self._ends) >= self._redrives

    def of_workflow(self) -> Iterator[StepEvent]:
        """What every road knows of the whole execution."""
        for identity, fact in self._facts.items():
            what, _, number = identity.partition("/")
            if what == "started":
                at = datetime.fromisoformat(fact["at"])
                yield StepEvent(event="workflow.started", time=at, event_id=what, **self._said)
                yield from self._beside_the_start(at)
            elif what == "ended":
                yield self._end(identity, int(number), fact)
            elif what in _PAUSES:
                if what == "redriven":
                    self._redrives = max(self._redrives, int(number))
                yield StepEvent(
                    event=_PAUSES[what],
                    time=datetime.fromisoformat(fact["at"]),
                    event_id=identity,
                    attributes={"redrives": number},
                    **self._said,
                )

    def of_steps(self) -> Iterator[StepEvent]:
        """What the events of the history say."""
        walk = Walk(self._facts)
        for told, at, event_id in walk:
            yield StepEvent(
                event=f"step.{told.kind}",
                time=at,
                event_id=event_id,
                step=told.state.name,
                step_run_id=str(told.state.entered),
                attempt=told.state.attempt,
                branch=told.branch,
                **told.fields,
                **self._said,
            )
        for id, redrives in walk.redriven_ends:
            fact = self._facts[str(id)]
            yield self._end(str(id), redrives, {**fact, "status": ENDS[fact["type"]]})

    def _beside_the_start(self, at: datetime) -> Iterator[StepEvent]:
        """Each said by one document or the other: an event of its own, so that none has to wait for another."""
        for what in _BESIDE_THE_START:
            fact = self._facts.get(what)
            if fact is None:
                continue
            fields: dict[str, Any] = {}
            if what == "version":
                fields["workflow_version"] = fact.get("version") or fact.get("alias", "")
                if "alias" in fact:
                    fields["attributes"] = {"alias": fact["alias"]}
            elif what == "parent":
                fields["parent_execution_id"] = fact["execution"]
            elif what == "map_run":
                fields["attributes"] = {"map_run": fact["arn"]}
            else:
                fields["trace_id"] = fact["trace_id"]
            yield StepEvent(
                event="workflow.started", time=at, event_id=what, **fields, **self._said
            )

    def _end(self, event_id: str, redrives: int, fact: Fact) -> StepEvent:
        self._ends.add(redrives)
        return StepEvent(
            event=ENDED[fact["status"]],
            time=datetime.fromisoformat(fact["at"]),
            event_id=event_id,
            error_type=fact.get("error", ""),
            error_message=fact.get("cause", ""),
            **self._said,
        )


def _kinds(facts: Facts) -> Counter[tuple[Fate, str]]:
    kinds: Counter[tuple[Fate, str]] = Counter()
    for identity, fact in facts.items():
        if identity.isdigit():
            kinds[_fate(fact["type"]), fact["type"]] += 1
        elif identity.startswith("status/"):
            status = identity.removeprefix("status/")
            kinds["ignored" if status == PENDING else "unknown", status] += 1
    return kinds


def _fate(type_: str) -> Fate:
    if type_ in MOVES:
        return "mapped"
    return "ignored" if type_ in IGNORED else "unknown"
