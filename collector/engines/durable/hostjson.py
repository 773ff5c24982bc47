"""`host.json` of a Functions app: what holds for every function in it.

https://learn.microsoft.com/azure/azure-functions/functions-host-json
"""

from collections.abc import Mapping
from typing import Any, Final

from collector.engines.durable import values
from collector.engines.durable.telling import ENGINE
from collector.engines.reading import Hints
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition

EVERY_WORKFLOW: Final = "*"
_NUMBERS: Final = (
    "maxConcurrentActivityFunctions", "maxConcurrentOrchestratorFunctions", "maxConcurrentEntityFunctions",
    "maxEntityOperationBatchSize", "maxOrchestrationActions",
)  # fmt: skip
_SWITCHES: Final = (
    "extendedSessionsEnabled",
    "useGracefulShutdown",
    "rollbackEntityOperationsOnExceptions",
)
_STORAGE: Final = (
    "type", "partitionCount", "controlQueueBatchSize", "controlQueueVisibilityTimeout",
    "workItemQueueVisibilityTimeout", "maxQueuePollingInterval",
)  # fmt: skip


def is_hostjson(document: object) -> bool:
    if not isinstance(document, Mapping) or "instanceId" in document:
        return False
    extensions = document.get("extensions")
    has_durable = isinstance(extensions, Mapping) and "durableTask" in extensions
    return has_durable or "functionTimeout" in document or document.get("version") == "2.0"


def definition_of(document: Mapping[str, Any], hints: Hints) -> Definition:
    """What is declared for every workflow of the app: the functions' timeout, and what else bounds how it works.

    Without `functionTimeout`, or with `-1`, there is no timeout that the file declares: the plan's default holds.
    Raises InputError if the timeout is no time.
    """
    timeout = document.get("functionTimeout")
    timeout_s = values.seconds(timeout)
    is_unlimited = isinstance(timeout, str) and timeout.startswith("-")
    if timeout is not None and timeout_s is None and not is_unlimited:
        raise InputError("functionTimeout: must be a time like 00:05:00, or -1")
    return Definition(
        engine=ENGINE,
        workflow=EVERY_WORKFLOW,
        namespace=hints.namespace,
        source="hostjson",
        kind="host",
        timeout_s=timeout_s,
        attributes=_attributes(document, is_unlimited),
    )


def _attributes(document: Mapping[str, Any], is_unlimited: bool) -> dict[str, str]:
    durable = values.mapping(values.mapping(document.get("extensions")).get("durableTask"))
    found = {"functionTimeout": "unlimited"} if is_unlimited else {}
    for name in ("hubName", "defaultVersion", "versionMatchStrategy"):
        if value := values.text(durable, name):
            found[name] = value
    for name in _NUMBERS:
        value_n = values.number(durable, name)
        if value_n is not None:
            found[name] = str(value_n)
    for name in _SWITCHES:
        if isinstance(durable.get(name), bool):
            found[name] = str(durable[name]).lower()
    storage = values.mapping(durable.get("storageProvider"))
    for name in _STORAGE:
        setting = storage.get(name)
        if isinstance(setting, str | int):
            found[f"storageProvider.{name}"] = str(setting)[: values.NAME_MAX]
    return found
