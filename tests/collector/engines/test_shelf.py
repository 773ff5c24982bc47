"""The shelf: facts together, on disk, bounded, and erased on request."""

import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.engines import shelf as shelves
from collector.engines.reading import Fragment
from collector.engines.shelf import FILE_NAME, KEPT, Shelf
from collector.meters import Meters
from stallwatch.errors import StoreUnavailable, UsageError
from tests.collector.helpers import NOW

MIB = 1024 * 1024


def opened(
    folder: Path | None, max_bytes: int = MIB, registry: CollectorRegistry | None = None
) -> Shelf:
    return Shelf(folder, max_bytes, Meters(registry or CollectorRegistry()))


def facts_of(
    shelf: Shelf, execution: str, engine: str = "toy", namespace: str = "default"
) -> object:
    return shelf.put(engine, namespace, [Fragment(execution, {})], NOW)[0].facts


def test_facts_of_an_execution_come_together() -> None:
    shelf = opened(None)
    shelf.put("toy", "default", [Fragment("a", {"1": "x"}), Fragment("b", {"1": "of b"})], NOW)
    found = shelf.put(
        "toy", "default", [Fragment("a", {"2": {"y": [1]}}), Fragment("a", {"3": None})], NOW
    )
    assert [(known.execution, known.facts) for known in found] == [
        ("a", {"1": "x", "2": {"y": [1]}, "3": None})
    ]
    assert found[0].new == {"2", "3"}


def test_the_first_fact_of_an_identity_stays() -> None:
    shelf = opened(None)
    shelf.put("toy", "default", [Fragment("a", {"1": "first"})], NOW)
    again = shelf.put("toy", "default", [Fragment("a", {"1": "second"})], NOW)
    assert (again[0].facts, again[0].new) == ({"1": "first"}, frozenset())


def test_engines_and_namespaces_are_apart() -> None:
    shelf = opened(None)
    shelf.put("toy", "default", [Fragment("a", {"1": "x"})], NOW)
    assert facts_of(shelf, "a", engine="other") == {}
    assert facts_of(shelf, "a", namespace="prod") == {}


def test_it_is_on_disk_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    shelf = opened(folder)
    shelf.put("toy", "default", [Fragment("a", {"1": "x"})], NOW)
    # Nothing was closed: what a kill leaves behind.
    assert facts_of(opened(folder), "a") == {"1": "x"}
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_closed_long_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "_TIDY_EVERY", 1)
    shelf = opened(None)
    for name in ("open", "closed"):
        known = shelf.put("toy", "default", [Fragment(name, {"1": "x"})], NOW)[0]
        shelf.note([(known.id, f"the {name} one", name == "closed")])
    shelf.put("toy", "default", [], NOW + KEPT)
    assert facts_of(shelf, "closed") == {"1": "x"}
    shelf.put("toy", "default", [], NOW + KEPT + timedelta(seconds=1))
    assert facts_of(shelf, "closed") == {}
    assert facts_of(shelf, "open") == {"1": "x"}


def test_it_has_a_size_and_counts_what_it_lets_go() -> None:
    registry = CollectorRegistry()
    shelf = opened(None, 10_000, registry)
    for number in range(9):
        at = NOW + timedelta(seconds=number)
        known = shelf.put("toy", "default", [Fragment(str(number), {"1": "x" * 1000})], at)[0]
        shelf.note([(known.id, "", number == 5)])
    shelf.put("toy", "default", [Fragment("last", {"1": "x" * 2000})], NOW + timedelta(seconds=9))
    # The closed one first, then those that were touched longest ago, down to nine tenths.
    gone = [number for number in range(9) if facts_of(shelf, str(number)) == {}]
    assert gone == [0, 1, 5]
    assert facts_of(shelf, "last") != {}
    assert registry.get_sample_value("collector_shelf_dropped_total", {"what": "executions"}) == 3


def test_an_execution_has_so_many_facts_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "FACTS_MAX", 3)
    registry = CollectorRegistry()
    shelf = opened(None, registry=registry)
    shelf.put("toy", "default", [Fragment("a", {"1": 1, "2": 2})], NOW)
    shelf.put("toy", "default", [Fragment("a", {"2": 2, "3": 3, "4": 4})], NOW)
    assert facts_of(shelf, "a") == {"1": 1, "2": 2, "3": 3}
    assert registry.get_sample_value("collector_shelf_dropped_total", {"what": "facts"}) == 1


def test_forgetting_under_either_name(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    for key, name in (("k1", "order-1"), ("k2", "order-2"), ("k3", "")):
        known = shelf.put("toy", "default", [Fragment(key, {"1": f"secret of {key}"})], NOW)[0]
        shelf.note([(known.id, name, False)])
    shelf.forget("order-1")
    shelf.forget("k3")
    shelf.close()
    assert b"secret of k2" in (tmp_path / FILE_NAME).read_bytes()
    assert b"secret of k1" not in (tmp_path / FILE_NAME).read_bytes()
    assert b"secret of k3" not in (tmp_path / FILE_NAME).read_bytes()


def test_half_a_delivery_does_not_stay() -> None:
    shelf = opened(None)
    with pytest.raises(TypeError):
        shelf.put(
            "toy", "default", [Fragment("a", {"1": "x"}), Fragment("b", {"1": object()})], NOW
        )
    assert facts_of(shelf, "a") == {}


def test_a_shelf_that_cannot_be_written_is_away_not_broken(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    shelf._db.execute("PRAGMA busy_timeout = 1")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked"):
        shelf.put("toy", "default", [Fragment("a", {"1": "x"})], NOW)
    other.execute("ROLLBACK")
    other.close()
    assert shelf.put("toy", "default", [Fragment("a", {"1": "x"})], NOW)[0].new == {"1"}


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    shelf = opened(tmp_path)
    assert shelf.put("toy", "default", [Fragment("a", {"1": "x"})], NOW)[0].new == {"1"}
    assert (tmp_path / f"{FILE_NAME}.damaged").read_bytes().startswith(b"this is no database")
    assert "damaged" in caplog.text


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="shelf of the engines"):
        opened(tmp_path / "file" / "engines")
