"""What became known of a finding after it was told: whether it was right.

A label is about one episode of a finding, so from when it was first seen. Two roads lead to it: what it called late
completed after all, which nobody has to say; and what somebody said of it, which counts for more. Both are kept
beside the findings, in the brain's state, and forgotten with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from stallwatch.errors import InputError
from stallwatch.model.durations import rfc3339
from stallwatch.model.findings import Finding, Status
from stallwatch.store.state import State

NOTE_MAX: Final = 1000
BY_MAX: Final = 200
LABELS_MAX: Final = 10_000
"""Beyond that the ones that changed longest ago go."""


ACKNOWLEDGED_FOR: Final = timedelta(days=30)
"""At most: an acknowledgement ends with what it is about."""


class UnknownFinding(InputError):
    """No finding has this fingerprint."""


class Verdict(StrEnum):
    FALSE_ALARM = "false-alarm"
    REAL = "real"


@dataclass(frozen=True, kw_only=True)
class Label:
    """`completed_late`: attempts that were called late and then completed, the longest after `longest_s`.
    `age_s`: how old the oldest thing was that somebody called healthy; None where the finding tells no age."""

    fingerprint: str
    first_seen: datetime
    detector: str
    namespace: str
    engine: str
    workflow: str
    step: str
    changed_at: datetime
    completed_late: int = 0
    longest_s: float = 0.0
    verdict: Verdict | None = None
    age_s: float | None = None
    note: str = ""
    by: str = ""

    @property
    def is_false_alarm(self) -> bool:
        """Whether it was wrong: as somebody said, else as what completed shows."""
        if self.verdict is not None:
            return self.verdict is Verdict.FALSE_ALARM
        return self.completed_late > 0


def judge_finding(
    state: State, fingerprint: str, verdict: str, *, note: str, by: str, at: datetime
) -> Label:
    """Keep what somebody says of a finding's present episode, in place of what was said before.

    A false alarm is acknowledged: nobody is told of this occurrence again. Raises UnknownFinding, and InputError for
    another verdict, a note that is too long, or a finding that is only suspected.
    """
    known = [one.value for one in Verdict]
    if verdict not in known:
        raise InputError(f"verdict: must be one of {', '.join(known)}, not {verdict[:40]!r}")
    if len(note) > NOTE_MAX:
        raise InputError(f"note: must have at most {NOTE_MAX} characters, not {len(note)}")
    with state.transaction():
        found = state.findings(fingerprints=[fingerprint])
        if not found:
            raise UnknownFinding(f"fingerprint: there is no finding {fingerprint[:40]!r}")
        if found[0].status is Status.PENDING:
            raise InputError(f"{fingerprint} is only suspected, and nobody was told of it")
        if verdict == Verdict.FALSE_ALARM:
            state.acknowledge(fingerprint, until=at + ACKNOWLEDGED_FOR, by=by, at=at)
        else:
            state.end_acknowledgements([fingerprint])
        return _say(state, found[0], Verdict(verdict), note, by, at)


def label_json(label: Label) -> dict[str, Any]:
    """The label under its public field names; times are RFC 3339."""
    return {
        **{name: getattr(label, name) for name in label.__dataclass_fields__},
        "first_seen": rfc3339(label.first_seen),
        "changed_at": rfc3339(label.changed_at),
        "verdict": None if label.verdict is None else label.verdict.value,
        "false_alarm": label.is_false_alarm,
    }


def _say(
    state: State, finding: Finding, verdict: Verdict, note: str, by: str, at: datetime
) -> Label:
    age_s = finding.evidence.get("age_s")
    said = {
        "verdict": verdict.value,
        "age_s": float(age_s) if isinstance(age_s, int | float) else None,
        "note": note,
        "by": by[:BY_MAX],
    }
    with state.transaction() as db:
        _insert(db, finding, at)
        db.execute(
            """UPDATE labels SET verdict = :verdict, age_s = :age_s, note = :note, "by" = :by, changed_at = :at
            WHERE fingerprint = :fingerprint AND first_seen = :first_seen""",
            {**said, "at": rfc3339(at), **_key(finding)},
        )
        row = db.execute(
            "SELECT * FROM labels WHERE fingerprint = :fingerprint AND first_seen = :first_seen",
            _key(finding),
        ).fetchone()
    return _label(row)


def count_late(state: State, finding: Finding, n: int, longest_s: float, at: datetime) -> None:
    """`n` more attempts that the finding's episode called late have completed, the longest after `longest_s`."""
    with state.transaction() as db:
        _insert(db, finding, at)
        db.execute(
            """UPDATE labels SET completed_late = completed_late + :n, longest_s = max(longest_s, :longest_s),
                changed_at = :at
            WHERE fingerprint = :fingerprint AND first_seen = :first_seen""",
            {"n": n, "longest_s": longest_s, "at": rfc3339(at), **_key(finding)},
        )


def labels(
    state: State, *, first_seen_from: datetime | None = None, changed_from: datetime | None = None
) -> list[Label]:
    """Labels of episodes that began, or that changed, at that time or later; the oldest first."""
    with state.transaction() as db:
        rows = db.execute(
            "SELECT * FROM labels WHERE first_seen >= ? AND changed_at >= ? ORDER BY first_seen, fingerprint",
            (_from(first_seen_from), _from(changed_from)),
        ).fetchall()
    return [_label(row) for row in rows]


def forget_labels(state: State, before: datetime) -> int:
    """Delete labels last changed before `before`; how many there were."""
    with state.transaction() as db:
        return db.execute("DELETE FROM labels WHERE changed_at < ?", (rfc3339(before),)).rowcount


def _insert(db: Any, finding: Finding, at: datetime) -> None:
    db.execute(
        """INSERT OR IGNORE INTO labels
            (fingerprint, first_seen, detector, namespace, engine, workflow, step, changed_at)
        VALUES (:fingerprint, :first_seen, :detector, :namespace, :engine, :workflow, :step, :at)""",
        {
            **_key(finding),
            "detector": finding.detector,
            "namespace": finding.namespace,
            "engine": finding.engine,
            "workflow": finding.workflow,
            "step": finding.step,
            "at": rfc3339(at),
        },
    )
    db.execute(
        "DELETE FROM labels WHERE rowid IN (SELECT rowid FROM labels ORDER BY changed_at DESC LIMIT -1 OFFSET ?)",
        (LABELS_MAX,),
    )


def _key(finding: Finding) -> dict[str, str]:
    return {"fingerprint": finding.fingerprint, "first_seen": rfc3339(finding.first_seen)}


def _from(when: datetime | None) -> str:
    return "" if when is None else rfc3339(when)


def _label(row: Mapping[str, Any]) -> Label:
    fields = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a sqlite3.Row is no mapping
    verdict = fields.pop("verdict")
    return Label(
        **{
            **fields,
            "first_seen": datetime.fromisoformat(row["first_seen"]),
            "changed_at": datetime.fromisoformat(row["changed_at"]),
        },
        verdict=None if verdict is None else Verdict(verdict),
    )
