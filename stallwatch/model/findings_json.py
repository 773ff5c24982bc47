"""Findings as JSON: the one form that the API, the command line and the state file share."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from stallwatch.errors import InputError
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Finding, Severity, Status


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """The finding under its public field names, in plain JSON types; times are RFC 3339.

    `number` is not part of it: it names a state of a finding, not the finding.
    """
    return {
        "detector": finding.detector,
        "severity": finding.severity.value,
        "status": finding.status.value,
        "namespace": finding.namespace,
        "engine": finding.engine,
        "workflow": finding.workflow,
        "step": finding.step,
        "executions": list(finding.executions),
        "count": finding.count,
        "first_seen": rfc3339(finding.first_seen),
        "last_seen": rfc3339(finding.last_seen),
        "fingerprint": finding.fingerprint,
        "title": finding.title,
        "explanation": finding.explanation,
        "evidence": msgspec.to_builtins(finding.evidence, str_keys=True),
        "next_steps": list(finding.next_steps),
    }


def finding_from_json(data: dict[str, Any], number: int = 0) -> Finding:
    """The finding that `finding_to_json` wrote; InputError says which field is missing or wrong."""
    try:
        return Finding(
            detector=data["detector"],
            severity=Severity(data["severity"]),
            status=Status(data["status"]),
            namespace=data["namespace"],
            engine=data["engine"],
            workflow=data["workflow"],
            step=data["step"],
            executions=tuple(data["executions"]),
            count=data["count"],
            first_seen=_time(data["first_seen"]),
            last_seen=_time(data["last_seen"]),
            fingerprint=data["fingerprint"],
            title=data["title"],
            explanation=data["explanation"],
            evidence=dict(data["evidence"]),
            next_steps=tuple(data["next_steps"]),
            number=number,
        )
    except KeyError as error:
        raise InputError(f"{error.args[0]}: is missing in the finding") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"not a finding: {error}") from None


def _time(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset")
    return when.astimezone(UTC)
