"""Definitions of state machines, in the Amazon States Language, to what they declare of their states.

JSONPath and JSONata alike. A state inside of a Parallel or a Map is a step as any other: names are unique in a state
machine. Only the items of a distributed Map with a Label are a workflow of their own, `machine/label`, as their ARNs
have it; without a Label, AWS makes one up that no definition knows.
https://states-language.net and https://docs.aws.amazon.com/step-functions/latest/dg/
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from collector.engines.reading import Hints
from collector.engines.stepfunctions.asl_retries import Retry, as_text, most_general, retries
from collector.engines.stepfunctions.asl_states import (
    Scope,
    State,
    known,
    processor_config,
    states,
    undone_by,
)
from collector.engines.stepfunctions.asl_values import NEVER_S, AslObject
from collector.engines.stepfunctions.calls import CALLBACK, call
from collector.json_text import decode_any
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition

ENGINE: Final = "stepfunctions"
_RETRIED: Final = ("Task", "Parallel", "Map")
_TEXT_MAX: Final = 2000
_MACHINE_ARN: Final = re.compile(
    r"arn:[\w-]+:states:(?P<region>[^:]*):[^:]*:stateMachine:(?P<name>[^:]+)(:(?P<version>\d+))?"
)


class _Origin(NamedTuple):
    """What all definitions of one document have in common."""

    workflow: str
    namespace: str
    workflow_version: str = ""
    region: str = ""
    attributes: Mapping[str, str] = {}


def definitions(document: Any, hints: Hints) -> list[Definition]:
    """What a state machine's definition declares: of the whole (an empty `step`) and of each of its states.

    `document` is a definition itself, or a DescribeStateMachine response with the definition as text in it. A bare
    definition has no name: then `hints.workflow` is it, else `hints.execution_id` (a file's name, `.asl` taken off).
    Raises InputError that names the state and the field.
    """
    if isinstance(document, dict) and "definition" in document:
        described = AslObject(document, "DescribeStateMachine")
        asl = decode_any(described.text("definition").encode(errors="surrogatepass"))
        origin = _described(described, hints)
    else:
        asl = document
        workflow = (hints.workflow or hints.execution_id).removesuffix(".asl")
        origin = _Origin(workflow, hints.namespace)
    if not origin.workflow:
        raise InputError("workflow: a definition does not say its name; say it with the request")
    scopes = [Scope(AslObject(asl, "definition"), origin.workflow)]
    found = list(states(scopes))
    undone = undone_by(found)
    return [_whole(scope, origin) for scope in scopes if not scope.inside] + [
        _definition(state, origin, undone.get(state.name, "")) for state in found
    ]


def _described(described: AslObject, hints: Hints) -> _Origin:
    arn = _MACHINE_ARN.match(described.text("stateMachineArn"))
    attributes = {
        name: described.text(key)
        for name, key in (("revision", "revisionId"), ("type", "type"))
        if described.text(key)
    }
    return _Origin(
        workflow=arn["name"] if arn else described.text("name") or hints.workflow,
        namespace=hints.namespace,
        workflow_version=(arn["version"] or "") if arn else "",
        region=arn["region"] if arn else "",
        attributes=attributes,
    )


def _whole(scope: Scope, origin: _Origin) -> Definition:
    """The state machine, or the items of a distributed Map, which are executions too."""
    fields = scope.fields
    timeout_s, _ = fields.number_or_place("TimeoutSeconds")
    start = fields.text("StartAt")
    language = fields.text("QueryLanguage")
    return Definition(
        engine=ENGINE,
        workflow=scope.workflow,
        namespace=origin.namespace,
        workflow_version=origin.workflow_version,
        kind="StateMachine" if scope.workflow == origin.workflow else "ItemProcessor",
        source="asl",
        timeout_s=_limit(timeout_s),
        region=origin.region,
        next=(start,) if start else (),
        attributes={**origin.attributes, **({"query_language": language} if language else {})},
    )


def _definition(state: State, origin: _Origin, compensated_by: str) -> Definition:
    fields = state.fields
    timeout_s, timeout_from = fields.number_or_place("TimeoutSeconds")
    heartbeat_s, heartbeat_from = fields.number_or_place("HeartbeatSeconds")
    rules = retries(fields)
    rule = most_general(rules)
    catchers = list(fields.objects("Catch"))
    called = call(fields.text("Resource"), _passed(fields)) if state.kind == "Task" else None
    return Definition(
        engine=ENGINE,
        workflow=state.scope.workflow,
        namespace=origin.namespace,
        workflow_version=origin.workflow_version,
        step=state.name,
        kind=state.kind,
        source="asl",
        timeout_s=_limit(timeout_s),
        heartbeat_timeout_s=_limit(heartbeat_s),
        max_attempts=_attempts(state.kind, rule),
        backoff_s=rule.interval_s if rule else None,
        backoff_rate=rule.rate if rule else None,
        backoff_max_s=rule.max_delay_s if rule else None,
        jitter=rule.jitter if rule else None,
        retries=_once(error for one in rules for error in one.errors),
        catches=_once(error for one in catchers for error in one.texts("ErrorEquals")),
        caught_by=_once(known(one, "Next", state.siblings) for one in catchers),
        compensated_by=compensated_by,
        inside=state.scope.inside,
        waiting_on=_waiting_on(state.kind, called.action if called else ""),
        downstream=called.downstream if called else "",
        region=origin.region,
        next=_next(state),
        attributes=_attributes(state, rules, timeout_from, heartbeat_from),
    )


def _limit(seconds: float | None) -> float | None:
    return None if seconds is None or seconds >= NEVER_S else seconds


def _attempts(kind: str, rule: Retry | None) -> int | None:
    if rule is not None:
        return rule.attempts
    return 1 if kind in _RETRIED else None


def _waiting_on(kind: str, action: str) -> str:
    if kind == "Wait":
        return "timer"
    if action.endswith(CALLBACK):
        return "callback"
    return "child" if action.startswith("startExecution.sync") else ""


def _passed(fields: AslObject) -> object:
    return fields.value.get("Parameters") or fields.value.get("Arguments")


def _next(state: State) -> tuple[str, ...]:
    choices = state.fields.objects("Choices")
    return _once(
        (
            known(state.fields, "Next", state.siblings),
            *(known(choice, "Next", state.siblings) for choice in choices),
            known(state.fields, "Default", state.siblings),
        )
    )


def _once(names: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in order, without the empty ones."""
    return tuple(dict.fromkeys(name for name in names if name))


def _attributes(
    state: State, rules: list[Retry], timeout_from: str, heartbeat_from: str
) -> dict[str, str]:
    fields = state.fields
    said = {
        "timeout_from": timeout_from,
        "heartbeat_from": heartbeat_from,
        "retry": as_text(rules) if rules else "",
    }
    if state.kind == "Wait":
        seconds, seconds_from = fields.number_or_place("Seconds")
        said["seconds"] = "" if seconds is None else f"{seconds:.15g}"
        said["until"] = seconds_from or fields.text("Timestamp") or fields.text("TimestampPath")
    if state.kind == "Task":
        said["resource"] = fields.text("Resource")
    if state.kind == "Map":
        said |= _map_attributes(fields)
    return {key: text[:_TEXT_MAX] for key, text in said.items() if text}


def _map_attributes(fields: AslObject) -> dict[str, str]:
    concurrency, concurrency_from = fields.number_or_place("MaxConcurrency")
    said = {"max_concurrency": concurrency_from if concurrency is None else f"{concurrency:.15g}"}
    config = processor_config(fields)
    return {
        **said,
        "mode": config.text("Mode").lower(),
        "execution_type": config.text("ExecutionType"),
    }
