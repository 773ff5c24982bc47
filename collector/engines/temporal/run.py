"""A run: its facts in order, what opened and what ended, and the step events that are told of it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from collector.engines.temporal.attributes import Fact
from collector.engines.temporal.spelling import when
from stallwatch.model.events import StepEvent

RESET_CAUSE: Final = "ResetWorkflow"
STARTED: Final = "WORKFLOW_EXECUTION_STARTED"
OPENINGS: Final = frozenset(
    {
        "ACTIVITY_TASK_SCHEDULED",
        "TIMER_STARTED",
        "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
        "NEXUS_OPERATION_SCHEDULED",
        "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
    }
)
ENDINGS: Final = {
    "ACTIVITY_TASK_COMPLETED": "scheduled",
    "ACTIVITY_TASK_FAILED": "scheduled",
    "ACTIVITY_TASK_TIMED_OUT": "scheduled",
    "ACTIVITY_TASK_CANCELED": "scheduled",
    "TIMER_FIRED": "started",
    "TIMER_CANCELED": "started",
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": "initiated",
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": "initiated",
    "CHILD_WORKFLOW_EXECUTION_FAILED": "initiated",
    "CHILD_WORKFLOW_EXECUTION_CANCELED": "initiated",
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": "initiated",
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": "initiated",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "initiated",
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": "initiated",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "initiated",
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": "initiated",
    "NEXUS_OPERATION_COMPLETED": "scheduled",
    "NEXUS_OPERATION_FAILED": "scheduled",
    "NEXUS_OPERATION_CANCELED": "scheduled",
    "NEXUS_OPERATION_TIMED_OUT": "scheduled",
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": "accepted",
}
"""What ends what was opened, and where it says which."""
WORKFLOW_ENDINGS: Final = {
    "WORKFLOW_EXECUTION_COMPLETED": "completed",
    "WORKFLOW_EXECUTION_FAILED": "failed",
    "WORKFLOW_EXECUTION_TIMED_OUT": "timed_out",
    "WORKFLOW_EXECUTION_CANCELED": "cancelled",
    "WORKFLOW_EXECUTION_TERMINATED": "terminated",
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": "continued",
}


class Run:
    """What is known of one run. `workflow_id` and `run_id` name it, whatever its events say."""

    def __init__(self, execution: str, facts: Mapping[str, Any], namespace: str) -> None:
        self.workflow_id, _, self.run_id = execution.rpartition("/")
        self.namespace = namespace
        self.told: dict[str, StepEvent] = {}
        """By their ids: what two facts say alike is told once."""
        self.live: dict[str, list[Fact]] = {}
        """What is not of the history, by the first part of its identity, in the order of identities."""
        self.by_id: dict[int, Fact] = {}
        self._copied: set[int] = set()
        self._read(facts)
        self.ordered = [self.by_id[id] for id in sorted(self.by_id)]
        self.ended = {
            fact[ENDINGS[fact["type"]]]: fact
            for fact in self.ordered
            if fact["type"] in ENDINGS and ENDINGS[fact["type"]] in fact
        }
        self.fork = self._fork()
        """The event behind which this run is its own, if a reset made it; what is before was copied."""
        self.contiguous = self._contiguous()

    def _read(self, facts: Mapping[str, Any]) -> None:
        for identity in sorted(facts):
            kind = identity.partition("/")[0]
            fact = facts[identity]
            if kind in ("event", "base"):
                self.by_id.setdefault(fact["id"], fact)
                if kind == "base":
                    self._copied.add(fact["id"])
            else:
                self.live.setdefault(kind, []).append(fact)

    def _fork(self) -> Fact | None:
        if self.run_id and 1 not in self.by_id:
            # How it began says whether it was made by a reset. Until then nothing is known to be its own.
            self._copied.update(self.by_id)
            return None
        resets = [fact for fact in self.ordered if fact.get("cause") == RESET_CAUSE]
        original = self.by_id.get(1, {}).get("original")
        is_reset = bool(self._copied) or (bool(original) and original != self.run_id)
        if not self.run_id or not (
            is_reset or any(fact.get("new_run") == self.run_id for fact in resets)
        ):
            return None
        fork = resets[-1] if resets else None
        # Where it was forked off may not be known yet; then nothing is known to be its own.
        self._copied |= {id for id in self.by_id if fork is None or id < fork["id"]}
        return fork

    def _contiguous(self) -> int:
        """Up to which event nothing is missing."""
        for expected, fact in enumerate(self.ordered, 1):
            if fact["id"] != expected:
                return expected - 1
        return len(self.ordered)

    def own(self, *types: str) -> Iterator[Fact]:
        """Events of this run, in order, without those copied from the run that it was made from."""
        for fact in self.ordered:
            if fact["id"] not in self._copied and (not types or fact["type"] in types):
                yield fact

    def opened(self, kind: str) -> Iterator[Fact]:
        """What this run opened, and what was open where it was forked off: that ends here."""
        for fact in self.ordered:
            if fact["type"] == kind and (
                fact["id"] not in self._copied or self._is_handed_on(fact)
            ):
                yield fact

    def at(self, id: int, *types: str) -> Fact | None:
        """The event of this number, if it is known and of one of these types."""
        fact = self.by_id.get(id)
        return fact if fact is not None and fact["type"] in types else None

    def _is_handed_on(self, fact: Fact) -> bool:
        # Whether it ended before the fork is known when everything before it is.
        if self.fork is None or self.contiguous < self.fork["id"]:
            return False
        end = self.ended.get(fact["id"])
        return end is None or end["id"] not in self._copied

    def first(self) -> Fact | None:
        return self.at(1, STARTED)

    def is_copied(self, fact: Fact) -> bool:
        return fact["id"] in self._copied

    def tell(self, event: str, time: str | datetime, about: str, **fields: Any) -> None:
        """One step event. `about` names it within the run; empty fields are left out."""
        event_id = f"temporal:{self.run_id or self.workflow_id}:{about}"
        if event_id not in self.told:
            self.told[event_id] = StepEvent(
                event=event,
                time=when(time) if isinstance(time, str) else time,
                workflow=fields.pop("workflow", ""),
                execution_id=self.workflow_id,
                run_id=self.run_id,
                engine="temporal",
                namespace=self.namespace,
                event_id=event_id,
                **fields,
            )


def error(fact: Fact) -> dict[str, str]:
    """A failure as a step event says it."""
    failed = fact.get("failure") or {}
    return {
        key: failed[name]
        for key, name in (("error_type", "type"), ("error_message", "message"))
        if failed.get(name)
    }


def trace(fact: Fact) -> dict[str, str]:
    return {key: fact[key] for key in ("trace_id",) if fact.get(key)}


def attributes(**said: Any) -> dict[str, Any]:
    """As the field of a step event; nothing where nothing is said."""
    told = {key: value for key, value in said.items() if value not in (None, "", 0)}
    return {"attributes": told} if told else {}
