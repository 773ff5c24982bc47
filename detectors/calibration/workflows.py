"""How workflows are put together, and what is declared of them and their steps: what a cascade of timeouts is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

from detectors.statistics.cascades import StepLimits
from detectors.statistics.step_laws import Attempt
from detectors.statistics.workflow_time import StepGraph, learn_graph
from stallwatch.model.definitions import SOURCES
from stallwatch.store import Store

WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""

SAMPLE: Final = 1000
"""Executions of a workflow that are looked at; the p99.9 needs no fewer."""
EXECUTIONS_MAX: Final = 10_000
"""Of all workflows together."""
LATEST: Final = 20
"""So many of the latest executions are asked what they declare."""

_SQL: Final = (files("detectors.calibration") / "workflows.sql").read_text(encoding="utf-8")
_DEFINED: Final = (files("detectors.calibration") / "definitions.sql").read_text(encoding="utf-8")
_FIELDS: Final = (
    "timeout_s", "schedule_to_close_timeout_s", "max_attempts", "backoff_s", "backoff_rate", "backoff_max_s",
)  # fmt: skip


Defined = tuple[StepLimits, Mapping[str, Any]]
"""What is declared, and the row of the definition that declares it."""
Run = tuple[float, Sequence[Sequence[Any]]]
"""How many seconds an execution took, and the fields of its Attempts."""


@dataclass(frozen=True)
class Past:
    """A sample of a workflow's completed executions. `beyond_seen`: as in `Law`."""

    runs: Sequence[Run]
    beyond_seen: bool = False

    @cached_property
    def graph(self) -> StepGraph | None:
        """What they have in common; learned when somebody asks, for only a workflow with a timeout needs it."""
        runs = [(took_s, [Attempt(*one) for one in tries]) for took_s, tries in self.runs]
        return learn_graph(runs, self.beyond_seen)


@dataclass(frozen=True)
class Workflow:
    """What is known of one workflow. `timeout_s` is the timeout of the whole that was declared last, at `declared_at`;
    `source` the definition that declares it, empty: the executions do. `limits` are those of its steps."""

    past: Past = Past(())
    limits: Mapping[str, StepLimits] = field(default_factory=dict)
    timeout_s: float | None = None
    declared_at: datetime | None = None
    source: str = ""

    @property
    def graph(self) -> StepGraph | None:
        return self.past.graph


def learn_workflows(
    store: Store, since: datetime, until: datetime, only: WorkflowKey | None = None
) -> dict[WorkflowKey, Workflow]:
    """From executions that ended in (since, until], and from what definitions declare by now.

    `only` one workflow: to say what it should have, its graph may draw what is longer than what was seen.
    """
    bounds = {"sample": SAMPLE, "most": EXECUTIONS_MAX, "latest": LATEST}
    window = {"from": since, "until": until, "only": list(only or ())}
    learned = {
        _key(row): Workflow(
            past=Past(row["runs"], beyond_seen=only is not None),
            limits=merged(limits for declared in row["limits"] for limits in declared),
            timeout_s=row["timeout_s"],
            declared_at=row["declared_at"],
        )
        for row in store.select(_SQL, {**window, **bounds})
    }
    defined = _defined(store.select(_DEFINED))
    return {
        key: _with_definition(learned.get(key, Workflow()), defined.get(key, {}))
        for key in {**learned, **defined}
        if only in (None, key)
    }


def merged(said: Iterable[Sequence[Any]]) -> dict[str, StepLimits]:
    """Step and then the fields of StepLimits, what counts most first, to the limits of each step."""
    limits: dict[str, StepLimits] = {}
    for step, *values in said:
        limits[step] = limits.get(step, StepLimits()).over(StepLimits(*values))
    return limits


def _defined(
    rows: Sequence[Mapping[str, Any]],
) -> dict[WorkflowKey, dict[str, tuple[StepLimits, Mapping[str, Any]]]]:
    """By workflow and step (empty: the whole), what the version declared last says, the most trusted source first;
    beside it the row that says it."""
    newest = {_key(row): row["workflow_version"] for row in rows}
    found: dict[WorkflowKey, dict[str, Defined]] = {}
    for row in sorted(rows, key=lambda row: SOURCES.index(row["source"])):
        if row["workflow_version"] not in ("", newest[_key(row)]):
            continue
        steps = found.setdefault(_key(row), {})
        said = StepLimits(*(row[name] for name in _FIELDS))
        before, first = steps.get(row["step"], (StepLimits(), row))
        steps[row["step"]] = (before.over(said), first)
    return found


def _key(row: Mapping[str, Any]) -> WorkflowKey:
    return (row["namespace"], row["engine"], row["workflow"])


def _with_definition(seen: Workflow, defined: Mapping[str, Defined]) -> Workflow:
    """What executions declare themselves counts; what they do not, their definition says."""
    if not defined:
        return seen
    steps = {step: limits for step, (limits, _) in defined.items() if step}
    limits = {
        step: seen.limits.get(step, StepLimits()).over(steps.get(step, StepLimits()))
        for step in {**seen.limits, **steps}
    }
    whole, row = defined.get("", (StepLimits(), {}))
    if seen.timeout_s or not whole.timeout_s:
        return Workflow(seen.past, limits, seen.timeout_s, seen.declared_at)
    return Workflow(seen.past, limits, whole.timeout_s, row["declared_at"], row["source"])
