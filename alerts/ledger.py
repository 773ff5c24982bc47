"""Who was told what of which incident, what is to be told, and why.

An outbox: `decide` judges, `commit` writes the message in the transaction of the change that
caused it, a sender takes what is `due` and reports `mark_told`, `mark_failed` or `mark_given_up`.
Each incident has one row per target with at most one message waiting: a newer one replaces it,
for only the latest is true.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from alerts.message import Message
from alerts.severity import RANK
from stallwatch.config.alerts import RouteConfig
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Incident, Severity, Status


class Reason(StrEnum):
    """Why a target is told of an incident now, or is not."""

    OPENED = "opened"
    REOPENED = "reopened"
    SEVERITY_ROSE = "severity_rose"
    FINDING_JOINED = "finding_joined"
    COUNT_DOUBLED = "count_doubled"
    REPEAT_INTERVAL = "repeat_interval"
    RESOLVED = "resolved"

    UNCHANGED = "unchanged"
    GROUP_WAIT = "group_wait"
    GROUP_INTERVAL = "group_interval"
    STATE_UNKNOWN = "state_unknown"
    ACKNOWLEDGED = "acknowledged"
    NEVER_TOLD = "never_told"
    ALREADY_RESOLVED = "already_resolved"
    SEND_RESOLVED_OFF = "send_resolved_off"
    NO_LONGER_ROUTED = "no_longer_routed"

    @property
    def tells(self) -> bool:
        """Whether something is told for this reason."""
        return self in WORDS


WORDS: Final = {
    Reason.OPENED: "",
    Reason.REOPENED: "It fires again.",
    Reason.SEVERITY_ROSE: "The severity rose.",
    Reason.FINDING_JOINED: "More findings joined.",
    Reason.COUNT_DOUBLED: "The number of executions at least doubled.",
    Reason.REPEAT_INTERVAL: "It goes on; this is a reminder.",
    Reason.RESOLVED: "",
}
"""The reasons to tell, as the reader of the message sees them."""
COUNT_FACTOR: Final = 2
JUDGED_WITHIN: Final = timedelta(minutes=10)
"""What was seen last so long ago may be over: nobody is reminded of it."""
DUE_MAX: Final = 100
"""How many messages one target gets in one go; the others are due again at the next."""


class Address(NamedTuple):
    """One target of one receiver: `("oncall", "slack/0")`."""

    receiver: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What of an incident is compared with what was last told."""

    severity: Severity
    count: int
    fingerprints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was last committed to be told: `state` is `firing` or `resolved`, `dedup_key` what the target knows the
    incident as."""

    digest: Digest
    at: datetime
    state: str
    number: int
    dedup_key: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that waits for its target; `attempts` failed so far."""

    address: Address
    message: Message
    attempts: int


def digest_of(incident: Incident) -> Digest:
    """The incident as the ledger remembers it."""
    fingerprints = sorted(finding.fingerprint for finding in incident.findings)
    return Digest(
        severity=incident.severity, count=incident.executions, fingerprints=tuple(fingerprints)
    )


def decide(
    incident: Incident,
    told: Told | None,
    pace: RouteConfig,
    acknowledged: Collection[str],
    now: datetime,
) -> Reason:
    """Whether to tell now, as a named reason; pure.

    1. One that is over is told once, if it was ever to be told.
    2. One of which nothing fires for certain, or only what someone acknowledged, is not told.
    3. A new one is told after `group_wait`.
    4. One that changed is told after `group_interval`; a higher severity at once.
    5. Else it is told again after `repeat_interval`, if it was seen lately: not while nobody judges, nor right after.
    """
    if incident.closed_at is not None:
        if told is None:
            return Reason.NEVER_TOLD
        return Reason.ALREADY_RESOLVED if told.state == "resolved" else Reason.RESOLVED
    firing = [one for one in incident.findings if one.status is Status.FIRING]
    if not firing:
        return Reason.STATE_UNKNOWN
    if all(one.fingerprint in acknowledged for one in firing):
        return Reason.ACKNOWLEDGED
    if told is None:
        waited_s = (now - incident.opened_at).total_seconds()
        return Reason.OPENED if waited_s >= pace.group_wait else Reason.GROUP_WAIT
    if told.state == "resolved":
        return Reason.REOPENED
    change = _change(told.digest, digest_of(incident))
    since_told_s = (now - told.at).total_seconds()
    if change is Reason.SEVERITY_ROSE:
        return change
    if change.tells:
        return change if since_told_s >= pace.group_interval else Reason.GROUP_INTERVAL
    if since_told_s < pace.repeat_interval:
        return Reason.UNCHANGED
    if now - max(one.last_seen for one in firing) > JUDGED_WITHIN:
        return Reason.STATE_UNKNOWN
    return Reason.REPEAT_INTERVAL


def _change(before: Digest, after: Digest) -> Reason:
    if RANK[after.severity] > RANK[before.severity]:
        return Reason.SEVERITY_ROSE
    if not set(after.fingerprints) <= set(before.fingerprints):
        return Reason.FINDING_JOINED
    if after.count >= COUNT_FACTOR * max(before.count, 1):
        return Reason.COUNT_DOUBLED
    return Reason.UNCHANGED


def told_of(db: sqlite3.Connection, incident_id: str) -> dict[Address, Told]:
    """What each target was last told of an incident, or is about to be."""
    rows = db.execute("SELECT * FROM deliveries WHERE incident_id = ?", (incident_id,))
    return {
        Address(row["receiver"], row["target"]): Told(
            digest=msgspec.json.decode(row["decided_digest"], type=Digest),
            at=datetime.fromisoformat(row["decided_at"]),
            state=row["decided_state"],
            number=row["number"],
            dedup_key=row["dedup_key"],
        )
        for row in rows
    }


def commit(
    db: sqlite3.Connection,
    incident_id: str,
    address: Address,
    message: Message,
    digest: Digest,
    reason: Reason,
    now: datetime,
) -> None:
    """Put a message into the outbox, in the transaction of the change that it tells.

    One that still waits is replaced and its count of attempts starts anew, but not sooner than its
    target wished to be tried again.
    """
    db.execute(
        """
        INSERT INTO deliveries (incident_id, receiver, target, number, decided_digest, decided_at,
                                decided_state, reason, message, next_attempt_at, dedup_key)
        VALUES (:id, :receiver, :target, :number, :digest, :now, :state, :reason, :message, :now,
                :dedup_key)
        ON CONFLICT (incident_id, receiver, target) DO UPDATE SET
            number = excluded.number, decided_digest = excluded.decided_digest,
            decided_at = excluded.decided_at, decided_state = excluded.decided_state,
            reason = excluded.reason,
            next_attempt_at = iif(message IS NULL, excluded.next_attempt_at,
                                  max(next_attempt_at, excluded.next_attempt_at)),
            message = excluded.message, attempts = 0, last_error = ''
        """,
        {
            "id": incident_id,
            "dedup_key": message.dedup_key,
            "receiver": address.receiver,
            "target": address.target,
            "number": message.number,
            "digest": msgspec.json.encode(digest).decode(),
            "now": rfc3339(now),
            "state": message.status,
            "reason": reason.value,
            "message": msgspec.json.encode(message).decode(),
        },
    )


def inherit(db: sqlite3.Connection, absorbed_id: str, incident_id: str) -> None:
    """The one incident was merged into the other: what was told of it counts as told of that.

    A target that was told of both learns the end of the absorbed one, and nothing else. One that was told of the
    absorbed one only goes on with it: what it is told of the other comes under the key that it knows, and what is on
    its way to it meanwhile is found by that key.
    """
    told = told_of(db, incident_id)
    for address, mine in told_of(db, absorbed_id).items():
        theirs = told.get(address)
        if mine.state != "firing":
            continue
        if theirs is None or theirs.state != "firing":
            db.execute(
                "DELETE FROM deliveries WHERE incident_id = ? AND receiver = ? AND target = ?",
                (incident_id, *address),
            )
            db.execute(
                "UPDATE deliveries SET incident_id = ?"
                " WHERE incident_id = ? AND receiver = ? AND target = ?",
                (incident_id, absorbed_id, *address),
            )
            continue
        db.execute(
            "UPDATE deliveries SET decided_digest = ?"
            " WHERE incident_id = ? AND receiver = ? AND target = ?",
            (
                msgspec.json.encode(_both(theirs.digest, mine.digest)).decode(),
                incident_id,
                *address,
            ),
        )


def _both(one: Digest, other: Digest) -> Digest:
    return Digest(
        severity=max(one.severity, other.severity, key=RANK.__getitem__),
        count=one.count + other.count,
        fingerprints=tuple(sorted({*one.fingerprints, *other.fingerprints})),
    )


def due(db: sqlite3.Connection, now: datetime) -> dict[Address, list[Delivery]]:
    """The messages whose time has come, at most DUE_MAX a target, in the order of decision."""
    rows = db.execute(
        """
        SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY receiver, target
                                         ORDER BY decided_at, incident_id) AS place
            FROM deliveries WHERE message IS NOT NULL AND next_attempt_at <= ?
        ) WHERE place <= ? ORDER BY place
        """,
        (rfc3339(now), DUE_MAX),
    )
    found: dict[Address, list[Delivery]] = {}
    for row in rows:
        address = Address(row["receiver"], row["target"])
        message = msgspec.json.decode(row["message"], type=Message)
        delivery = Delivery(
            address=address,
            message=message,
            attempts=row["attempts"],
        )
        found.setdefault(address, []).append(delivery)
    return found


def pending(db: sqlite3.Connection) -> dict[Address, int]:
    """How many messages wait, per target."""
    rows = db.execute(
        "SELECT receiver, target, count(*) AS n FROM deliveries WHERE message IS NOT NULL"
        " GROUP BY receiver, target"
    )
    return {Address(row["receiver"], row["target"]): row["n"] for row in rows}


def mark_told(db: sqlite3.Connection, delivery: Delivery, now: datetime) -> None:
    """The target has it. A newer message that took its place meanwhile goes on waiting."""
    message = delivery.message
    key = (message.dedup_key, *delivery.address)
    db.execute(
        """
        UPDATE deliveries SET told_number = ?, told_at = ?, told_state = ?,
            told_digest = iif(number = ?, decided_digest, told_digest)
        WHERE dedup_key = ? AND receiver = ? AND target = ? AND told_number < ?
        """,
        (message.number, rfc3339(now), message.status, message.number, *key, message.number),
    )
    _settle(db, delivery, "")


def wake(db: sqlite3.Connection, address: Address, now: datetime) -> None:
    """The target answers again: what waits for it is due at once, not at the end of its backoff."""
    db.execute(
        """
        UPDATE deliveries SET next_attempt_at = :now
        WHERE receiver = :receiver AND target = :target
          AND message IS NOT NULL AND next_attempt_at > :now
        """,
        {"now": rfc3339(now), "receiver": address.receiver, "target": address.target},
    )


def mark_failed(db: sqlite3.Connection, delivery: Delivery, error: str, next_at: datetime) -> None:
    """The attempt failed; the next one is not before `next_at`, for a newer message too."""
    db.execute(
        """
        UPDATE deliveries SET attempts = iif(number = ?, attempts + 1, attempts),
            last_error = ?, next_attempt_at = max(next_attempt_at, ?)
        WHERE dedup_key = ? AND receiver = ? AND target = ? AND message IS NOT NULL
        """,
        (
            delivery.message.number,
            error,
            rfc3339(next_at),
            delivery.message.dedup_key,
            *delivery.address,
        ),
    )


def mark_given_up(db: sqlite3.Connection, delivery: Delivery, error: str) -> None:
    """It will not be tried again; the incident's next change is a new message."""
    _settle(db, delivery, error)


def _settle(db: sqlite3.Connection, delivery: Delivery, error: str) -> None:
    db.execute(
        """
        UPDATE deliveries SET message = NULL, next_attempt_at = NULL, last_error = ?
        WHERE dedup_key = ? AND receiver = ? AND target = ? AND number = ?
        """,
        (error, delivery.message.dedup_key, *delivery.address, delivery.message.number),
    )


def forget_closed(db: sqlite3.Connection, now: datetime, keep: timedelta) -> None:
    """Delete incidents that closed longer ago than `keep`, with their ledger and notes."""
    before = rfc3339(now - keep)
    old = "SELECT id FROM incidents WHERE closed_at < ?"
    keys = f"SELECT dedup_key FROM deliveries WHERE incident_id IN ({old})"
    db.execute(f"DELETE FROM target_notes WHERE dedup_key IN ({keys})", (before,))
    db.execute(f"DELETE FROM deliveries WHERE incident_id IN ({old})", (before,))
    db.execute("DELETE FROM incidents WHERE closed_at < ?", (before,))
