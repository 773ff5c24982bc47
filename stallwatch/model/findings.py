"""What detectors say (Observation), what is remembered of it (Finding), what has one cause (Incident)."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from stallwatch.model.causes import Cause, cause_of
from stallwatch.model.durations import parse_time, rfc3339

DETECTOR_IDS: Final = (
    "stalled_step",
    "stalled_execution",
    "never_started",
    "dead_queue",
    "overdue_wait",
    "overdue_execution",
    "retry_storm",
    "retries_exhausted",
    "failed_execution",
    "event_gap",
    "missing_step",
    "duplicate_step",
    "state_regression",
    "error_burst",
    "timeout_burst",
    "partial_failure",
    "missing_compensation",
    "timeout_cascade",
    "history_limit",
    "payload_growth",
    "throttled",
    "scheduling_lag",
    "telemetry_silence",
    "swallowed_error",
)
POINT_DETECTORS: Final = frozenset(
    {
        "failed_execution",
        "retries_exhausted",
        "duplicate_step",
        "event_gap",
        "missing_step",
        "missing_compensation",
        "state_regression",
        "swallowed_error",
    }
)
"""Their findings tell of a moment, and hold for `point_finding_ttl`; the others hold while what they tell is so."""
TOLD_UNTIL: Final = "told_until"
"""In the evidence of a point finding: it ends then, unless it happens again or later data repairs it before."""
LAST_LOOK: Final = timedelta(minutes=5)
"""So long before its end the last tick may lie that saw a finding."""
EXECUTIONS_MAX: Final = 100
"""How many execution ids one finding names; `count` tells them all."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Status(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One thing that a detector holds true at the end of its tick.

    `since`: when the trouble began, event time. `suspected` keeps it pending. `point_until` is set for
    point findings: they hold until then although the detector need not say them again.
    `hidden_by`: the sender without whose data nobody can tell whether it is still so: the finding is unknown.
    `waiting_steps`: of its executions, the steps that only wait for what this tells.
    `key` sets findings apart that share detector, namespace, engine, workflow and step (an error type, a sender).
    `step_may_change`: the step is where most of it is so far, and no part of what the finding is.
    """

    detector: str
    severity: Severity
    namespace: str = ""
    engine: str = ""
    workflow: str = ""
    step: str = ""
    step_may_change: bool = False
    key: str = ""
    executions: tuple[str, ...] = ()
    count: int = 0
    since: datetime
    title: str
    explanation: str
    evidence: dict[str, Any] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()
    suspected: bool = False
    hidden_by: str = ""
    point_until: datetime | None = None
    waiting_steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A point finding carries in its evidence until when it is told: one that ends then was not repaired."""
        if self.point_until is not None:
            evidence = {**self.evidence, TOLD_UNTIL: rfc3339(self.point_until)}
            object.__setattr__(self, "evidence", evidence)

    @property
    def fingerprint(self) -> str:
        """The identity of the finding over time: 16 hex digits."""
        step = "" if self.step_may_change else self.step
        parts = (self.detector, self.namespace, self.engine, self.workflow, step, self.key)
        return hashlib.blake2b("\x00".join(parts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An observation with its life (CONTRACT "Detectors and findings")."""

    detector: str
    severity: Severity
    status: Status
    namespace: str
    engine: str
    workflow: str
    step: str
    executions: tuple[str, ...]
    count: int
    first_seen: datetime
    last_seen: datetime
    fingerprint: str
    title: str
    explanation: str
    evidence: dict[str, Any]
    next_steps: tuple[str, ...]
    number: int = 0
    """Counts this finding's transitions, from 1: with the fingerprint it names one state of one finding."""

    def lapsed(self, by: datetime) -> bool:
        """Whether it ended before then only because it had been told for long enough: nothing was repaired."""
        told_until = self.evidence.get(TOLD_UNTIL)
        if self.status is not Status.RESOLVED or told_until is None:
            return False
        end = parse_time(told_until, by)
        return end <= by and end - self.last_seen <= LAST_LOOK


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Findings with one cause. Open while `closed_at` is None.

    `cause` in words; `key` is what makes findings belong to it.
    `merged_into`: the id of the incident that goes on with its findings; `split_from`: of the one that had them before.
    """

    id: str
    cause: str
    severity: Severity
    opened_at: datetime
    closed_at: datetime | None
    findings: tuple[Finding, ...]
    key: tuple[str, ...] = ()
    merged_into: str = ""
    split_from: str = ""

    @property
    def executions(self) -> int:
        """How many executions its findings count that are not over (when all are over: all findings), each once as far
        as can be told."""
        return executions_of(self._lasting)

    @property
    def common_cause(self) -> Cause | None:
        """What its findings share, as far as that is known."""
        return common_cause(self._lasting)

    @property
    def _lasting(self) -> Sequence[Finding]:
        lasting = [one for one in self.findings if one.status is not Status.RESOLVED]
        return lasting or self.findings


def common_cause(findings: Iterable[Finding]) -> Cause | None:
    """The cause that most of these findings' executions have; None where none has one."""
    weights: dict[tuple[str, ...], int] = {}
    causes: dict[tuple[str, ...], Cause] = {}
    for finding in findings:
        cause = cause_of(finding.evidence)
        if cause is not None:
            weights[cause.key] = weights.get(cause.key, 0) + max(finding.count, 1)
            causes[cause.key] = cause
    return causes[max(sorted(weights), key=weights.__getitem__)] if weights else None


def executions_of(findings: Collection[Finding]) -> int:
    """How many executions these findings count together.

    Exact where they name all of theirs. Else those of different workflows or steps are taken for different ones, and
    those of one step, or of a workflow as a whole, for the same; what is no workflow's (a dead queue) stands alone.
    """
    if all(len(finding.executions) == finding.count for finding in findings):
        return len(
            {(one.namespace, one.engine, name) for one in findings for name in one.executions}
        )
    places: dict[tuple[str, str, str], dict[str, int]] = {}
    for one in findings:
        whole = one.workflow or one.fingerprint
        steps = places.setdefault((one.namespace, one.engine, whole), {})
        steps[one.step] = max(steps.get(one.step, 0), one.count)
    return sum(
        max(steps.get("", 0), sum(count for step, count in steps.items() if step))
        for steps in places.values()
    )
