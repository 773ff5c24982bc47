"""What a target is told: plain words and plain fields, nothing of the domain's types."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Finding, Incident, Status

EXECUTIONS_NAMED: Final = 5
FINDINGS_EXPLAINED: Final = 3
FINDINGS_LISTED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Link:
    text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class FindingSummary:
    """One finding of the incident, for targets that list them."""

    detector: str
    severity: str
    status: str
    namespace: str
    engine: str
    workflow: str
    step: str
    fingerprint: str
    title: str
    explanation: str
    count: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, kw_only=True)
class Message:
    """One telling of one incident.

    `dedup_key` is the incident's and the same in all its tellings; `number` counts them, from 1,
    per target. `lines`: an explanation as a person would write it, one paragraph each. `why` says
    why it is told again, empty the first time. `findings` are at most FINDINGS_LISTED,
    `findings_left_out` the rest. It waits in the outbox over upgrades: a new field needs a default.
    """

    receiver: str
    dedup_key: str
    number: int
    status: Literal["firing", "resolved"]
    severity: str
    title: str
    lines: tuple[str, ...]
    why: str
    fields: dict[str, str]
    links: tuple[Link, ...]
    findings: tuple[FindingSummary, ...]
    findings_left_out: int
    started_at: datetime
    ended_at: datetime | None


def build_message(
    incident: Incident, *, receiver: str, number: int, why: str, external_url: str
) -> Message:
    """Put an incident into words; resolved when it is closed."""
    started_at = min(finding.first_seen for finding in incident.findings)
    first = incident.findings[0]
    fields = {
        "detector": first.detector,
        "namespace": first.namespace,
        "engine": first.engine,
        "workflow": first.workflow,
        "step": first.step,
    }
    left_out = max(0, len(incident.findings) - FINDINGS_LISTED)
    return Message(
        receiver=receiver,
        dedup_key=incident.id,
        number=number,
        status="firing" if incident.closed_at is None else "resolved",
        severity=incident.severity.value,
        title=incident.cause,
        lines=tuple(_lines(incident, started_at)),
        why=why,
        fields={name: value for name, value in fields.items() if value},
        links=(
            Link(
                text="Open in Stallwatch", url=f"{external_url.rstrip('/')}/?incident={incident.id}"
            ),
        ),
        findings=tuple(_summary(finding) for finding in incident.findings[:FINDINGS_LISTED]),
        findings_left_out=left_out,
        started_at=started_at,
        ended_at=incident.closed_at,
    )


def name_executions(executions: Iterable[str], total: int) -> str:
    """`o-1, o-2, o-3 and 37 more`: at most EXECUTIONS_NAMED names of `total`."""
    names = list(dict.fromkeys(executions))
    shown = names[:EXECUTIONS_NAMED]
    rest = max(total, len(names)) - len(shown)
    if not shown:
        return f"{rest} not named" if rest else ""
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _lines(incident: Incident, started_at: datetime) -> Iterable[str]:
    lasting = [one for one in incident.findings if one.status is not Status.RESOLVED]
    told = lasting or list(incident.findings)
    if incident.closed_at is not None:
        lasted = format_duration((incident.closed_at - started_at).total_seconds())
        yield f"Over since {_utc(incident.closed_at)}; it lasted {lasted}."
    for finding in told[:FINDINGS_EXPLAINED]:
        # A paragraph that only repeats the title helps nobody.
        if finding.explanation and finding.explanation != incident.cause:
            yield finding.explanation
    if len(told) > FINDINGS_EXPLAINED:
        yield f"And {len(told) - FINDINGS_EXPLAINED} more findings of the same kind."
    total = max(finding.count for finding in told)
    executions = name_executions((name for one in told for name in one.executions), total)
    if executions:
        yield f"Executions: {executions}."
    if incident.closed_at is None:
        steps = list(dict.fromkeys(step for one in told for step in one.next_steps))
        if steps:
            yield "What to do: " + "; ".join(step.rstrip(".") for step in steps) + "."


def _summary(finding: Finding) -> FindingSummary:
    return FindingSummary(
        detector=finding.detector,
        severity=finding.severity.value,
        status=finding.status.value,
        namespace=finding.namespace,
        engine=finding.engine,
        workflow=finding.workflow,
        step=finding.step,
        fingerprint=finding.fingerprint,
        title=finding.title,
        explanation=finding.explanation,
        count=finding.count,
        first_seen=finding.first_seen,
        last_seen=finding.last_seen,
    )


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
