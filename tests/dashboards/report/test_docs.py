"""The documentation of the report names what the report has."""

import re
from pathlib import Path

from dashboards.report import FORMATS
from dashboards.report.tables import FIELDS
from stallwatch.model.recommendations import StepRecommendation

TEXT = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")


def first_cells(section: str) -> set[str]:
    """The names in code in the first column of a section's table."""
    body = TEXT.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", body, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_column_is_explained_and_no_other() -> None:
    assert first_cells("Columns") == set(FIELDS)


def test_every_verdict_is_explained_and_no_other() -> None:
    verdicts = StepRecommendation.__annotations__["verdict"].__args__
    assert first_cells("Verdicts") == set(verdicts)


def test_the_command_names_the_formats() -> None:
    assert f"--format {'|'.join(FORMATS)}" in TEXT
