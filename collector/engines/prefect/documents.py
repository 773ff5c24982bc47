"""Answers of Prefect's REST API to facts.

Identities of facts, all of one flow run: `run` and `identity` who it is, `due` when it was to start, `begun`,
`running:<state>`, `held:<state>` and `end:<state>` its life; `task:<id>` a task run of it, with `queued:<id>`,
`child:<id>`,
`start:<id>:<attempt>`, `retry:<id>:<attempt>`, `held:<id>:<attempt>` and `end:<id>:<attempt>`; `state:<type>` a type
of state that is not understood.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from collector.engines.answers import Answer, inner, listed, number, seconds, text, time
from collector.engines.reading import Fragment, Hints, Parts
from stallwatch.errors import InputError

MESSAGE_MAX: Final = 2000
TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
KNOWN: Final = TERMINAL | {"SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}
RETRY: Final = "AwaitingRetry"
TRACEPARENT: Final = "__OTEL_TRACEPARENT"
_KEY_HASH: Final = re.compile(r"-[0-9a-f]{8}$")
_NUMBERED: Final = re.compile(r"-[0-9]+$")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
# The words of Prefect's engines: "Task run encountered an exception ConnectionError: refused", "Flow run failed due to
# timeout: FlowRunTimeoutError('…')", "Task run exceeded timeout of 2.0 second(s)".
_EXCEPTION: Final = re.compile(r".*? encountered an exception:? ([\w.]+)(?:: (.*))?", re.DOTALL)
_CALLED: Final = re.compile(r".*?: ([\w.]+)\(['\"]?(.*?)['\"]?\)", re.DOTALL)
_EXCEEDED: Final = re.compile(r"exceeded timeout of ([0-9]+(?:\.[0-9]+)?) second")
Facts = dict[str, Any]


def parts_of(document: Any, hints: Hints) -> Parts:
    """`flow_runs`, `task_runs`, `flows`, `flow_run_states`, `task_run_states`, and `parents` (the task runs that stand
    for flow runs within others), each an array as the API answers it; or one flow run or task run alone.
    """
    if isinstance(document, dict) and "flow_id" in document:
        document = {"flow_runs": [document]}
    elif isinstance(document, dict) and "task_key" in document:
        document = {"task_runs": [document]}
    if not isinstance(document, dict) or not {"flow_runs", "task_runs"} & document.keys():
        raise InputError(
            "not of Prefect: expected flow_runs or task_runs with what the API answers"
        )
    flows = {text(flow, "id"): text(flow, "name") for flow in listed(document, "flows")}
    tasks = listed(document, "task_runs")
    within = [*listed(document, "parents"), *tasks]
    parents = {text(task, "id"): text(task, "flow_run_id") for task in within}
    flow_states = _histories(document, "flow_run")
    task_states = _histories(document, "task_run")
    facts: dict[str, Facts] = {}
    for index, run in enumerate(listed(document, "flow_runs")):
        where = f"flow_runs[{index}]."
        its = facts.setdefault(_id(run, "id", where), {})
        its.update(_flow_run(run, flows, parents, hints.received_at, where))
        for state in [*flow_states.get(text(run, "id"), ()), inner(run, "state", where)]:
            its.update(_flow_state(state, where))
    for index, task in enumerate(tasks):
        where = f"task_runs[{index}]."
        # A task that was called outside of any flow is an execution of its own.
        its = facts.setdefault(text(task, "flow_run_id", where) or _id(task, "id", where), {})
        its.update(_task_run(task, task_states.get(text(task, "id"), ()), where))
    return Parts([Fragment(id_, its) for id_, its in facts.items()])


def _histories(document: Answer, owner: str) -> dict[str, list[Answer]]:
    """States by the run that they are of, the earliest first. A nested flow run's states name a task run as well."""
    found: dict[str, list[Answer]] = {}
    for index, state in enumerate(listed(document, f"{owner}_states")):
        where = f"{owner}_states[{index}]."
        details = inner(state, "state_details", where)
        found.setdefault(text(details, f"{owner}_id", where), []).append(state)
    for history in found.values():
        history.sort(key=lambda state: text(state, "timestamp"))
    return found


def _flow_run(
    run: Answer, flows: dict[str, str], parents: dict[str, str], now: datetime, where: str
) -> Facts:
    name = flows.get(text(run, "flow_id", where), "")
    begun = time(run, "start_time", where)
    expected = time(run, "expected_start_time", where)
    facts: Facts = {"run": {"flow": name, "version": text(run, "flow_version", where)}}
    if run.get("deployment_id") and expected is not None and expected <= now:
        queue = text(run, "work_queue_name", where) or text(run, "work_pool_name", where)
        facts["due"] = {"at": expected.isoformat(), "queue": queue}
    if begun is not None:
        parent_task = text(run, "parent_task_run_id", where)
        facts["begun"] = {"at": begun.isoformat(), "parent": parents.get(parent_task, "")}
        facts["identity"] = {"trace": _trace_id(run, where), "nested": bool(parent_task)}
    return facts


def _trace_id(run: Answer, where: str) -> str:
    """The trace of its spans: the label is set before the run is RUNNING, if its process exports spans."""
    found = _TRACEPARENT.fullmatch(text(inner(run, "labels", where), TRACEPARENT))
    return found[1] if found else ""


def _flow_state(state: Answer, where: str) -> Facts:
    type_, name, id_, at = _state(state, where)
    if at is None:
        return {}
    if type_ == "RUNNING":
        return {f"running:{id_}": {"at": at}}
    if type_ in TERMINAL:
        return {f"end:{id_}": _end(state, type_, name, at)}
    if type_ == "PAUSED" or name == RETRY:
        return {f"held:{id_}": {"at": at, "name": name}}
    return {} if type_ in KNOWN else {f"state:{type_[:60]}": {}}


def _task_run(task: Answer, history: Sequence[Answer], where: str) -> Facts:
    id_ = _id(task, "id", where)
    facts: Facts = {f"task:{id_}": _task(task, where)}
    begun = time(task, "start_time", where)
    if begun is not None:
        facts[f"start:{id_}:1"] = {"at": begun.isoformat()}
    current = inner(task, "state", where)
    child = text(inner(current, "state_details", where), "child_flow_run_id", where)
    if begun is not None and child:
        facts[f"child:{id_}"] = {"at": begun.isoformat(), "flow_run": child}
    attempt = 0
    for state in history:
        attempt += text(state, "type", where) == "RUNNING"
        facts.update(_task_state(id_, state, attempt, facts, where))
    attempt = number(task, "run_count", where)
    facts.update(_task_state(id_, current, attempt, facts, where))
    if attempt == 0 and begun is None and text(current, "type", where) in ("SCHEDULED", "PENDING"):
        expected = time(task, "expected_start_time", where)
        if expected is not None:
            facts[f"queued:{id_}"] = {"at": expected.isoformat()}
    return facts


def _task(task: Answer, where: str) -> Facts:
    policy = inner(task, "empirical_policy", where)
    delay = policy.get("retry_delay")
    if isinstance(delay, list):
        # One delay an attempt.
        policy = {**policy, "retry_delay": delay[0] if delay else None}
    key = text(task, "task_key", where)
    fact: Facts = {"step": _KEY_HASH.sub("", key.rpartition(".")[2]) or _bare(task, where)}
    retries = number(policy, "retries", where)
    fact["max_attempts"] = retries + 1
    if retries:
        fact["backoff_s"] = seconds(policy, "retry_delay", where)
    return fact


def _bare(task: Answer, where: str) -> str:
    return _NUMBERED.sub("", text(task, "name", where))


def _task_state(id_: str, state: Answer, attempt: int, known: Facts, where: str) -> Facts:
    type_, name, _, at = _state(state, where)
    if at is None:
        return {}
    if type_ == "RUNNING":
        identity = f"start:{id_}:{max(1, attempt)}"
        return {} if identity in known else {identity: {"at": at}}
    if name == RETRY:
        return {f"retry:{id_}:{attempt}": {"at": at, **_error(text(state, "message", where))}}
    if type_ == "PAUSED":
        return {f"held:{id_}:{max(1, attempt)}": {"at": at}}
    if type_ in TERMINAL:
        return {f"end:{id_}:{max(1, attempt)}": _end(state, type_, name, at)}
    return {} if type_ in KNOWN else {f"state:{type_[:60]}": {}}


def _state(state: Answer, where: str) -> tuple[str, str, str, str | None]:
    """Its type, its name, its id and when it began."""
    at = time(state, "timestamp", where)
    return (
        text(state, "type", where),
        text(state, "name", where),
        text(state, "id", where),
        None if at is None else at.isoformat(),
    )


def _end(state: Answer, type_: str, name: str, at: str) -> Facts:
    end: Facts = {"type": type_, "name": name, "at": at}
    if type_ in ("FAILED", "CRASHED"):
        end.update(_error(text(state, "message")))
    return end


def _error(message: str) -> Facts:
    """What a state's message says: the class and the text of an exception, or the timeout that was exceeded."""
    if exceeded := _EXCEEDED.search(message):
        return {"message": message[:MESSAGE_MAX], "timeout_s": float(exceeded[1])}
    found = _EXCEPTION.fullmatch(message) or _CALLED.fullmatch(message)
    if found is None:
        return {"message": message[:MESSAGE_MAX]} if message else {}
    return {"error": found[1], "message": (found[2] or "")[:MESSAGE_MAX]}


def _id(answer: Answer, name: str, where: str) -> str:
    value = text(answer, name, where)
    if not value:
        raise InputError(f"{where}{name}: is required")
    return value
