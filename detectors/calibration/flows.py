"""Which step follows which in each workflow, from the courses of its closed executions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from detectors.calibration.learned import WorkflowKey
from detectors.statistics.flow_model import (
    WHOLE,
    Flow,
    Observed,
    learned_flow,
    learned_rosters,
)
from stallwatch.store import Store

EXECUTIONS_MAX: Final = 20_000
EXECUTIONS_OF_ALL_MAX: Final = 300_000
"""The newest executions of a workflow, and of all, that are looked at."""
COURSES_MAX: Final = 5_000
COURSES_OF_ALL_MAX: Final = 50_000
"""Different courses of a workflow, and of all, the most frequent first. A workflow that has more is too varied:
what is rare in it is not known to be so. What ran, in whatever order, may still be known."""
LONGEST: Final = 400
"""Points of a course: one with more (a loop over many pages) teaches nothing and is not judged."""
CLOCKS_AHEAD: Final = timedelta(minutes=10)
_ROOM: Final = files("detectors.calibration")
_SQL: Final = (_ROOM / "flows.sql").read_text(encoding="utf-8").strip()
_WHOLES: Final = (_ROOM / "wholes.sql").read_text(encoding="utf-8").strip()


def learn_flows(store: Store, since: datetime, until: datetime) -> dict[WorkflowKey, Flow]:
    """From executions that ended in (since, until]."""
    parameters = {
        "from": since,
        "until": until,
        "folded_from": max(0, int((since - CLOCKS_AHEAD).timestamp() * 1e6)),
        "most": EXECUTIONS_MAX,
        "most_of_all": EXECUTIONS_OF_ALL_MAX,
        "longest": LONGEST,
        "courses": COURSES_MAX,
        "courses_of_all": COURSES_OF_ALL_MAX,
    }
    flows = flows_of(store.select(_SQL, {**parameters, "in_order": True, "only": []}))
    varied = sorted({workflow for (_, _, workflow), flow in flows.items() if flow.varied})
    if varied:
        rows = store.select(_SQL, {**parameters, "in_order": False, "only": varied})
        flows = with_rosters(flows, rows)
    branched = sorted({workflow for (_, _, workflow), flow in flows.items() if flow.has_branches})
    if branched:
        rows = store.select(_WHOLES, {**parameters, "whole": WHOLE, "only": branched})
        flows = with_wholes(flows, rows)
    return flows


def flows_of(rows: Iterable[Mapping[str, Any]]) -> dict[WorkflowKey, Flow]:
    """From rows of `flows.sql`."""
    return {
        key: learned_flow(courses, is_varied)
        for key, (courses, is_varied) in _observed(rows).items()
    }


def with_rosters(
    flows: Mapping[WorkflowKey, Flow], rows: Iterable[Mapping[str, Any]]
) -> dict[WorkflowKey, Flow]:
    """The same, and of those that are too varied in their order what ran, from rows that do not tell the order."""
    observed = _observed(rows)
    known = {
        key: replace(flow, rosters=learned_rosters(observed[key][0]))
        for key, flow in flows.items()
        if flow.varied and key in observed and not observed[key][1]
    }
    return {**flows, **known}


def with_wholes(
    flows: Mapping[WorkflowKey, Flow], rows: Iterable[Mapping[str, Any]]
) -> dict[WorkflowKey, Flow]:
    """The same, and of those with branches what ran in the whole of an execution, from rows of `wholes.sql`."""
    known = {
        key: replace(flows[key], rosters={**flows[key].rosters, **learned_rosters(courses)})
        for key, (courses, is_varied) in _observed(rows).items()
        if key in flows and not is_varied
    }
    return {**flows, **known}


def _observed(
    rows: Iterable[Mapping[str, Any]],
) -> dict[WorkflowKey, tuple[list[Observed], bool]]:
    """What was seen of each workflow, and whether that cannot be all."""
    observed: defaultdict[WorkflowKey, list[Observed]] = defaultdict(list)
    for row in rows:
        observed[(row["namespace"], row["engine"], row["workflow"])].append(
            Observed(
                row["workflow_version"],
                row["depth"],
                tuple(row["course"]),
                bool(row["completed"]),
                row["n"],
                row["first_at"],
                tuple(row["executions"]),
            )
        )
    cut = sum(len(courses) for courses in observed.values()) >= COURSES_OF_ALL_MAX
    return {key: (ones, cut or len(ones) >= COURSES_MAX) for key, ones in observed.items()}
