"""AWS Step Functions: histories, statuses, definitions; what EventBridge, CloudWatch Logs and Firehose push."""

from pathlib import Path
from typing import Any, Final

import msgspec

from collector.engines.reading import Delivery, Engine, Facts, Hints, Parts, Poller, Reading
from collector.engines.stepfunctions import arns, documents, history, push
from collector.engines.stepfunctions.poll import StepFunctionsPoller
from collector.engines.stepfunctions.push import Broken
from stallwatch.errors import InputError

_DESCRIBES: Final = ("describe_{}", "describe-{}", "{}_describe", "{}-describe", "{}.describe")
_DESCRIBE_BYTES_MAX: Final = 4 * 1024 * 1024
"""An input and an output of 256 KiB each, all of it escaped."""


class StepFunctions(Engine):
    """See `docs/engines/stepfunctions.md`."""

    name = "stepfunctions"

    def parts(self, document: Any, hints: Hints) -> Parts:
        if isinstance(document, Broken):
            raise InputError(document.reason)
        if isinstance(document, list):
            return _joined([self.parts(one, hints) for one in document])
        delivered = push.delivery(document)
        if delivered is not None:
            return _joined([self.parts(one, hints) for one in delivered.documents])
        return documents.parts(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        return history.read(execution, facts, namespace)

    def delivery(self, document: Any) -> Delivery | None:
        return push.delivery(document)

    def file_hints(self, path: Path, hints: Hints) -> Hints:
        """A history does not say whose it is: a DescribeExecution response of the same name beside it does.

        `history_x.json` goes with `describe_x.json`, `x.json` with `x.describe.json` and the like. Without one, `x` is
        the execution's id, and the workflow's name unless that is said.
        """
        if hints.execution_id:
            return hints
        name = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
        for before in ("history_", "history-"):
            name = name.removeprefix(before)
        for after in ("_history", "-history", ".history"):
            name = name.removesuffix(after)
        for pattern in _DESCRIBES:
            arn = _described(path.with_name(pattern.format(name) + ".json"))
            if arn:
                return hints._replace(execution_id=arn)
        return hints._replace(execution_id=name)

    def poller(self, config: Any) -> Poller:
        return StepFunctionsPoller(self, config)


def _joined(parts: list[Parts]) -> Parts:
    return Parts(
        [fragment for part in parts for fragment in part.fragments],
        [definition for part in parts for definition in part.definitions],
    )


def _described(path: Path) -> str:
    """The ARN of the execution that a file describes; empty if there is none."""
    try:
        with path.open("rb") as file:
            document = msgspec.json.decode(file.read(_DESCRIBE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return ""
    arn = document.get("executionArn") if isinstance(document, dict) else None
    return arn if isinstance(arn, str) and arns.execution(arn) else ""
