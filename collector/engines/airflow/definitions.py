"""What DAGs declare, as Airflow's API tells it: timeouts, retries, and what follows what."""

import re
from datetime import timedelta
from typing import Any, Final

from collector.engines.answers import Answer, listed, text
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition

ENGINE: Final = "airflow"
_DURATION: Final = re.compile(
    r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)  # fmt: skip


def definitions_of(tasks: Answer, dags: Answer, namespace: str) -> list[Definition]:
    """`tasks`: the answers for `/dags/<id>/tasks` by DAG; `dags`: those for `/dags/<id>/details`."""
    found = []
    for dag, details in dags.items():
        timeout_s = duration_s(details.get("dag_run_timeout"), f"dags.{dag}.dag_run_timeout")
        found.append(_definition(dag, namespace, timeout_s=timeout_s))
    for dag in tasks:
        for index, task in enumerate(listed(tasks, dag)):
            where = f"tasks.{dag}[{index}]."
            found.append(_task(dag, task, namespace, where))
    return found


def _task(dag: str, task: Answer, namespace: str, where: str) -> Definition:
    retries = _number(task, "retries")
    delay_s = duration_s(task.get("retry_delay"), f"{where}retry_delay")
    # True in old versions, the base of the power in newer ones.
    growth = _number(task, "retry_exponential_backoff")
    following = task.get("downstream_task_ids")
    return _definition(
        dag,
        namespace,
        step=text(task, "task_id", where),
        kind=text(task, "operator_name", where),
        timeout_s=duration_s(task.get("execution_timeout"), f"{where}execution_timeout"),
        max_attempts=int(retries) + 1,
        backoff_s=delay_s if retries else None,
        backoff_rate=max(growth, 2.0) if retries and growth else None,
        next=tuple(str(one) for one in following) if isinstance(following, list) else (),
        attributes={"trigger_rule": text(task, "trigger_rule", where)},
    )


def _definition(dag: str, namespace: str, **more: Any) -> Definition:
    return Definition(engine=ENGINE, workflow=dag, namespace=namespace, source="server", **more)


def duration_s(value: Any, where: str) -> float | None:
    """`{"days": …, "seconds": …, "microseconds": …}`, ISO 8601 (`PT1H`), or seconds; None if there is none."""
    if value is None:
        return None
    if isinstance(value, dict):
        parts = [_number(value, name) for name in ("days", "seconds", "microseconds")]
        return timedelta(days=parts[0], seconds=parts[1], microseconds=parts[2]).total_seconds()
    if isinstance(value, int | float):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InputError(f"{where}: is no duration")
    days, hours, minutes, seconds = (float(one or 0) for one in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def _number(answer: Answer, name: str) -> float:
    value = answer.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
