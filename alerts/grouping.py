"""Findings with one cause become one incident."""

import hashlib
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Finding, Incident, Severity, Status
from stallwatch.model.findings_json import finding_from_json, finding_to_json

RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class GroupKey(NamedTuple):
    """What findings of one incident share."""

    namespace: str
    engine: str
    detector: str
    workflow: str
    step: str


class Kind(StrEnum):
    OPENED = "opened"
    CHANGED = "changed"
    KEPT = "kept"
    CLOSED = "closed"


class Reason(StrEnum):
    """Why an incident is as it is after a look at the findings."""

    FIRST_FIRING = "first_firing"
    FINDING_JOINED = "finding_joined"
    SEVERITY_CHANGED = "severity_changed"
    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"
    ALL_RESOLVED = "all_resolved"
    FINDINGS_GONE = "findings_gone"


@dataclass(frozen=True)
class Transition:
    """What became of one incident, and why."""

    kind: Kind
    reason: Reason
    incident: Incident


def key_of(finding: Finding) -> GroupKey:
    """The group that a finding belongs to."""
    return GroupKey(
        finding.namespace, finding.engine, finding.detector, finding.workflow, finding.step
    )


def regroup(
    open_incidents: Iterable[Incident],
    findings: Iterable[Finding],
    acknowledged: Collection[str],
    now: datetime,
) -> list[Transition]:
    """Bring the open incidents up to date with the findings; pure.

    `findings`: all that fire, and in any status those that the open incidents hold (one of them
    that is missing was deleted and counts as resolved). `acknowledged`: fingerprints that open
    and join nothing.

    1. An open incident takes the present state of its findings, and what joined its group.
    2. It closes when all are resolved; pending and unknown ones keep it open.
    3. What fires and has no incident opens one for its group.
    """
    known = {finding.fingerprint: finding for finding in findings}
    firing: dict[GroupKey, list[Finding]] = {}
    for finding in known.values():
        if finding.status is Status.FIRING and finding.fingerprint not in acknowledged:
            firing.setdefault(key_of(finding), []).append(finding)
    transitions = []
    for incident in open_incidents:
        group = firing.pop(key_of(incident.findings[0]), [])
        transitions.append(_advance(incident, known, group, now))
    transitions += [_open(key, firing[key], now) for key in sorted(firing)]
    return transitions


def _advance(
    incident: Incident, known: dict[str, Finding], group: list[Finding], now: datetime
) -> Transition:
    members = [
        known.get(member.fingerprint, replace(member, status=Status.RESOLVED))
        for member in incident.findings
    ]
    held = {member.fingerprint for member in members}
    joining = _ordered(finding for finding in group if finding.fingerprint not in held)
    everyone = (*members, *joining)
    if all(finding.status is Status.RESOLVED for finding in everyone):
        gone = held.isdisjoint(known)
        reason = Reason.FINDINGS_GONE if gone else Reason.ALL_RESOLVED
        return Transition(Kind.CLOSED, reason, replace(incident, findings=everyone, closed_at=now))
    severity = _worst(everyone)
    updated = replace(incident, findings=everyone, severity=severity, cause=_cause(everyone))
    if joining:
        return Transition(Kind.CHANGED, Reason.FINDING_JOINED, updated)
    if severity is not incident.severity:
        return Transition(Kind.CHANGED, Reason.SEVERITY_CHANGED, updated)
    if updated != incident:
        return Transition(Kind.CHANGED, Reason.REFRESHED, updated)
    return Transition(Kind.KEPT, Reason.UNCHANGED, incident)


def _open(key: GroupKey, group: list[Finding], now: datetime) -> Transition:
    findings = _ordered(group)
    incident = Incident(
        id=_incident_id(key, findings, now),
        cause=_cause(findings),
        severity=_worst(findings),
        opened_at=now,
        closed_at=None,
        findings=findings,
    )
    return Transition(Kind.OPENED, Reason.FIRST_FIRING, incident)


def _incident_id(key: GroupKey, findings: Iterable[Finding], now: datetime) -> str:
    """16 hex digits. The findings' numbers set a reopened trouble apart even within one instant."""
    states = [f"{finding.fingerprint}/{finding.number}" for finding in findings]
    text = "\x00".join((*key, rfc3339(now), *states))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _worst(findings: Iterable[Finding]) -> Severity:
    """The highest severity of what is not over; only called when something is not."""
    return max(
        (finding.severity for finding in findings if finding.status is not Status.RESOLVED),
        key=RANK.__getitem__,
    )


def _cause(findings: Collection[Finding]) -> str:
    """The title of the worst finding that is not over, the earliest of equals."""
    lasting = [finding for finding in findings if finding.status is not Status.RESOLVED]
    chief = min(lasting, key=lambda one: (-RANK[one.severity], one.first_seen, one.fingerprint))
    others = len(lasting) - 1
    return f"{chief.title} (and {others} more like it)" if others else chief.title


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: (one.first_seen, one.fingerprint)))


def save(db: sqlite3.Connection, transitions: Iterable[Transition]) -> None:
    """Write what changed, inside the caller's transaction."""
    for transition in transitions:
        if transition.kind is Kind.KEPT:
            continue
        incident = transition.incident
        bodies = [
            {**finding_to_json(finding), "number": finding.number} for finding in incident.findings
        ]
        db.execute(
            "INSERT OR REPLACE INTO incidents"
            " (id, cause, severity, opened_at, closed_at, fingerprints, findings)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                incident.id,
                incident.cause,
                incident.severity.value,
                rfc3339(incident.opened_at),
                None if incident.closed_at is None else rfc3339(incident.closed_at),
                _json([finding.fingerprint for finding in incident.findings]),
                _json(bodies),
            ),
        )


def load_open(db: sqlite3.Connection) -> list[Incident]:
    """The open incidents, oldest first, with their findings as they were when last written."""
    rows = db.execute("SELECT * FROM incidents WHERE closed_at IS NULL ORDER BY opened_at, id")
    return [_incident(row) for row in rows]


def load_recent(db: sqlite3.Connection, limit: int = 1000) -> list[Incident]:
    """Open and closed incidents, newest first."""
    rows = db.execute("SELECT * FROM incidents ORDER BY opened_at DESC, id LIMIT ?", (limit,))
    return [_incident(row) for row in rows]


def _incident(row: sqlite3.Row) -> Incident:
    bodies: list[dict[str, Any]] = msgspec.json.decode(row["findings"])
    return Incident(
        id=row["id"],
        cause=row["cause"],
        severity=Severity(row["severity"]),
        opened_at=datetime.fromisoformat(row["opened_at"]),
        closed_at=None if row["closed_at"] is None else datetime.fromisoformat(row["closed_at"]),
        findings=tuple(finding_from_json(body, body["number"]) for body in bodies),
    )


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()
