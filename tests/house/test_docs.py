"""What the documents say, held against the code."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from dashboards.web.asked import FILTERS
from stallwatch.cli.main import app
from stallwatch.model.findings import DETECTOR_IDS
from stallwatch.simulator.scenario import load_scenario

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "node_modules" not in path.parts
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|\| )(?:\S*/)?stallwatch ((?:[a-z]+ ?)+)", re.MULTILINE)


def commands() -> set[str]:
    """All commands as they are typed: `steps`, `report timeouts`."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    found = set()
    for name, command in root.commands.items():
        if isinstance(command, TyperGroup):
            found |= {f"{name} {sub}" for sub in command.commands}
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(path: Path) -> None:
    known = commands()
    for block in BLOCK.findall(path.read_text()):
        for text in COMMAND.findall(block):
            words = text.split()
            told = f"{path.name}: stallwatch {text}"
            assert words[0] in known or " ".join(words[:2]) in known, told


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    for command in commands():
        assert f"`{command}" in text, command


def test_every_filter_of_the_api_is_documented() -> None:
    text = (ROOT / "docs" / "web.md").read_text()
    table = text.partition("### Filters")[2].partition("\n## ")[0]
    documented = {
        path.replace("executions/{id}", "execution"): tuple(re.findall(r"`(\w+)`", names))
        for path, names in re.findall(r"^\| `/api/(\S+)` \| (.+) \|$", table, re.MULTILINE)
    }
    assert documented == {name: filters for name, filters in FILTERS.items() if filters}


def test_the_scenario_that_is_shown_is_one(tmp_path: Path) -> None:
    shown = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "scenarios.md").read_text(), re.M | re.S
    )
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        assert load_scenario(path).expectations
    assert shown


def test_every_detector_that_runs_is_documented() -> None:
    from detectors.registry import DETECTORS

    text = (ROOT / "docs" / "detectors.md").read_text()
    for detector in DETECTORS:
        assert detector.id in DETECTOR_IDS
        assert f"`{detector.id}`" in text, detector.id


def test_nothing_committed_names_a_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    paths = [ROOT / name for name in listed if name] or list(ROOT.rglob("*.py"))
    for path in paths:
        if path.is_file() and path.suffix in (
            ".py",
            ".md",
            ".toml",
            ".sql",
            ".yaml",
            ".json",
            ".txt",
            ".lock",
            ".sh",
        ):
            text = path.read_text(encoding="utf-8")
            assert "/work" + "/" not in text, path
            assert "/root" + "/" not in text, path
