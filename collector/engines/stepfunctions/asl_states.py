"""The states of an ASL definition, also those inside of others."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from collector.engines.stepfunctions.asl_values import AslObject
from stallwatch.errors import InputError

_TYPES: Final = ("Task", "Parallel", "Map", "Pass", "Wait", "Choice", "Succeed", "Fail")
_COMPENSATES: Final = re.compile(r"\bcompensates\b[:\s]+(?P<names>.+)", re.IGNORECASE)


class Scope(NamedTuple):
    """States that can go to each other: those of the state machine, of a branch, of a Map."""

    fields: AslObject
    workflow: str
    inside: str = ""


class State(NamedTuple):
    """A state, wherever in the definition it is."""

    name: str
    kind: str
    fields: AslObject
    scope: Scope
    siblings: frozenset[str]
    """The states that it can go to."""


def states(scopes: list[Scope]) -> Iterator[State]:
    """All states, and `scopes` grows by those inside of them. Not recursive: how deep it goes, a stranger says."""
    for scope in scopes:
        its = scope.fields.object("States").value
        siblings = frozenset(its)
        known(scope.fields, "StartAt", siblings)
        for name in its:
            fields = AslObject(its[name], f"States.{name}")
            if not name:
                raise InputError("States: a state has no name")
            kind = fields.text("Type")
            if kind not in _TYPES:
                raise fields.wrong("Type", f"must be one of {', '.join(_TYPES)}")
            state = State(name, kind, fields, scope, siblings)
            yield state
            scopes += _inner(state, scopes[0].workflow)


def _inner(state: State, workflow: str) -> Iterator[Scope]:
    if state.kind == "Parallel":
        for branch in state.fields.objects("Branches"):
            yield Scope(branch, state.scope.workflow, state.name)
    elif state.kind == "Map":
        processor = state.fields.object(
            "ItemProcessor" if "ItemProcessor" in state.fields else "Iterator"
        )
        label = state.fields.text("Label")
        if label and processor_config(state.fields).text("Mode") == "DISTRIBUTED":
            # Its items are executions of their own, whose state machine is called so in their ARNs.
            yield Scope(processor, f"{workflow}/{label}")
        else:
            yield Scope(processor, state.scope.workflow, state.name)


def processor_config(map_state: AslObject) -> AslObject:
    """How a Map runs its items; empty where it does not say: inline."""
    processor = map_state.object("ItemProcessor") if "ItemProcessor" in map_state else map_state
    if "ProcessorConfig" in processor:
        return processor.object("ProcessorConfig")
    return AslObject({}, processor.where)


def known(fields: AslObject, key: str, states: frozenset[str]) -> str:
    """The name of a state, which must be one of those."""
    name = fields.text(key)
    if name and name not in states:
        raise fields.wrong(key, f"there is no state {name[:100]!r}")
    return name


def undone_by(states: list[State]) -> dict[str, str]:
    """Which state undoes which. ASL has no word for it: a Comment of the author says so, `compensates Charge`."""
    names = {state.name for state in states}
    found_by: dict[str, str] = {}
    for state in states:
        found = _COMPENSATES.search(state.fields.text("Comment"))
        for name in re.split(r"\s*,\s*", found["names"]) if found else ():
            if (undone := name.strip(" .'\"`")) in names:
                found_by[undone] = state.name
    return found_by
