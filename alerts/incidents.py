"""Incidents in the brain's state."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from alerts.grouping import Kind, Transition, key_of
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Incident, Severity
from stallwatch.model.findings_json import finding_from_json, finding_to_json


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
            " (id, cause, severity, opened_at, closed_at, fingerprints, findings,"
            "  key, merged_into, split_from)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                incident.id,
                incident.cause,
                incident.severity.value,
                rfc3339(incident.opened_at),
                None if incident.closed_at is None else rfc3339(incident.closed_at),
                _json([finding.fingerprint for finding in incident.findings]),
                _json(bodies),
                _json(incident.key),
                incident.merged_into,
                incident.split_from,
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
    findings = tuple(finding_from_json(body, body["number"]) for body in bodies)
    return Incident(
        id=row["id"],
        cause=row["cause"],
        severity=Severity(row["severity"]),
        opened_at=datetime.fromisoformat(row["opened_at"]),
        closed_at=None if row["closed_at"] is None else datetime.fromisoformat(row["closed_at"]),
        findings=findings,
        # One that an earlier Stallwatch opened has no key yet.
        key=tuple(msgspec.json.decode(row["key"])) or key_of(findings[0]),
        merged_into=row["merged_into"],
        split_from=row["split_from"],
    )


def _json(data: object) -> str:
    return msgspec.json.encode(data).decode()
