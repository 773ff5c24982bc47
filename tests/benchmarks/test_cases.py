"""Every case at a tiny size: it runs, everything sent arrives, and it says so. How fast is not asked."""

from collections.abc import Iterator
from pathlib import Path

import lz4.block
import pytest
from rich.progress import Progress

from benchmarks import measuring, sink
from benchmarks.bodies import MARK
from benchmarks.cases import CASES
from benchmarks.contestants import rotel_agent
from benchmarks.generator import Generator, generator
from benchmarks.measuring import Bench
from benchmarks.report import Table, facts, markdown
from stallwatch.clock import SystemClock


@pytest.fixture(scope="module")
def load() -> Iterator[Generator]:
    with generator() as made:
        yield made


@pytest.fixture
def bench(load: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(measuring, "_SETTLED_S", 0.0)
    with Progress(disable=True) as progress:
        return Bench(load, tmp_path, 0.02, 1, progress, SystemClock(), "the command")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, bench: Bench) -> None:
    tables = CASES[name](bench)
    assert tables
    for table in tables:
        assert table.rows
        for row in table.rows:
            assert len(row) == len(table.headings)
        told = {row[0]: dict(zip(table.headings, row, strict=True)) for row in table.rows}
        for of in told.values():
            assert of.get("arrived", "all") == "all"
            if "answered 200" in of:
                answered, _, asked = of["answered 200"].partition(" of ")
                assert answered == asked
        if rotel_agent() is not None and "times rotel" in table.headings:
            assert all(of["times rotel"] for of in told.values())


def test_compressed_blocks_are_counted() -> None:
    blocks = []
    for text in (MARK * 3 + b"x" * 100, b"y" * 50 + MARK):
        packed = lz4.block.compress(text, store_size=False)
        sizes = (len(packed) + 9).to_bytes(4, "little") + len(text).to_bytes(4, "little")
        blocks.append(b"\0" * 16 + b"\x82" + sizes + packed)
    assert sink._decompressed(b"".join(blocks)).count(MARK) == 4


def test_the_document() -> None:
    table = Table(
        "Costs",
        ("who", "how much"),
        [("stallwatch", "1"), ("rotel", "3")],
        ["A note."],
        "a command",
    )
    text = markdown([table], facts(SystemClock().now(), 0.5))
    assert "| stallwatch | 1 |" in text
    assert "`a command`" in text
    assert "Python 3." in text
    assert str(Path.home()) not in text
