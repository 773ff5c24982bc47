"""What a span is to Stallwatch: a step of an execution, the execution itself, or nothing.

The answer must be the one that the collector gives when the span arrives at its end, so that the start told by log
record and the span are one attempt. The collector's side is `collector/conventions/stallwatch.sql` (a span that names
its workflow, execution and step) and `collector/conventions/traces/3_generic.sql` (what is below a root that names a
workflow).
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan

PREFIX: Final = "stallwatch."
Value: TypeAlias = str | int | float
Fields: TypeAlias = Mapping[str, Value]
"""A step event's fields without their prefix."""

_IDENTITY: Final = (
    "engine", "namespace", "workflow", "execution_id", "run_id", "step", "step_run_id", "attempt",
    "branch",
)  # fmt: skip
_OF_THE_ROOT: Final = ("engine", "namespace", "workflow", "execution_id", "run_id")
_ENGINE: Final = "opentelemetry"
_ENGINE_SCOPE: Final = re.compile(
    r"(temporalio\.contrib\.opentelemetry|temporal-sdk-go$|@temporalio/|Temporalio\.Extensions\.OpenTelemetry|io\.temporal"
    r"|durabletask|Microsoft\.DurableTask|dbos-tracer$|prefect$)"
)
"""Scopes of SDKs whose spans the collector reads by the engine's own convention, with identities of their own."""
_ENGINE_ATTRIBUTES: Final = ("airflow.dag_id", "cicd.pipeline.run.id", "cicd.pipeline.task.name")
_WAITS: Final = frozenset({"timer", "signal", "callback", "human", "child"})
_TEXTS: Final = (
    "namespace", "run_id", "workflow_version", "parent_execution_id", "queue", "worker",
    "downstream", "region", "idempotency_key", "due", "compensates",
)  # fmt: skip
_WHOLE: Final = ("attempt", "sequence", "max_attempts", "payload_bytes")
_DIGITS: Final = re.compile(r"\+?[0-9]{1,100}")
"""A whole number as the collector reads it; of more digits Python would make none, but an error."""
_NUMBERS: Final = (
    "timeout_s", "heartbeat_timeout_s", "schedule_to_start_timeout_s",
    "schedule_to_close_timeout_s", "backoff_s", "backoff_rate", "backoff_max_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """The event that a span's start is: `event` without prefix, and all its fields."""

    event: str
    fields: Fields

    @property
    def beats(self) -> bool:
        """Whether heartbeats make sense: there are none for executions, and a wait is not judged by its age."""
        return self.event == "step.started"

    def identity(self) -> dict[str, Value]:
        """The fields that say which attempt it is."""
        return {name: self.fields[name] for name in _IDENTITY if name in self.fields}


def is_root(span: ReadableSpan, every_trace: bool) -> bool:
    """Whether the span is an execution: a trace's root that names a workflow, or any root if `every_trace` is one.

    A root that names its step and execution is that step.
    """
    if span.parent is not None or _is_an_engines(span) or _is_marked(span):
        return False
    return every_trace or bool(_said(span)("workflow"))


def report_of(span: ReadableSpan, root: ReadableSpan | None) -> Report | None:
    """What to tell of the start of `span`, whose trace's root is `root` if that is an open execution in this process.

    Nothing is told of spans that are no steps, nor of those that an engine's SDK wrote.
    """
    if _is_an_engines(span):
        return None
    said = _said(span)
    if _is_marked(span):
        return _marked(span, said)
    if root is None:
        return None
    return _execution(span, said) if span is root else _below(span, said, root)


def _is_marked(span: ReadableSpan) -> bool:
    """Whether it says itself which step of which execution it is."""
    said = _said(span)
    return bool(said("workflow") and said("execution_id") and said("step"))


def _marked(span: ReadableSpan, said: Callable[[str], str]) -> Report:
    fields = _common(said, workflow=said("workflow"), execution_id=said("execution_id"))
    # Other spans' branches the collector does not read, so their starts have none either.
    return _step(
        "stallwatch", span, said, {**fields, "step": said("step"), "branch": said("branch")}
    )


def _below(span: ReadableSpan, said: Callable[[str], str], root: ReadableSpan) -> Report:
    of_root = _execution(root, _said(root)).fields
    own = {name: value for name, value in _common(said).items() if name not in _OF_THE_ROOT}
    fields = own | {name: of_root[name] for name in _OF_THE_ROOT if name in of_root}
    return _step("generic", span, said, {**fields, "step": said("step") or span.name})


def _execution(span: ReadableSpan, said: Callable[[str], str]) -> Report:
    fields = _common(
        said,
        workflow=said("workflow") or span.name,
        execution_id=said("execution_id") or _trace_id(span),
    )
    return Report("workflow.started", {**fields, "event_id": _event_id("generic", span)})


def _step(
    convention: str, span: ReadableSpan, said: Callable[[str], str], fields: Fields
) -> Report:
    # A span that numbers its attempt is one of several of the same call; else each span is a call of its own.
    call = said("step_run_id") or ("" if said("attempt") else _span_id(span))
    identity = {"step_run_id": call, "event_id": _event_id(convention, span)}
    told = {name: value for name, value in {**fields, **identity}.items() if value != ""}
    return Report("step.waiting" if said("waiting_on") in _WAITS else "step.started", told)


def _common(said: Callable[[str], str], **known: str) -> dict[str, Value]:
    """The fields that a span says itself; those of the wrong form are left out, as the collector does with a span's."""
    fields: dict[str, Value] = {"engine": said("engine") or _ENGINE, **known}
    fields |= {name: text for name in _TEXTS if (text := said(name))}
    if said("waiting_on") in _WAITS:
        fields["waiting_on"] = said("waiting_on")
    for name in _WHOLE:
        text = said(name)
        if _DIGITS.fullmatch(text) and 0 < int(text) + (name == "sequence") < 2**31:
            fields[name] = int(text)
    for name in _NUMBERS:
        if (number := _number(said(name))) is not None:
            fields[name] = number
    return fields


def _said(span: ReadableSpan) -> Callable[[str], str]:
    """How to ask a span for its attribute `stallwatch.<name>`: as text, empty if it is not there."""
    attributes = span.attributes or {}

    return lambda name: _text(attributes.get(PREFIX + name))


def _text(value: object) -> str:
    """An attribute's value as the collector stores it of a span: a list as JSON of texts, 2.0 as 2."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        texts = [_text(one) for one in value]
        written = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
        # The collector's store escapes these, too.
        return written.replace("/", "\\/")
    return str(value)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _is_an_engines(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    if scope is not None and _ENGINE_SCOPE.match(scope.name):
        return True
    attributes = span.attributes or {}
    return any(name in attributes for name in _ENGINE_ATTRIBUTES)


def _event_id(convention: str, span: ReadableSpan) -> str:
    return f"{convention}:{_trace_id(span)}{_span_id(span)}:started"


def _trace_id(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def _span_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"
