"""The frame that the measurements of the detectors share."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.detectors import __main__ as frame
from benchmarks.detectors import table

RUN = CliRunner()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that takes no time."""
    module = ModuleType("benchmarks.detectors.tiny")
    vars(module)["NAME"] = "Tiny things"
    vars(module)["measure"] = lambda quick: table(("what", "n"), [("quick", str(quick))])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(frame, "nouns", lambda: ["tiny"])


def ran(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(frame.main)
    result = RUN.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("tiny")
def test_a_quick_look_prints_its_section_with_what_one_has_to_know() -> None:
    told = ran("tiny", "--quick")
    assert "## Tiny things\n\n| what | n |\n| --- | ---: |\n| quick | True |" in told
    assert "Python 3" in told
    assert "Quick, so proving nothing" in told


@pytest.mark.usefixtures("tiny")
def test_measuring_one_again_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    out = tmp_path / "DETECTORS.md"
    out.write_text(frame.document({"tiny": "## Old", "other": "## Other\n\nas it was"}))
    ran("tiny", "--out", str(out))
    sections = frame.sections_of(out.read_text())
    assert sections["other"] == "## Other\n\nas it was"
    assert "| quick | False |" in sections["tiny"]
    assert "## Old" not in out.read_text()


def test_an_unknown_noun_is_refused() -> None:
    app = typer.Typer()
    app.command()(frame.main)
    assert RUN.invoke(app, ["nothing"]).exit_code == 2


def test_every_module_is_a_measurement() -> None:
    for noun in frame.nouns():
        module = importlib.import_module(f"benchmarks.detectors.{noun}")
        assert module.NAME
        assert callable(module.measure)
