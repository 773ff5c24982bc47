"""Facts of one DBOS workflow to step events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collector.engines.dbos.rows import CLOSED, RECV, SIGNALS, SLEEP
from collector.engines.reading import Facts, Fate, Reading
from stallwatch.model.events import StepEvent

ENGINE: Final = "dbos"
DEQUEUE: Final = "DBOS.dequeue"
"""The step that stands for the way from a queue to an executor."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CHILDREN: Final = frozenset({"DBOS.getResult", "DBOS.waitFirst"})
_KEPT_AS: Final = ("class", "config", "application", "schedule", "forked_from")


def read(execution: str, facts: Facts, namespace: str) -> Reading:
    """All that is known of a workflow. Without a row of workflow_status nothing is told: it has no name then."""
    return _Workflow(execution, facts, namespace).reading()


class _Workflow:
    """One workflow; `facts` are those of `rows.py`."""

    def __init__(self, id_: str, facts: Facts, namespace: str) -> None:
        self._id = id_
        self._namespace = namespace
        self._facts = facts
        self._by_kind: dict[str, list[tuple[list[str], dict[str, Any]]]] = {}
        for identity, fact in facts.items():
            kind, *rest = identity.split(":")
            self._by_kind.setdefault(kind, []).append((rest, fact))
        self._closings_ms = sorted(int(rest[-1]) for rest, _ in self._of("closed"))
        self._identity = self._of("workflow")[0][1] if self._of("workflow") else None

    def reading(self) -> Reading:
        reading = Reading()
        if self._identity is not None:
            reading.events = [*self._started(), *self._queued(), *self._operations()]
            reading.events += [*self._waits(), *self._ended()]
        opened_ms = max((int(rest[0]) for rest, _ in self._of("open")), default=0)
        reading.is_closed = bool(self._closings_ms) and self._closings_ms[-1] >= opened_ms
        for kind, found in self._by_kind.items():
            for rest, fact in found:
                reading.kinds[_fate(kind), _word(kind, rest, fact)] += 1
        return reading

    def _started(self) -> Iterator[StepEvent]:
        """One for each version that ran it: which one will is not known while it waits in a queue."""
        for rest, fact in self._of("workflow"):
            yield self._event(
                "workflow.started",
                fact["created"],
                ":".join(["workflow", *rest]),
                workflow_version=fact["version"],
                parent_execution_id=fact.get("parent", ""),
                timeout_s=fact.get("timeout_s"),
                attributes={key: fact[key] for key in _KEPT_AS if key in fact},
            )

    def _queued(self) -> Iterator[StepEvent]:
        for (since,), fact in self._of("enqueued"):
            yield self._dequeue("step.scheduled", int(since), fact)
        for (due,), fact in self._of("delayed"):
            yield self._dequeue(
                "step.waiting", fact["since"], fact, waiting_on="timer", due=_time(int(due))
            )
        for (at,), fact in self._of("dequeued"):
            if fact["since"] is not None:
                yield self._dequeue("step.scheduled", fact["since"], fact)
            worker = fact["worker"]
            attributes = {"recovery_attempts": str(fact["tries"])} if fact["tries"] > 1 else {}
            for event in ("step.started", "step.completed"):
                yield self._dequeue(event, int(at), fact, worker=worker, attributes=attributes)

    def _dequeue(self, event: str, at_ms: int, fact: dict[str, Any], **more: Any) -> StepEvent:
        # Neither call nor attempt: resumed and recovered workflows are queued anew, and the row does not count that.
        identity = f"dequeue:{event}:{at_ms}:{fact['queue']}"
        return self._event(event, at_ms, identity, step=DEQUEUE, queue=fact["queue"], **more)

    def _operations(self) -> Iterator[StepEvent]:
        for rest, fact in self._of("op"):
            if len(rest) == 1:
                yield self._begun(rest[0], fact)
            else:
                yield self._done(rest[0], fact)

    def _begun(self, id_: str, fact: dict[str, Any]) -> StepEvent:
        name = fact["name"]
        more: dict[str, Any] = {"step": name, "step_run_id": id_}
        if child := fact.get("child"):
            more["attributes"] = {"child_workflow_id": child}
        waiting_on = _waiting_on(name)
        if not waiting_on:
            return self._event("step.started", fact["started"], f"op:{id_}", attempt=1, **more)
        if name == SLEEP:
            more["due"] = _time(fact["due"])
        return self._event(
            "step.waiting", fact["started"], f"op:{id_}", waiting_on=waiting_on, **more
        )

    def _done(self, id_: str, fact: dict[str, Any]) -> StepEvent:
        """A row does not count the attempts; only the error of a step that used up all of them does."""
        # Times are cut to milliseconds: an end is told at the last moment of its own, behind whatever it followed.
        at = _time(fact["ended"]) + timedelta(microseconds=999)
        event = "step.completed" if "error" not in fact else "step.failed"
        if "timeout_s" in fact:
            event = "step.timed_out"
        return self._event(
            event,
            at,
            f"op:{id_}:end",
            step=fact["name"],
            step_run_id=id_,
            attempt=fact.get("max_attempts"),
            max_attempts=fact.get("max_attempts"),
            timeout_s=fact.get("timeout_s"),
            error_type=fact.get("error", ""),
            error_message=fact.get("message", ""),
            payload_bytes=fact.get("bytes"),
        )

    def _waits(self) -> Iterator[StepEvent]:
        """A recv or getEvent that has no row yet; which of both it is shows at its end, and most are recv."""
        for (id_, name), fact in self._of("wait"):
            yield self._event(
                "step.waiting",
                fact["started"],
                f"wait:{id_}:{name}",
                step=name,
                step_run_id=id_,
                waiting_on="signal",
                due=_time(fact["due"]),
            )
            ended = self._facts.get(f"op:{id_}:end")
            if name == RECV and ended is not None and ended["name"] != RECV:
                yield self._event(
                    "step.cancelled",
                    ended["ended"],
                    f"wait:{id_}:{name}:mistaken",
                    step=name,
                    step_run_id=id_,
                )

    def _ended(self) -> Iterator[StepEvent]:
        for (status, at), fact in self._of("closed"):
            error = fact.get("error", "")
            yield self._event(
                "workflow.timed_out" if "timed_out" in fact else f"workflow.{CLOSED[status]}",
                int(at),
                f"closed:{status}:{at}",
                worker=fact.get("worker", ""),
                error_type=error if status in ("ERROR", "SUCCESS", "CANCELLED") else status,
                error_message=fact.get("message", ""),
                attributes={"recovery_attempts": str(fact["tries"])} if fact["tries"] > 1 else {},
            )
        for (at,), _ in self._of("open"):
            # Resumed: what was cancelled or given up goes on.
            if self._closings_ms and self._closings_ms[0] < int(at):
                yield self._event("workflow.resumed", int(at), f"open:{at}")

    def _of(self, kind: str) -> list[tuple[list[str], dict[str, Any]]]:
        return self._by_kind.get(kind, [])

    def _event(self, event: str, at: int | datetime, identity: str, **more: Any) -> StepEvent:
        assert self._identity is not None
        return StepEvent(
            event=event,
            time=_time(at) if isinstance(at, int) else at,
            workflow=self._identity["name"],
            execution_id=self._id,
            engine=ENGINE,
            namespace=self._namespace,
            event_id=f"dbos:{identity}",
            **more,
        )


def _waiting_on(name: str) -> str:
    if name == SLEEP:
        return "timer"
    if name in SIGNALS:
        return "signal"
    return "child" if name in _CHILDREN else ""


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _fate(kind: str) -> Fate:
    return {"untimed": "ignored", "status": "unknown"}.get(kind, "mapped")  # type: ignore[return-value]


def _word(kind: str, rest: list[str], fact: dict[str, Any]) -> str:
    """The engine's own word for what a fact tells."""
    if kind in ("closed", "status"):
        return rest[0]
    return str(fact.get("name", kind)) if kind in ("op", "untimed") and len(rest) == 1 else kind
