"""What a target is told: plain words and plain fields, nothing of the domain's types."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from alerts.grouping import group_of
from stallwatch.model.causes import Cause
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Finding, Incident, Status, common_cause, executions_of
from stallwatch.model.plain_text import one_line

EXECUTIONS_NAMED: Final = 5
FINDINGS_EXPLAINED: Final = 3
FINDINGS_LISTED: Final = 50
NEXT_STEPS_NAMED: Final = 6


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

    `dedup_key` is the same in all its tellings to one target: the incident's id, or that of an incident that was
    merged into it; `number` counts them, from 1,
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
    lapsed: bool = False
    """It is resolved in so far as it is no longer told: nothing was repaired."""
    endless: bool = False
    """It tells of no incident and no end of it will be told."""


def build_message(
    incident: Incident,
    *,
    receiver: str,
    number: int,
    why: str,
    external_url: str,
    dedup_key: str | None = None,
) -> Message:
    """Put an incident into words; resolved when it is closed. `dedup_key`: None for the incident's own."""
    started_at = min(finding.first_seen for finding in incident.findings)
    left_out = max(0, len(incident.findings) - FINDINGS_LISTED)
    message = Message(
        receiver=receiver,
        dedup_key=dedup_key or incident.id,
        number=number,
        status="firing" if incident.closed_at is None else "resolved",
        severity=incident.severity.value,
        title=incident.cause,
        lines=tuple(_lines(incident, started_at, external_url)),
        why=why,
        fields=_fields(incident.findings),
        links=(Link(text="Open in Stallwatch", url=_url(external_url, incident.id)),),
        findings=tuple(_summary(finding) for finding in incident.findings[:FINDINGS_LISTED]),
        findings_left_out=left_out,
        started_at=started_at,
        ended_at=incident.closed_at,
        lapsed=len(_lapsed(incident)) == len(incident.findings),
    )
    return readable(message)


def readable(message: Message) -> Message:
    """The message with everything replaced in it that would act on where it is read: names come from senders.

    A line break is such a thing too: what follows it would read as a line of Stallwatch's own.
    """
    return replace(
        message,
        title=one_line(message.title),
        lines=tuple(one_line(line) for line in message.lines),
        fields={name: one_line(value) for name, value in message.fields.items()},
        findings=tuple(
            replace(
                one,
                namespace=one_line(one.namespace),
                engine=one_line(one.engine),
                workflow=one_line(one.workflow),
                step=one_line(one.step),
                title=one_line(one.title),
                explanation=one_line(one.explanation),
            )
            for one in message.findings
        ),
    )


def name_executions(executions: Iterable[str], total: int) -> str:
    """`o-1, o-2, o-3 and 37 more`: at most EXECUTIONS_NAMED names of `total`."""
    names = list(dict.fromkeys(executions))
    shown = names[:EXECUTIONS_NAMED]
    rest = max(total, len(names)) - len(shown)
    if not shown:
        return f"{rest} not named" if rest else ""
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _lines(incident: Incident, started_at: datetime, external_url: str) -> Iterable[str]:
    lasting = [one for one in incident.findings if one.status is not Status.RESOLVED]
    told = lasting or list(incident.findings)
    if incident.merged_into:
        yield f"Merged into another incident, which goes on: {_url(external_url, incident.merged_into)}"
        return
    if incident.closed_at is not None:
        yield from _end(incident, incident.closed_at, started_at)
    elif incident.split_from:
        yield f"Until now this was part of {_url(external_url, incident.split_from)}"
    cause = common_cause(told) if len(told) > 1 else None
    if cause is not None:
        yield _cause(cause)
    for finding in told[:FINDINGS_EXPLAINED]:
        # A paragraph that only repeats the title helps nobody.
        if finding.explanation and finding.explanation != incident.cause:
            yield finding.explanation
    if len(told) > FINDINGS_EXPLAINED:
        alike = len({group_of(one) for one in told}) == 1
        kind = " of the same kind" if alike else ""
        yield f"And {len(told) - FINDINGS_EXPLAINED} more findings{kind}."
    executions = name_executions(
        (name for one in told for name in one.executions), executions_of(told)
    )
    if executions:
        yield f"Executions: {executions}."
    if incident.closed_at is None:
        steps = list(dict.fromkeys(step for one in told for step in one.next_steps))
        if steps:
            yield (
                "What to do: "
                + "; ".join(step.rstrip(".") for step in steps[:NEXT_STEPS_NAMED])
                + "."
            )


def _lapsed(incident: Incident) -> list[Finding]:
    """Of a closed incident, the findings that tell of a moment and of which nothing was repaired."""
    closed_at = incident.closed_at
    return [] if closed_at is None else [one for one in incident.findings if one.lapsed(closed_at)]


def _end(incident: Incident, closed_at: datetime, started_at: datetime) -> Iterable[str]:
    """What is over, and what is only no longer told: who reads the one for the other looks no further."""
    took = format_duration((closed_at - started_at).total_seconds())
    lapsed = _lapsed(incident)
    if len(lapsed) == len(incident.findings):
        yield (
            f"No longer told since {_utc(closed_at)}, {took} after it was found: it has not happened again. "
            "Nothing that arrived since repaired it."
        )
        return
    yield f"Over since {_utc(closed_at)}; it lasted {took}."
    if lapsed:
        titles = "; ".join(one.title for one in lapsed[:FINDINGS_EXPLAINED])
        more = len(lapsed) - FINDINGS_EXPLAINED
        yield f"Not repaired, only no longer told: {titles}{f' and {more} more' if more > 0 else ''}."


def _cause(cause: Cause) -> str:
    """`What they share is downstream stripe: 96 % of its attempts are affected, elsewhere 0.2 %.`"""
    also = f" ({' and '.join(cause.also)} cannot be told apart from it)" if cause.also else ""
    return (
        f"What they share is {cause.words}{also}: {100 * cause.inside:.3g} % of its attempts, open or of the last "
        f"minutes, are affected, elsewhere {100 * cause.outside:.2g} %."
    )


def _fields(findings: Sequence[Finding]) -> dict[str, str]:
    """What all findings share."""
    lasting = [one for one in findings if one.status is not Status.RESOLVED] or findings
    groups = [group_of(one)._asdict() for one in lasting]
    names = ("detector", "namespace", "engine", "workflow", "step")
    shared = {
        name: groups[0][name] for name in names if len({group[name] for group in groups}) == 1
    }
    cause = common_cause(lasting)
    if cause is not None:
        shared["cause"] = cause.words
    return {name: value for name, value in shared.items() if value}


def _url(external_url: str, incident_id: str) -> str:
    return f"{external_url.rstrip('/')}/?incident={incident_id}"


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
