"""Temporal: histories and descriptions of workflow executions to step events; `poll.py` asks a server for them."""

import re
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from collector.engines.reading import Engine, Facts, Fate, Hints, Parts, Poller, Reading
from collector.engines.temporal.activities import tell_activities
from collector.engines.temporal.documents import take_apart
from collector.engines.temporal.facts import IGNORED, MAPPED
from collector.engines.temporal.operations import is_local_activity, tell_operations
from collector.engines.temporal.run import Run
from collector.engines.temporal.tasks import tell_tasks
from collector.engines.temporal.waits import tell_waits
from collector.engines.temporal.workflows import is_closed, tell_workflow
from stallwatch.errors import ConfigError

_SUFFIX: Final = re.compile(r"(\.jsonl?|\.gz)+$", re.IGNORECASE)


class Temporal(Engine):
    """Temporal, whatever the SDK."""

    name = "temporal"

    def parts(self, document: Any, hints: Hints) -> Parts:
        return take_apart(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        run = Run(execution, facts, namespace)
        tell_workflow(run)
        tell_activities(run)
        tell_waits(run)
        tell_tasks(run)
        tell_operations(run)
        kinds = Counter((_fate(fact), fact["type"]) for fact in run.ordered)
        return Reading(list(run.told.values()), is_closed(run), kinds)

    def file_hints(self, path: Path, hints: Hints) -> Hints:
        """Older servers' histories do not say whose they are: then the file's name does."""
        return hints._replace(execution_id=hints.execution_id or _SUFFIX.sub("", path.name))

    def poller(self, config: Any) -> Poller:
        if find_spec("temporalio") is None:
            raise ConfigError(
                "engines.temporal: asking Temporal needs its SDK: pip install 'stallwatch[temporal]'"
            )
        # Only here: histories are read without the SDK.
        poller: Poller = import_module("collector.engines.temporal.poll").TemporalPoller(config)
        return poller


def _fate(fact: dict[str, Any]) -> Fate:
    kind = fact["type"]
    if kind == "MARKER_RECORDED":
        return "mapped" if is_local_activity(fact) else "ignored"
    if kind in MAPPED:
        return "mapped"
    return "ignored" if kind in IGNORED else "unknown"
