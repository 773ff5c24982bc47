"""Findings with one cause become one incident, and stay one.

What findings have in common is found by the detectors and stands in their evidence; a finding without a cause stands
for itself, with those of its detector, workflow and step. Here it is decided which incident goes on as which.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from alerts.likeness import Likeness
from alerts.severity import RANK, severity_of
from stallwatch.model.causes import cause_of
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Finding, Incident, Status, common_cause

Key = tuple[str, ...]
_Named = TypeVar("_Named", str, Key)


class GroupKey(NamedTuple):
    """What findings share that are more of the same."""

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
    SPLIT_OFF = "split_off"
    ABSORBED = "absorbed"
    FINDING_JOINED = "finding_joined"
    SEVERITY_CHANGED = "severity_changed"
    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"
    ALL_RESOLVED = "all_resolved"
    FINDINGS_GONE = "findings_gone"
    MERGED = "merged"


@dataclass(frozen=True)
class Transition:
    """What became of one incident, and why. `absorbed`: the incidents that were merged into it."""

    kind: Kind
    reason: Reason
    incident: Incident
    absorbed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Move:
    """Firing findings that belong together now, and the open incident that goes on as theirs, if one does."""

    key: Key
    findings: Sequence[Finding]
    into: Incident | None


def group_of(finding: Finding) -> GroupKey:
    """The group that a finding belongs to when nothing else is known."""
    return GroupKey(
        finding.namespace, finding.engine, finding.detector, finding.workflow, finding.step
    )


def key_of(finding: Finding) -> Key:
    """What makes findings belong together: their cause, else their group."""
    cause = cause_of(finding.evidence)
    return ("", *group_of(finding)) if cause is None else cause.key


def regroup(
    open_incidents: Sequence[Incident],
    findings: Iterable[Finding],
    acknowledged: Collection[str],
    now: datetime,
) -> list[Transition]:
    """Bring the open incidents up to date with the findings; pure.

    `findings`: all that fire, and in any status those that the open incidents hold (one of them that is missing was
    deleted and counts as resolved). `acknowledged`: fingerprints that open, join and move nothing.

    1. What fires is grouped by its cause, or with what tells the same of the same executions. A group goes on as the
       incident that holds most of it already, else as the one that had this cause, else as one whose executions it
       tells of; if another group has more of that incident, as a new one.
    2. An open incident takes the present state of its findings, without those that went to another.
    3. An incident of which nothing is left because its findings have another's cause, or because another tells of its
       executions now, is merged into that.
    4. It closes when all are resolved; pending and unknown findings keep it open.
    """
    known = {finding.fingerprint: finding for finding in findings}
    firing = [
        one
        for one in known.values()
        if one.status is Status.FIRING and one.fingerprint not in acknowledged
    ]
    likeness = Likeness[str]()
    for incident in open_incidents:
        for one in incident.findings:
            likeness.add(incident.id, one)
    likes = {one.fingerprint: likeness.of(one) for one in firing}
    moves = _moves(_groups(firing, open_incidents, likes), open_incidents, likes)
    opened = [_open(move, open_incidents, now) for move in moves if move.into is None]
    went = {
        one.fingerprint: transition.incident.id
        for transition in opened
        for one in transition.incident.findings
    } | {one.fingerprint: move.into.id for move in moves if move.into for one in move.findings}
    joined = {move.into.id: move for move in moves if move.into is not None}
    told_by: dict[str, Counter[str]] = {}
    for name, common in likes.items():
        for id, n in common.items():
            told_by.setdefault(id, Counter())[went[name]] += n
    merged = {
        incident.id: into
        for incident in open_incidents
        if incident.id not in joined
        and (into := _merges_into(incident, known, went, told_by.get(incident.id, {})))
    }
    advanced = []
    for incident in open_incidents:
        if incident.id in merged:
            advanced.append(_merge(incident, known, merged[incident.id], now))
            continue
        left_over = [
            member
            for other in open_incidents
            if merged.get(other.id) == incident.id
            for member in _present(other, known)
            if member.fingerprint not in went
        ]
        absorbed = tuple(sorted(one for one, into in merged.items() if into == incident.id))
        advanced.append(
            _advance(incident, known, joined.get(incident.id), went, left_over, absorbed, now)
        )
    return advanced + opened


def _groups(
    firing: Iterable[Finding], open_incidents: Sequence[Incident], likes: Mapping[str, Counter[str]]
) -> dict[Key, list[Finding]]:
    """What fires, by what it belongs together for. A finding without a cause stays where it is; if it is nowhere, it
    belongs to what tells of its executions, else to more of the same."""
    keys_of_held = {one.fingerprint: it.key for it in open_incidents for one in it.findings}
    keys_of_groups: dict[GroupKey, Key] = {}
    for incident in open_incidents:
        for one in incident.findings:
            keys_of_groups.setdefault(group_of(one), incident.key)
    keys = {incident.id: incident.key for incident in open_incidents}
    groups: dict[Key, list[Finding]] = {}
    for finding in firing:
        key = key_of(finding)
        if cause_of(finding.evidence) is None:
            key = (
                keys_of_held.get(finding.fingerprint)
                or keys.get(_most(likes[finding.fingerprint]) or "", ())
                or keys_of_groups.get(group_of(finding), key)
            )
        groups.setdefault(key, []).append(finding)
    return _without_likes(groups)


def _without_likes(groups: Mapping[Key, list[Finding]]) -> dict[Key, list[Finding]]:
    """Groups that tell of the same executions are one. Of two causes neither gives way."""
    likeness = Likeness[Key]()
    apart: dict[Key, list[Finding]] = {}
    for key in sorted(groups, key=lambda key: (not _is_cause(key), key)):
        akin = sum((likeness.of(one) for one in groups[key]), Counter[Key]())
        into = key if _is_cause(key) else _most(akin) or key
        apart.setdefault(into, []).extend(groups[key])
        for one in groups[key]:
            likeness.add(into, one)
    # What joined may be like what stayed apart before it.
    return apart if len(apart) == len(groups) else _without_likes(apart)


def _most(counts: Mapping[_Named, int]) -> _Named | None:
    """The name that counts most, of equals the smallest; None of nothing."""
    return max(sorted(counts), key=counts.__getitem__, default=None)


def _is_cause(key: Key) -> bool:
    return key[0] != ""


def _moves(
    groups: Mapping[Key, list[Finding]],
    open_incidents: Iterable[Incident],
    likes: Mapping[str, Counter[str]],
) -> list[_Move]:
    """Which group goes on as which incident: the pairs that share most first, each group and incident once."""
    pairs = []
    for incident in open_incidents:
        held = {one.fingerprint for one in incident.findings}
        for key, group in groups.items():
            shared = sum(max(one.count, 1) for one in group if one.fingerprint in held)
            akin = sum(likes[one.fingerprint][incident.id] for one in group)
            if shared or key == incident.key or akin:
                rank = (shared, key == incident.key, akin, RANK[incident.severity])
                pairs.append((rank, incident, key))
    # The older one goes first where nothing else decides.
    pairs.sort(key=lambda pair: (pair[1].opened_at, pair[1].id))
    pairs.sort(key=lambda pair: pair[0], reverse=True)
    taken: dict[Key, Incident] = {}
    used: set[str] = set()
    for _, incident, key in pairs:
        if key not in taken and incident.id not in used:
            taken[key] = incident
            used.add(incident.id)
    return [_Move(key, _ordered(groups[key]), taken.get(key)) for key in sorted(groups)]


def _merges_into(
    incident: Incident,
    known: Mapping[str, Finding],
    went: Mapping[str, str],
    told_by: Mapping[str, int],
) -> str:
    """The incident that most of this one went to, or that tells of its executions now, if nothing that fires is left;
    else empty."""
    weights: dict[str, int] = {}
    for one in _present(incident, known):
        into = went.get(one.fingerprint, incident.id)
        if into != incident.id:
            weights[into] = weights.get(into, 0) + max(one.count, 1)
        elif one.status is Status.FIRING:
            return ""
    if not weights and all(one.status is Status.RESOLVED for one in _present(incident, known)):
        weights = {id: n for id, n in told_by.items() if id != incident.id}
    return max(sorted(weights), key=weights.__getitem__, default="")


def _present(incident: Incident, known: Mapping[str, Finding]) -> list[Finding]:
    return [
        known.get(member.fingerprint, replace(member, status=Status.RESOLVED))
        for member in incident.findings
    ]


def _merge(
    incident: Incident, known: Mapping[str, Finding], into: str, now: datetime
) -> Transition:
    closed = replace(
        incident, findings=tuple(_present(incident, known)), closed_at=now, merged_into=into
    )
    return Transition(Kind.CLOSED, Reason.MERGED, closed)


def _advance(
    incident: Incident,
    known: Mapping[str, Finding],
    move: _Move | None,
    went: Mapping[str, str],
    left_over: Sequence[Finding],
    absorbed: tuple[str, ...],
    now: datetime,
) -> Transition:
    """`left_over`: what the incidents that are merged into this one hold and does not fire."""
    members = [
        one
        for one in _present(incident, known)
        if went.get(one.fingerprint, incident.id) == incident.id
    ]
    held = {one.fingerprint for one in members}
    arriving = [*(move.findings if move else ()), *left_over]
    joining = _ordered(one for one in arriving if one.fingerprint not in held)
    everyone = (*members, *joining)
    if all(one.status is Status.RESOLVED for one in everyone):
        gone = held.isdisjoint(known)
        reason = Reason.FINDINGS_GONE if gone else Reason.ALL_RESOLVED
        return Transition(Kind.CLOSED, reason, replace(incident, findings=everyone, closed_at=now))
    severity = severity_of(everyone, now, incident.severity)
    updated = replace(
        incident,
        findings=everyone,
        severity=severity,
        cause=title_of(everyone),
        key=move.key if move else incident.key,
    )
    if absorbed:
        return Transition(Kind.CHANGED, Reason.ABSORBED, updated, absorbed)
    if any(one.status is Status.FIRING for one in joining):
        return Transition(Kind.CHANGED, Reason.FINDING_JOINED, updated)
    if severity is not incident.severity:
        return Transition(Kind.CHANGED, Reason.SEVERITY_CHANGED, updated)
    if updated != incident:
        return Transition(Kind.CHANGED, Reason.REFRESHED, updated)
    return Transition(Kind.KEPT, Reason.UNCHANGED, incident)


def _open(move: _Move, open_incidents: Iterable[Incident], now: datetime) -> Transition:
    ours = {one.fingerprint for one in move.findings}
    origin = next(
        (it.id for it in open_incidents if any(one.fingerprint in ours for one in it.findings)), ""
    )
    incident = Incident(
        id=_incident_id(move.key, move.findings, now),
        cause=title_of(move.findings),
        severity=severity_of(move.findings, now),
        opened_at=now,
        closed_at=None,
        findings=tuple(move.findings),
        key=move.key,
        split_from=origin,
    )
    return Transition(Kind.OPENED, Reason.SPLIT_OFF if origin else Reason.FIRST_FIRING, incident)


def _incident_id(key: Key, findings: Iterable[Finding], now: datetime) -> str:
    """16 hex digits. The findings' numbers set a reopened trouble apart even within one instant."""
    states = [f"{finding.fingerprint}/{finding.number}" for finding in findings]
    text = "\x00".join((*key, rfc3339(now), *states))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def title_of(findings: Collection[Finding]) -> str:
    """What a person would call it: the cause, where findings of different places have one, and the title of the worst
    finding that is not over, the earliest of equals."""
    lasting = [finding for finding in findings if finding.status is not Status.RESOLVED]
    chief = min(lasting, key=lambda one: (-RANK[one.severity], one.first_seen, one.fingerprint))
    others = len(lasting) - 1
    if not others:
        return chief.title
    cause = common_cause(lasting)
    if cause is None:
        return f"{chief.title} (and {others} more like it)"
    noun = "finding" if others == 1 else "findings"
    return f"{cause.words[0].upper()}{cause.words[1:]}: {chief.title} (and {others} more {noun})"


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: (one.first_seen, one.fingerprint)))
