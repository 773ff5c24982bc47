import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallwatch.errors import InputError
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.model.findings_json import finding_from_json, finding_to_json

TIMES = st.integers(0, 10**15).map(
    lambda microseconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
TEXT = st.text(max_size=20)
FINDINGS = st.builds(
    Finding,
    detector=TEXT,
    severity=st.sampled_from(Severity),
    status=st.sampled_from(Status),
    namespace=TEXT,
    engine=TEXT,
    workflow=TEXT,
    step=TEXT,
    executions=st.lists(TEXT, max_size=3).map(tuple),
    count=st.integers(0, 10**9),
    first_seen=TIMES,
    last_seen=TIMES,
    fingerprint=TEXT,
    title=TEXT,
    explanation=TEXT,
    evidence=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(0, 9), st.booleans(), st.none())),
    next_steps=st.lists(TEXT, max_size=3).map(tuple),
    number=st.integers(0, 10**6),
)


@given(FINDINGS)
def test_what_is_written_is_read_again(finding: Finding) -> None:
    data = json.loads(json.dumps(finding_to_json(finding)))
    assert finding_from_json(data, finding.number) == finding


def test_the_names_are_the_public_ones_and_times_are_rfc_3339() -> None:
    finding = Finding(
        detector="stalled_step",
        severity=Severity.CRITICAL,
        status=Status.FIRING,
        namespace="shop",
        engine="temporal",
        workflow="order",
        step="charge",
        executions=("o-1",),
        count=1,
        first_seen=datetime(2026, 11, 22, 11, tzinfo=timezone(timedelta(hours=1))),
        last_seen=datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC),
        fingerprint="00ff",
        title="t",
        explanation="e",
        evidence={"since": datetime(2026, 11, 22, 10, tzinfo=UTC), "p99_s": 8.0},
        next_steps=("restart",),
    )
    assert finding_to_json(finding) == {
        "detector": "stalled_step",
        "severity": "critical",
        "status": "firing",
        "namespace": "shop",
        "engine": "temporal",
        "workflow": "order",
        "step": "charge",
        "executions": ["o-1"],
        "count": 1,
        "first_seen": "2026-11-22T10:00:00.000000Z",
        "last_seen": "2026-11-22T10:00:01.000000Z",
        "fingerprint": "00ff",
        "title": "t",
        "explanation": "e",
        "evidence": {"since": "2026-11-22T10:00:00Z", "p99_s": 8.0},
        "next_steps": ["restart"],
    }


def test_what_is_no_finding_is_refused() -> None:
    with pytest.raises(InputError, match="severity: is missing"):
        finding_from_json({"detector": "x"})
    with pytest.raises(InputError, match="'loud'"):
        finding_from_json({"detector": "x", "severity": "loud"})
