"""What became of what was called late: an attempt that completes after all was healthy. Nobody has
to say so, which makes it the measure of the false alarms that were raised.

A stall that somebody repaired, so that its attempt went on, looks the same: only a person can say
that it was real.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from detectors.lifecycle import Changes
from detectors.sql import sql_text
from stallwatch.model.findings import Finding, Status
from stallwatch.store import Store

_SQL: Final = sql_text("aftermath")


@dataclass(frozen=True)
class CompletedLate:
    """`n` attempts that `finding`, as it was, called late have completed, the longest after
    `longest_s`."""

    finding: Finding
    n: int
    longest_s: float


def completed_late(
    store: Store, earlier: Mapping[str, Finding], changes: Changes, until: datetime
) -> list[CompletedLate]:
    """Which of the attempts that a tick's changes let go of have completed. Of a finding with more
    executions than it names, those that it names."""
    let_go = list(_let_go(earlier, changes))
    if not let_go:
        return []
    named = sorted(
        {(one.namespace, one.engine, execution) for one, gone in let_go for execution in gone}
    )
    namespaces, engines, executions = zip(*named, strict=True)
    parameters = {
        "namespaces": list(namespaces),
        "engines": list(engines),
        "executions": list(executions),
        "steps": sorted({one.step for one, _ in let_go}),
        "from": min(one.first_seen for one, _ in let_go),
        "until": until,
    }
    return list(_found(let_go, store.select(_SQL, parameters)))


def _let_go(
    earlier: Mapping[str, Finding], changes: Changes
) -> Iterator[tuple[Finding, frozenset[str]]]:
    """The findings that called attempts late, as they were, and the executions that they no longer name."""
    for after in (*changes.transitions, *changes.news):
        before = earlier.get(after.fingerprint)
        if after.detector != "stalled_step" or before is None or before.status is not Status.FIRING:
            continue
        kept = () if after.status is Status.RESOLVED else after.executions
        gone = frozenset(before.executions) - frozenset(kept)
        if gone:
            yield before, gone


def _found(
    let_go: Sequence[tuple[Finding, frozenset[str]]], rows: Sequence[Mapping[str, Any]]
) -> Iterator[CompletedLate]:
    for finding, gone in let_go:
        place = (finding.namespace, finding.engine, finding.workflow, finding.step)
        # What took no longer than was allowed is another attempt: a retry, or the next round of a loop.
        allowed_s = float(finding.evidence.get("threshold_s", 0.0))
        durations_s = [
            row["longest_s"]
            for row in rows
            if (row["namespace"], row["engine"], row["workflow"], row["step"]) == place
            and row["execution_id"] in gone
            and row["last_received_at"] >= finding.first_seen
            and row["longest_s"] > allowed_s
        ]
        if durations_s:
            yield CompletedLate(finding, len(durations_s), max(durations_s))
