"""Attempts counted by what they have in common, and where among them the findings are. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.detector import ExecutionKey, Place, Row, place_of
from detectors.statistics.explain import NO_VALUE, Cells
from stallwatch.model.causes import DIMENSIONS
from stallwatch.model.findings import Finding

OPEN_TROUBLE: Final = frozenset(
    {
        "stalled_step",
        "stalled_execution",
        "never_started",
        "dead_queue",
        "overdue_execution",
        "overdue_wait",
    }
)
"""Detectors whose findings are about attempts that are open."""
NAMED_MAX: Final = 200
ENDED_TROUBLE: Final = frozenset({"retries_exhausted", "failed_execution"})
"""About attempts that failed, of the executions that they name."""
EITHER_TROUBLE: Final = frozenset({"partial_failure"})
RATE_TROUBLE: Final = frozenset({"retry_storm", "error_burst", "timeout_burst", "throttled"})
"""About how many attempts fail: all that failed lately where the finding is."""
STEP_OF_MOST: Final = frozenset({"overdue_execution", "dead_queue"})
"""Their findings name the step in which most of it is, if there is one."""
EXPLAINED: Final = OPEN_TROUBLE | ENDED_TROUBLE | EITHER_TROUBLE | RATE_TROUBLE
"""What tells of the state of one execution only (gaps, duplicates, limits) has its cause in itself."""


@dataclass(frozen=True)
class Trouble:
    """A firing finding and all of its executions, of which the finding itself names the first only."""

    finding: Finding
    executions: Sequence[str]


@dataclass(frozen=True)
class Population:
    """Attempts by what they have in common. `names`: by dimension the values behind the codes. `of`: of each finding
    (by fingerprint) how many affected attempts are in which cell."""

    cells: Cells
    names: Mapping[str, Sequence[tuple[str, ...]]]
    of: Mapping[str, Mapping[int, float]]


def populate(
    rows: Sequence[Row], troubles: Sequence[Trouble], stand_for: Mapping[Place, float]
) -> Population:
    """Rows of the statement as cells, and where in them the findings are.

    `stand_for`: where the executions that were asked for by name stand for more, for how many. There what ended counts
    less by that, and what is open and was not named does not count, because nobody knows whether it is in trouble.
    """
    rows = _weighed(rows, stand_for)
    codes: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in DIMENSIONS}
    places: dict[tuple[int, ...], int] = {}
    cell_of = [places.setdefault(_codes(row, codes), len(places)) for row in rows]
    attempts = _counted(cell_of, [row["attempts"] for row in rows], len(places))
    affected = np.zeros(len(places))
    of: defaultdict[str, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for cell, row, found in _in_trouble(cell_of, rows, troubles):
        affected[cell] += row["attempts"]
        for fingerprint in found:
            of[fingerprint][cell] += row["attempts"]
    table = np.array(list(places), dtype=np.int64).reshape(len(places), len(DIMENSIONS))
    table, merged = _merged(table, affected)
    cells = Cells(
        attempts=_counted(merged, attempts, len(table)),
        affected=_counted(merged, affected, len(table)),
        codes={name: table[:, index] for index, name in enumerate(DIMENSIONS)},
        values={name: len(known) for name, known in codes.items()},
    )
    moved = {fingerprint: _moved(counts, merged) for fingerprint, counts in of.items()}
    return Population(cells, {name: list(known) for name, known in codes.items()}, moved)


def _weighed(rows: Sequence[Row], stand_for: Mapping[Place, float]) -> Sequence[Row]:
    if not stand_for:
        return rows
    found = []
    for row in rows:
        namespace, engine, workflow, step = place_of(row)
        wider = ((workflow, step), (workflow, ""), ("", ""))
        each = max(stand_for.get((namespace, engine, *place), 1.0) for place in wider)
        if each == 1.0 or row["execution"]:
            found.append(row)
        elif not row["is_open"]:
            found.append({**row, "attempts": row["attempts"] / each})
    return found


def is_by_name(finding: Finding) -> bool:
    """Whether the finding is about attempts of the executions that it names. Else it is about all that fail where it
    is: so are those that name executions which failed, once they are many."""
    if finding.detector in ENDED_TROUBLE:
        return finding.count <= NAMED_MAX
    return finding.detector not in RATE_TROUBLE


def _counted(
    cell_of: Sequence[int] | NDArray[np.int64],
    weights: Sequence[float] | NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    return np.bincount(np.asarray(cell_of, dtype=np.int64), weights, size).astype(np.float64)


def _merged(
    table: NDArray[np.int64], affected: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fewer cells: values of which nothing is affected are no causes, so they need not be told apart. The new table,
    and the new cell of each old one."""
    for column in table.T:
        touched = np.unique(column[affected > 0])
        column[~np.isin(column, touched)] = NO_VALUE
    fewer, merged = np.unique(table, axis=0, return_inverse=True)
    return fewer, merged.reshape(-1)


def _moved(counts: Mapping[int, float], merged: NDArray[np.int64]) -> dict[int, float]:
    found: defaultdict[int, float] = defaultdict(float)
    for cell, n in counts.items():
        found[int(merged[cell])] += n
    return dict(found)


def _codes(row: Row, codes: Mapping[str, dict[tuple[str, ...], int]]) -> tuple[int, ...]:
    found = []
    for name, columns in DIMENSIONS.items():
        value = tuple(row[column] for column in columns)
        known = codes[name]
        found.append(known.setdefault(value, len(known)) if value[-1] else NO_VALUE)
    return tuple(found)


def _in_trouble(
    cell_of: Sequence[int], rows: Sequence[Row], troubles: Sequence[Trouble]
) -> Iterable[tuple[int, Row, set[str]]]:
    """Rows that findings are about, with the fingerprints of these findings."""
    by_rate = [one.finding for one in troubles if not is_by_name(one.finding)]
    by_execution: defaultdict[ExecutionKey, list[Finding]] = defaultdict(list)
    for one in troubles:
        if is_by_name(one.finding):
            for name in one.executions:
                by_execution[one.finding.namespace, one.finding.engine, name].append(one.finding)
    for cell, row in zip(cell_of, rows, strict=True):
        key = (row["namespace"], row["engine"], row["execution"])
        found = {one.fingerprint for one in by_execution.get(key, ()) if _is_about(one, row)}
        if row["has_failed"]:
            found |= {one.fingerprint for one in by_rate if _is_where(one, row)}
        if found:
            yield cell, row, found


def _is_about(finding: Finding, row: Row) -> bool:
    """Whether this attempt of an execution that the finding names is in the trouble that it tells."""
    if finding.detector in OPEN_TROUBLE and not row["is_open"]:
        return False
    if finding.detector in ENDED_TROUBLE and not row["has_failed"]:
        return False
    return (row["is_open"] or row["has_failed"]) and _is_place(finding, row)


def _is_place(finding: Finding, row: Row) -> bool:
    return finding.workflow in ("", row["workflow"]) and (
        # What an execution waits for need not be the step that most of them wait for.
        finding.detector in STEP_OF_MOST or finding.step in ("", row["step"])
    )


def _is_where(finding: Finding, row: Row) -> bool:
    """Whether attempts like this one are what the finding counts. What names no workflow says by a dimension what it is
    about."""
    if finding.namespace not in ("", row["namespace"]) or finding.engine not in ("", row["engine"]):
        return False
    if finding.workflow:
        return _is_place(finding, row)
    said = {
        name: finding.evidence[name]
        for name in ("downstream", "queue", "region")
        if finding.evidence.get(name)
    }
    return bool(said or finding.engine) and all(row[name] == value for name, value in said.items())
