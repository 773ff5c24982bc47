"""Events of a history, as the API and the logs write them, to facts: without payloads, but with their sizes.

The facts of an execution, by identity:
- `7`: event 7; `7/data`: what only its payload says, which logs may leave out;
- `started`, `ended/K`, `redriven/K`, `pending/K`: what every road knows, K being how often it was redriven till then;
  the roads' clocks differ by milliseconds, and whichever comes first is right;
- `version`, `parent`, `map_run`, `trace`, `about`: each what one or the other document says beside;
- `map_run/…`: how far a map run was (`statuses.py`).
"""

from typing import Any, Final

from collector.engines.reading import Fragment
from collector.engines.stepfunctions import arns, calls
from collector.engines.stepfunctions.values import TEXT_MAX, Fields
from collector.json_text import decode_any
from stallwatch.errors import InputError

ENDS: Final = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}
_TEXTS: Final = (
    "name", "resource", "resourceType", "region", "workerName", "error", "cause", "mapRunArn",
    "location", "state",
)  # fmt: skip
_NUMBERS: Final = ("index", "length", "timeoutInSeconds", "heartbeatInSeconds", "redriveCount")
_SIZED: Final = ("TaskStateEntered", "ParallelStateEntered", "MapStateEntered")
_ID_MAX: Final = 2**31
STARTED_BY: Final = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
"""The input field by which a nested execution is linked to the one that started it.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""


class Event:
    """One event: `details` are what the API calls `…EventDetails` and the logs `details`."""

    def __init__(self, id: int | None, previous: int, fields: Fields, at: str | None) -> None:
        """Raises InputError if a field is missing or wrong."""
        if id is None or not 0 < id < _ID_MAX:
            raise fields.wrong("id", "must be a whole number from 1 on")
        if previous >= id:
            raise InputError(f"{fields.where}: event {id} cannot follow event {previous}")
        if at is None:
            raise fields.wrong("timestamp", "is required")
        self.id = id
        self.previous = previous
        self.at = at
        self.type = fields.text("type", required=True)
        self.details = _details(fields)

    def facts(self) -> dict[str, Any]:
        """This event's own facts."""
        fact: dict[str, Any] = {"type": self.type[:100], "at": self.at, "previous": self.previous}
        for name in _TEXTS:
            if text := self.details.text(name):
                fact[name] = text[:TEXT_MAX]
        for name in _NUMBERS:
            if (number := self.details.number(name)) is not None:
                fact[name] = number
        facts = {str(self.id): fact}
        if data := self._data():
            facts[f"{self.id}/data"] = data
        if self.type == "ExecutionStarted":
            facts["started"] = {"at": self.at}
            facts |= version_facts(self.details) | parent_facts(self.details.text("input"))
        if self.type == "ExecutionRedriven":
            facts[f"redriven/{self.details.number('redriveCount') or 1}"] = {"at": self.at}
        return facts

    def end(self, redrives: int) -> dict[str, Any]:
        """The end of the execution that this event is, if it is one."""
        if self.type not in ENDS:
            return {}
        return {f"ended/{redrives}": end_fact(ENDS[self.type], self.at, self.details)}

    def child(self, execution: str) -> list[Fragment]:
        """The execution that this one started, as far as a task's result names it: who its parent is."""
        if not self.details.text("resource").startswith("startExecution"):
            return []
        output = _decoded(self.details.text("output"))
        child = output.get("ExecutionArn") if isinstance(output, dict) else None
        if not isinstance(child, str) or not arns.execution(child):
            return []
        return [Fragment(child, {"parent": {"execution": execution}})]

    def _data(self) -> dict[str, Any]:
        if self.type in _SIZED and (text := self._whole("input")):
            return {"bytes": len(text.encode(errors="surrogatepass"))}
        if self.type == "TaskScheduled" and (text := self.details.text("parameters")):
            service = self.details.text("resourceType")
            named = calls.downstream(service, _decoded(text))
            return {"downstream": named} if named != calls.downstream(service, None) else {}
        return {}

    def _whole(self, name: str) -> str:
        is_truncated = self.details.object(f"{name}Details").value.get("truncated")
        return "" if is_truncated else self.details.text(name)


def end_fact(status: str, at: str, said: Fields) -> dict[str, Any]:
    """How an execution ended; `said` has the error and the cause, if there are any."""
    fact = {"status": status, "at": at}
    for name in ("error", "cause"):
        if text := said.text(name):
            fact[name] = text[:TEXT_MAX]
    return fact


def version_facts(said: Fields) -> dict[str, Any]:
    """The version and the alias that an execution was started with, if any."""
    fact = {
        name: qualifier
        for name, key in (("version", "stateMachineVersionArn"), ("alias", "stateMachineAliasArn"))
        if (qualifier := arns.qualifier(said.text(key)))
    }
    return {"version": fact} if fact else {}


def parent_facts(text: str) -> dict[str, Any]:
    """The execution that started this one, where its input says so."""
    if STARTED_BY not in text:
        return {}
    given = _decoded(text)
    parent = given.get(STARTED_BY) if isinstance(given, dict) else None
    if not isinstance(parent, str) or not arns.execution(parent):
        return {}
    return {"parent": {"execution": parent}}


def _details(fields: Fields) -> Fields:
    if "details" in fields:
        return fields.object("details")
    for key in fields.value:
        if isinstance(key, str) and key.endswith("EventDetails") and key in fields:
            return fields.object(key)
    return Fields({}, fields.where)


def _decoded(text: str) -> object:
    """The payload behind a text; None if it is cut, or not JSON."""
    try:
        return decode_any(text.encode(errors="surrogatepass"))
    except InputError:
        return None
