"""Every row of the conformance table is backed by a test, and every conformance test is in the table."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "otlp.md"
TRANSPORTS = {"grpc": ("gRPC", "Both"), "http": ("HTTP", "JSON", "Both")}
"""Each transport's tests, and the first words of the sections that name them."""


def backing(transport: str) -> set[str]:
    path = ROOT / "tests" / "collector" / f"test_conformance_{transport}.py"
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def rows() -> list[tuple[str, list[str]]]:
    """The section and the named tests of every row that is neither a heading nor a rule."""
    found = []
    for section in TABLE.read_text().split("\n## ")[1:]:
        title, *lines = section.splitlines()
        for line in lines:
            last = line.strip("|").rpartition("|")[2].strip()
            if line.startswith("|") and last != "test" and set(last) != {"-"}:
                found.append((title.removeprefix("OTLP/"), re.findall(r"`(\w+)`", last)))
    return found


def test_every_row_names_tests_that_exist() -> None:
    for section, named in rows():
        known = {
            name
            for transport, sections in TRANSPORTS.items()
            if section.startswith(sections)
            for name in backing(transport)
        }
        assert named, section
        assert set(named) <= known, section


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_conformance_test_is_in_the_table(transport: str) -> None:
    sections = TRANSPORTS[transport]
    named = {name for section, names in rows() for name in names if section.startswith(sections)}
    assert backing(transport) - named == set()
