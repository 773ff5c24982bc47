"""Answers of Airflow's REST API to facts.

Identities of facts, all of one DAG run: `run` who it is, `queued:<time>` and `begun:<time>` its ways in,
`end:<state>:<time>` how it ended; of its task instances, with task, map index and try in `<ti>`: `scheduled:<ti>`,
`start:<ti>`, `wait:<ti>:<state>`, `again:<ti>:<time>`, `retry:<ti>`, `end:<ti>:<state>`; `state:<word>` a state that is
not understood.
"""

from collections.abc import Mapping
from typing import Any, Final

from collector.engines.airflow.definitions import definitions_of
from collector.engines.answers import Answer, inner, listed, number, text, time
from collector.engines.reading import Fragment, Hints, Parts
from stallwatch.errors import InputError

RUN_OPEN: Final = ("queued", "running")
RUN_ENDS: Final[Mapping[str, str]] = {"success": "completed", "failed": "failed"}
WAITS: Final[Mapping[str, str]] = {
    "deferred": "callback",
    "up_for_reschedule": "signal",
    "awaiting_input": "human",
}
"""What a task that gave its worker back waits for: a trigger, a sensor's next look, or somebody."""
OPEN: Final = ("scheduled", "queued", "running", "restarting", "up_for_retry", *WAITS)
ENDS: Final[Mapping[str, str]] = {
    "success": "completed",
    "failed": "failed",
    "skipped": "skipped",
    "upstream_failed": "skipped",
    "removed": "skipped",
}
_NOT_BEGUN: Final = frozenset({"scheduled", "queued"})
"""Their start is that of the try before, or of a sensor's last look."""
_TIMERS: Final = ("DateTimeTrigger", "TimeDeltaTrigger")
Facts = dict[str, Any]


def parts_of(document: Any, hints: Hints) -> Parts:
    """`dag_runs`, `task_instances` (also those of `tries`), `tasks` and `dags`, each as the API answers it.

    `tasks` and `dags` are by the id of their DAG. Or one DAG run or task instance alone.
    """
    if isinstance(document, dict) and "dag_run_id" in document:
        document = {"task_instances" if "task_id" in document else "dag_runs": [document]}
    known = {"dag_runs", "task_instances", "tasks", "dags"}
    if not isinstance(document, dict) or not known & document.keys():
        raise InputError(
            "not of Airflow: expected dag_runs or task_instances as the API answers them"
        )
    facts: dict[str, Facts] = {}
    for index, run in enumerate(listed(document, "dag_runs")):
        where = f"dag_runs[{index}]."
        facts.setdefault(_execution(run, where), {}).update(_run(run, where))
    for index, task in enumerate(listed(document, "task_instances")):
        where = f"task_instances[{index}]."
        facts.setdefault(_execution(task, where), {}).update(_task_instance(task, where))
    return Parts(
        [Fragment(execution, its) for execution, its in facts.items()],
        definitions_of(inner(document, "tasks"), inner(document, "dags"), hints.namespace),
    )


def _execution(answer: Answer, where: str) -> str:
    """A run's id is unique in its DAG only; spans are put together in the same way."""
    dag, run = text(answer, "dag_id", where), text(answer, "dag_run_id", where)
    if not dag or not run:
        raise InputError(f"{where}{'dag_run_id' if dag else 'dag_id'}: is required")
    return f"{dag}/{run}"


def _run(run: Answer, where: str) -> Facts:
    state = text(run, "state", where)
    versions = listed(run, "dag_versions")
    version = number(versions[0], "version_number", where) if versions else 0
    fact: Facts = {"dag": text(run, "dag_id", where)}
    facts: Facts = {"run": fact}
    about = {"version": str(version or ""), "type": text(run, "run_type", where)}
    queued = _stamp(run, "queued_at", where)
    begun = _stamp(run, "start_date", where)
    ended = _stamp(run, "end_date", where)
    if queued:
        facts[f"queued:{queued}"] = {"at": queued}
    if begun:
        facts[f"begun:{begun}"] = {"at": begun, "queued": queued, **about}
    if state in RUN_ENDS and ended:
        facts[f"end:{state}:{ended}"] = {"at": ended}
    elif state not in RUN_OPEN and state not in RUN_ENDS:
        facts[f"state:{state[:60]}"] = {}
    return facts


def _task_instance(task: Answer, where: str) -> Facts:
    """The try that the row is about: its number grows when the task is scheduled, and is 0 before."""
    state = text(task, "state", where)
    name = text(task, "task_id", where)
    if not name:
        raise InputError(f"{where}task_id: is required")
    map_index = number(task, "map_index", where, -1)
    attempt = number(task, "try_number", where)
    base: Facts = {
        "task": name,
        "branch": str(map_index) if map_index >= 0 else "",
        "attempt": attempt or None,
    }
    more = {
        **base,
        "max_attempts": number(task, "max_tries", where) + 1,
        "queue": text(task, "queue", where) or text(task, "pool", where),
        "operator": text(task, "operator_name", where) or text(task, "operator", where),
    }
    # A task's id has no colon; the run's is in the fragment.
    its = f"{name}:{map_index}:{attempt}"
    facts: Facts = {"run": {"dag": text(task, "dag_id", where)}}
    scheduled = _stamp(task, "scheduled_when", where) or _stamp(task, "queued_when", where)
    begun = _stamp(task, "start_date", where)
    ended = _stamp(task, "end_date", where)
    if scheduled and attempt:
        facts[f"scheduled:{its}"] = {"at": scheduled, **more}
    if begun and attempt and state not in _NOT_BEGUN:
        facts[f"start:{its}"] = {"at": begun, "worker": text(task, "hostname", where), **more}
    queued = _stamp(task, "queued_when", where)
    if state == "running" and begun and queued and queued > begun:
        # Deferred and resumed: its start stays the first.
        facts[f"again:{its}:{queued}"] = {"at": queued, **base}
    if state in WAITS:
        facts[f"wait:{its}:{state}"] = {**base, **_wait(task, state, begun or scheduled, where)}
    elif state == "up_for_retry" and ended:
        facts[f"retry:{its}"] = {"at": ended, **more}
    elif state in ENDS and ended:
        facts[f"end:{its}:{state}"] = {"at": ended, "state": state, **more}
    elif state and state not in OPEN and state not in ENDS:
        facts[f"state:{state[:60]}"] = {}
    return {key: fact for key, fact in facts.items() if fact.get("at", "-") is not None}


def _wait(task: Answer, state: str, otherwise: str | None, where: str) -> Facts:
    trigger = inner(task, "trigger", where)
    class_name = text(trigger, "classpath", where).rpartition(".")[2]
    at = _stamp(trigger, "created_date", where)
    if state == "up_for_reschedule":
        at = _stamp(task, "end_date", where)
    waiting_on = "timer" if class_name in _TIMERS else WAITS[state]
    return {"at": at or otherwise, "waiting_on": waiting_on, "trigger": class_name}


def _stamp(answer: Answer, name: str, where: str) -> str | None:
    at = time(answer, name, where)
    return None if at is None else at.isoformat()
