import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.store.state import MIGRATIONS, PARAMETERS_MAX, State

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FINDING = Finding(
    detector="stalled_step",
    severity=Severity.WARNING,
    status=Status.FIRING,
    namespace="shop",
    engine="temporal",
    workflow="order",
    step="charge",
    executions=("o-1",),
    count=1,
    first_seen=NOW,
    last_seen=NOW,
    fingerprint="f1",
    title="t",
    explanation="e",
    evidence={},
    next_steps=(),
    number=1,
)


def test_findings_are_kept_by_fingerprint_over_a_restart(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    other = replace(FINDING, fingerprint="f2", status=Status.PENDING)
    state.save_findings([FINDING, other])
    changed = replace(FINDING, status=Status.RESOLVED, number=2)
    state.save_findings([changed], at=NOW)
    state.close()
    state = State(tmp_path / "state.db")
    assert state.findings() == [changed, other]
    assert state.findings([Status.PENDING]) == [other]
    assert state.findings(fingerprints=["f1", "f9"]) == [changed]
    assert state.findings([Status.PENDING], fingerprints=["f1"]) == []
    assert state.findings([]) == []
    assert state.findings(fingerprints=[]) == []
    state.close()


def test_more_fingerprints_than_one_statement_takes() -> None:
    state = State(None)
    many = [replace(FINDING, fingerprint=f"f{n}") for n in range(2 * PARAMETERS_MAX + 1)]
    state.save_findings(many)
    assert len(state.findings(fingerprints=[one.fingerprint for one in many])) == len(many)
    state.close()


def test_old_resolved_findings_are_forgotten() -> None:
    state = State(None)
    state.save_findings([replace(FINDING, status=Status.RESOLVED)], at=NOW)
    state.save_findings([replace(FINDING, fingerprint="f2")], at=NOW)
    assert state.forget_findings(NOW) == 0
    assert state.forget_findings(NOW + timedelta(seconds=1)) == 1
    assert [one.fingerprint for one in state.findings()] == ["f2"]
    state.close()


def test_an_acknowledgement_holds_until_its_end() -> None:
    state = State(None)
    until = NOW + timedelta(hours=1)
    state.acknowledge("f1", until=until, by="ada", at=NOW)
    (one,) = state.acknowledgements(NOW).values()
    assert (one.fingerprint, one.until, one.by, one.at) == ("f1", until, "ada", NOW)
    assert state.acknowledgements(until) == {}
    state.acknowledge("f1", until=until + timedelta(hours=1), by="bob", at=NOW)
    assert state.acknowledgements(until)["f1"].by == "bob"
    state.close()


def test_an_acknowledgement_ends_with_what_it_is_about() -> None:
    state = State(None)
    for name in ("f1", "f2", "f3"):
        state.acknowledge(name, until=NOW + timedelta(hours=1), by="ada", at=NOW)
    state.end_acknowledgements(["f1", "f9"])
    assert set(state.acknowledgements(NOW)) == {"f2", "f3"}
    state.forget_acknowledgements(NOW)
    assert set(state.acknowledgements(NOW)) == {"f2", "f3"}
    state.forget_acknowledgements(NOW + timedelta(hours=1))
    assert state.acknowledgements(NOW) == {}
    state.close()


def test_watermarks() -> None:
    state = State(None)
    assert state.watermark("tick") is None
    state.set_watermark("tick", "a")
    state.set_watermark("tick", "b")
    assert state.watermark("tick") == "b"
    state.close()


def test_a_transaction_is_all_or_nothing_and_a_nested_one_joins() -> None:
    state = State(None)

    def break_off() -> None:
        with state.transaction():
            state.set_watermark("tick", "a")
            state.save_findings([FINDING])
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert state.watermark("tick") is None
    assert state.findings() == []
    with state.transaction():
        state.set_watermark("tick", "b")
    assert state.watermark("tick") == "b"
    state.close()


def test_threads_share_it() -> None:
    state = State(None)
    state.set_watermark("n", "0")

    def count() -> None:
        for _ in range(50):
            with state.transaction():
                state.set_watermark("n", str(int(state.watermark("n") or 0) + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.watermark("n") == "200"
    state.close()


def test_the_file_is_write_ahead_logged_and_numbered(tmp_path: Path) -> None:
    state = State(tmp_path / "state.db")
    with state.transaction() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    state.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(StoreRefused, match="version 999"):
        State(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="state file"):
        State(tmp_path / "missing" / "state.db")
    (tmp_path / "garbage.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreUnavailable, match="garbage"):
        State(tmp_path / "garbage.db")
