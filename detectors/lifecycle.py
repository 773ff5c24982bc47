"""The life of findings: pending, firing, unknown, resolved. Pure: no store, no clock.

An observation is what a detector holds true now; a finding is what became of it over time. Each
change of status is a transition with the next number. A finding that was resolved and comes back is
a new episode with a new first_seen.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from stallwatch.model.findings import EXECUTIONS_MAX, Finding, Observation, Status


@dataclass(frozen=True)
class Changes:
    """`transitions`: findings whose status changed. `updates`: those of the others that are still
    held true, with what is new about them. `news` are the updates whose executions, count, step or severity
    changed: worth a copy."""

    transitions: tuple[Finding, ...]
    updates: tuple[Finding, ...]
    news: tuple[Finding, ...]


def advance(
    earlier: Mapping[str, Finding],
    observations: Iterable[Observation],
    ran: Collection[str],
    until: datetime,
) -> Changes:
    """What the observations of a tick do to the findings so far (by fingerprint).

    `ran`: the detectors that were asked; findings of others stay as they are. `until`: the tick's
    end.
    """
    transitions, updates, news = [], [], []
    seen: set[str] = set()
    for observation in observations:
        if observation.fingerprint in seen:
            raise ValueError(f"{observation.detector} said {observation.title!r} twice")
        seen.add(observation.fingerprint)
        before = earlier.get(observation.fingerprint)
        after = _after(before, observation, until)
        if before is None or before.status is not after.status:
            transitions.append(after)
        else:
            updates.append(after)
            if _told(before) != _told(after):
                news.append(after)
    for fingerprint, finding in earlier.items():
        gone = fingerprint not in seen and finding.detector in ran
        if gone and finding.status is not Status.RESOLVED:
            transitions.append(
                dataclasses.replace(finding, status=Status.RESOLVED, number=finding.number + 1)
            )
    return Changes(tuple(transitions), tuple(updates), tuple(news))


def _told(finding: Finding) -> tuple[object, ...]:
    return (finding.executions, finding.count, finding.step, finding.severity, finding.title)


def _status(observation: Observation) -> Status:
    if observation.hidden_by:
        return Status.UNKNOWN
    return Status.PENDING if observation.suspected else Status.FIRING


def _after(before: Finding | None, observation: Observation, until: datetime) -> Finding:
    status = _status(observation)
    new_episode = before is None or before.status is Status.RESOLVED
    number = before.number if before is not None else 0
    if before is None or before.status is not status:
        number += 1
    return Finding(
        detector=observation.detector,
        severity=observation.severity,
        status=status,
        namespace=observation.namespace,
        engine=observation.engine,
        workflow=observation.workflow,
        step=observation.step,
        executions=observation.executions[:EXECUTIONS_MAX],
        count=observation.count,
        first_seen=until if new_episode or before is None else before.first_seen,
        last_seen=until,
        fingerprint=observation.fingerprint,
        title=observation.title,
        explanation=observation.explanation,
        evidence=dict(observation.evidence),
        next_steps=observation.next_steps,
        number=number,
    )
