"""Facts of one Prefect flow run to step events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from collector.engines.reading import Facts, Fate, Reading
from stallwatch.model.events import StepEvent

ENGINE: Final = "prefect"
START: Final = "Prefect.start"
"""The step that stands for the way from a schedule over a work queue to a process."""
_ENDS: Final = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CRASHED": "failed",
    "CANCELLED": "cancelled",
}
_TIMED_OUT: Final = "TimedOut"
_CACHED: Final = "Cached"


def read(execution: str, facts: Facts, namespace: str) -> Reading:
    """All that is known of a flow run. Its execution is its trace, where it has one: its tasks' spans name no other."""
    return _FlowRun(execution, facts, namespace).reading()


class _FlowRun:
    """One flow run; `facts` are those of `documents.py`."""

    def __init__(self, id_: str, facts: Facts, namespace: str) -> None:
        self._id = id_
        self._namespace = namespace
        self._facts = facts
        self._trace = facts.get("identity", {}).get("trace", "")
        # The flow of a trace is its root; those within are not named by their spans either.
        self._is_within = bool(self._trace) and facts["identity"]["nested"]
        self._flow = "" if self._is_within else facts.get("run", {}).get("flow", "")

    def reading(self) -> Reading:
        reading = Reading()
        if "run" in self._facts and "identity" in self._facts:
            reading.events += self._tasks()
            if not self._is_within:
                reading.events += self._life()
        elif f"task:{self._id}" in self._facts:
            reading.events += [*self._alone(), *self._tasks()]
        if "run" in self._facts:
            reading.events += self._queued()
        ends = [
            fact["at"] for rest, fact in self._of("end") if len(rest) == 1 or rest[0] == self._id
        ]
        runs = [fact["at"] for _, fact in self._of("running")]
        reading.is_closed = bool(ends) and max(ends) >= max(runs, default="")
        for identity, fact in self._facts.items():
            kind, *rest = identity.split(":")
            fate: Fate = "unknown" if kind == "state" else "mapped"
            word = rest[0] if kind == "state" else str(fact.get("type", kind))
            reading.kinds[fate, word] += 1
        return reading

    def _queued(self) -> Iterator[StepEvent]:
        """The wait for a process. It belongs to the flow run: the trace begins behind it."""
        due = self._facts.get("due")
        if due is None:
            return
        flow = self._facts["run"]["flow"]
        own = {"execution_id": self._id, "workflow": flow, "trace_id": ""}
        more = {**own, "step": START, "queue": due["queue"]}
        yield self._event("step.scheduled", due["at"], "due", **more)
        begun = self._facts.get("begun")
        if begun is None or "identity" not in self._facts:
            return
        for kind in ("started", "completed"):
            yield self._event(f"step.{kind}", begun["at"], f"taken:{kind}", **more)
        if self._trace:
            yield self._event("workflow.continued", begun["at"], "traced", **own)

    def _life(self) -> Iterator[StepEvent]:
        run = self._facts["run"]
        if begun := self._facts.get("begun"):
            yield self._event(
                "workflow.started",
                begun["at"],
                "begun",
                workflow_version=run["version"],
                parent_execution_id=begun["parent"],
                attributes={"flow_run_id": self._id},
            )
        halts = [fact["at"] for _, fact in self._of("held") if len(_) == 1]
        halts += [fact["at"] for _, fact in self._of("end") if len(_) == 1]
        for (state,), fact in self._of("running"):
            if any(_time(halt) < _time(fact["at"]) for halt in halts):
                yield self._event("workflow.resumed", fact["at"], f"running:{state}")
        for rest, fact in self._of("held"):
            if len(rest) == 1:
                yield self._event("workflow.suspended", fact["at"], f"held:{rest[0]}")
        for rest, fact in self._of("end"):
            if len(rest) == 1:
                yield self._event(
                    f"workflow.{_ending(fact)}", fact["at"], f"end:{rest[0]}", **_failure(fact)
                )

    def _alone(self) -> Iterator[StepEvent]:
        """A task that no flow called is an execution with one step; the workflow has the task's name."""
        self._flow = self._facts[f"task:{self._id}"]["step"]
        if begun := self._facts.get(f"start:{self._id}:1"):
            yield self._event("workflow.started", begun["at"], "alone")
        for rest, fact in self._of("end"):
            yield self._event(
                f"workflow.{_ending(fact)}", fact["at"], f"alone:{rest[1]}", **_failure(fact)
            )

    def _tasks(self) -> Iterator[StepEvent]:
        for (id_,), task in self._of("task"):
            declared = {
                key: task[key] for key in ("max_attempts", "backoff_s") if task.get(key) is not None
            }
            more = {"step": task["step"], "step_run_id": id_}
            for identity, fact in self._facts.items():
                kind, *rest = identity.split(":")
                if rest[:1] == [id_] and kind != "task":
                    yield from self._of_task(kind, rest[1:], fact, more, declared)

    def _of_task(
        self,
        kind: str,
        rest: list[str],
        fact: dict[str, Any],
        more: dict[str, Any],
        declared: dict[str, Any],
    ) -> Iterator[StepEvent]:
        at, identity = fact["at"], ":".join([kind, more["step_run_id"], *rest])
        more = {**more, "attempt": int(rest[0]) if rest else 1}
        if kind == "queued":
            yield self._event("step.scheduled", at, identity, **more, **declared)
        elif kind == "start":
            yield self._event("step.started", at, identity, **more, **declared)
        elif kind == "child":
            more["attributes"] = {"flow_run_id": fact["flow_run"]}
            yield self._event("step.waiting", at, identity, waiting_on="child", **more)
        elif kind == "held":
            yield self._event("step.waiting", at, identity, waiting_on="signal", **more)
        elif kind == "retry":
            yield self._event("step.retrying", at, identity, **more, **declared, **_failure(fact))
        elif kind == "end":
            ending = "skipped" if fact["name"] == _CACHED else _ending(fact)
            yield self._event(f"step.{ending}", at, identity, **more, **_failure(fact))

    def _of(self, kind: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
        for identity, fact in self._facts.items():
            its_kind, *rest = identity.split(":")
            if its_kind == kind:
                yield rest, fact

    def _event(self, event: str, at: str, identity: str, **more: Any) -> StepEvent:
        fields = {
            "workflow": self._flow,
            "execution_id": self._trace or self._id,
            "trace_id": self._trace,
            **more,
        }
        return StepEvent(
            event=event,
            time=_time(at),
            engine=ENGINE,
            namespace=self._namespace,
            event_id=f"prefect:{self._id}:{identity}",
            **fields,
        )


def _ending(fact: dict[str, Any]) -> str:
    if fact["name"] == _TIMED_OUT or "timeout_s" in fact:
        return "timed_out"
    return _ENDS[fact["type"]]


def _failure(fact: dict[str, Any]) -> dict[str, Any]:
    error = fact.get("error", "") or ("Crashed" if fact.get("type") == "CRASHED" else "")
    failure = {"error_type": error, "error_message": fact.get("message", "")}
    return {**failure, "timeout_s": fact["timeout_s"]} if "timeout_s" in fact else failure


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
