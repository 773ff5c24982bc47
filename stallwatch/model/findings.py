"""What detectors say (Observation), what is remembered of it (Finding), what has one cause (Incident)."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

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
)
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


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Findings with one cause. Open while `closed_at` is None."""

    id: str
    cause: str
    severity: Severity
    opened_at: datetime
    closed_at: datetime | None
    findings: tuple[Finding, ...]

    @property
    def executions(self) -> int:
        """How many executions its findings count (one execution may be counted by two findings)."""
        return max((finding.count for finding in self.findings), default=0)
