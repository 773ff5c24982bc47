"""What commands print, and how they end. The store's own process is where a store is opened."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.core import TyperGroup

from stallwatch.app.access import ask
from stallwatch.app.claim import Serving
from stallwatch.cli.main import app
from stallwatch.errors import StoreUnavailable
from tests.app.running import (
    STALLWATCH,
    WAIT_S,
    Place,
    run_alone,
    run_here,
)
from tests.cli.document import documented

JSON: Final = ("--format", "json")
FULL: Final = Path("/dev/full")
ESCAPE: Final = "\x1b"
RED: Final = f"{ESCAPE}[31mred{ESCAPE}[0m\a\N{RIGHT-TO-LEFT OVERRIDE}"
"""A name that would act on a terminal."""


def commands() -> list[list[str]]:
    """Every command and group, as it is typed."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    found: list[list[str]] = [[]]
    for name, command in root.commands.items():
        found.append([name])
        if isinstance(command, TyperGroup):
            found += [[name, sub] for sub in command.commands]
    return found


# Without a store ----------------------------------------------------------------------------------


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help(words: list[str]) -> None:
    ended = run_here(*words, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"Usage: {' '.join(['stallwatch', *words])}" in ended.out
    assert ended == run_here(*words, "-h")
    assert ESCAPE not in ended.out


def test_help_shows_what_is_in_brackets() -> None:
    assert "[engines.NAME]" in run_here("pull", "--help").out


def test_the_version() -> None:
    ended = run_here("--version")
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(r"stallwatch \d+\.\d+\.\d+\n", ended.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["steps", "--nothing"], "No such option: --nothing"),
        (["steps", "--since", "yesterday"], "is needed, not 'yesterday'\n"),
        (["report", "timeouts", "--since", "2100-01-01T00:00:00Z"], "--since: must be before now"),
        (["executions", "--until", "-15x"], "--until: a duration such as"),
        (["executions", "--since", "-15"], "(in '-15')"),
        (["findings", "--since", "now", "--until", "-1h"], "--since: must be before --until"),
        (["detect", "--at", "noon"], "--at: a time such as"),
        (["executions", "--since", "2026-01-05T12:00:00"], "has no offset"),
        (["executions", "--limit", "0"], "--limit"),
        (["executions", "--since", "now", "--until", "-1h"], "--since: must be before --until"),
        (["steps", "--status", "lost"], "--status: must be one of open, scheduled, running, "),
        (["executions", "--status", "lost"], "--status: must be one of running, completed, "),
        (["trace", "o-1", "--status", "lost"], "--status: must be one of running, completed, "),
        (["findings", "--status", "lost"], "--status: must be one of "),
        (["detect", "--detector", "stall"], "--detector: there is no 'stall'; there are stalled_step,"),
        (["serve", "--roles", "web,brain"], "--roles: there is no role 'brain'"),
        (["serve", "--roles", ","], "--roles: name at least one role"),
        (["demo", "--seconds", "3"], "--seconds"),
        (["import", "pigeons", "file"], "pigeons"),
        (["check", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["import", "otlp", "x", "--workflow", "order"], "--workflow: is for histories of engines"),
        (["import", "events", "x", "--execution-id", "o-1"], "--execution-id: is for histories of engines"),
        (["import", "temporal", "x", "y", "--execution-id", "o-1"], "--execution-id: is for one file, and there are 2"),
        (["pull", "stepfunction"], "there is no engine 'stepfunction'; there are stepfunctions, temporal, durable,"),
        (["config", "check", "--config", "nowhere.toml"], "nowhere.toml: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_usage_is_exit_status_2(words: list[str], said: str) -> None:
    ended = run_here(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("words", [[], ["report"], ["config"], ["dashboards"]])
def test_a_group_alone_shows_its_commands(words: list[str]) -> None:
    ended = run_here(*words)
    assert ended.code == 2
    assert "Commands" in ended.out + ended.err


def test_dashboards_are_exported(tmp_path: Path) -> None:
    ended = run_here("dashboards", "export", str(tmp_path / "new"))
    assert ended.code == 0
    paths = [Path(line) for line in ended.out.split("\n") if line]
    assert set(paths) == set((tmp_path / "new").iterdir())
    assert all(json.loads(path.read_text(encoding="utf-8"))["title"] for path in paths)
    (tmp_path / "file").touch()
    assert run_here("dashboards", "export", str(tmp_path / "file")).code == 2


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("check", "nowhere.yaml")
    assert ESCAPE not in run_here(*words).err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert f"{ESCAPE}[31m" in run_here(*words).err
    monkeypatch.setenv("NO_COLOR", "1")
    assert f"{ESCAPE}[31m" not in run_here(*words).err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["dashboards", "export", "{folder}/new"], ["doctor", *JSON], ["steps", "--help"]]
)
def test_a_reader_that_goes_away_changes_no_exit_status(words: list[str], tmp_path: Path) -> None:
    place = Place(tmp_path)
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as nobody:
        ended = subprocess.run(
            [STALLWATCH, *place.argv(*(word.format(folder=tmp_path) for word in words))],
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=WAIT_S,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("words", [["doctor"], ["doctor", *JSON], ["steps", "--help"]])
def test_a_full_disk_is_exit_status_3(words: list[str], tmp_path: Path) -> None:
    with FULL.open("wb") as full:
        ended = subprocess.run(
            [STALLWATCH, *Place(tmp_path).argv(*words)],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=WAIT_S,
            check=False,
        )
    said = b"stallwatch: standard output: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (3, said)


def test_a_message_is_one_line_and_acts_on_no_terminal() -> None:
    name = f"{RED} {'long ' * 40}.yaml"
    ended = run_here("check", name)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert ESCAPE not in ended.err


def test_a_serve_without_pages_cannot_be_asked() -> None:
    with pytest.raises(StoreUnavailable, match="no web role"):
        ask(Serving(1, "", "http://127.0.0.1:4318"), "fold")


# Scenario files -----------------------------------------------------------------------------------

HANG: Final = """name: a charge hangs
events:
  - {at: 0s, event: workflow.started, workflow: order, execution_id: o-1}
  - {at: 1s, event: step.started, workflow: order, execution_id: o-1, step: charge, timeout_s: 60}
expect:
"""


def test_a_broken_scenario_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(HANG + "  - {at: 2m, findings: [{detectr: stalled_step}]}\n", encoding="utf-8")
    ended = run_here("check", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert f"{path}:6" in ended.err
    assert "detectr" in ended.err


@pytest.mark.slow
def test_scenario_files_pass_and_fail(tmp_path: Path) -> None:
    (tmp_path / "a-good.yaml").write_text(
        HANG + "  - {at: 2m, findings: [{detector: stalled_step}]}\n", encoding="utf-8"
    )
    good = run_alone("check", str(tmp_path))
    assert good.code == 0
    line, counts = good.out.splitlines()
    assert line.startswith(f"ok   {tmp_path / 'a-good.yaml'}  a charge hangs (")
    assert counts == "1 passed, 0 failed"
    bad = tmp_path / "[b]ad.yaml"
    bad.write_text(HANG + "  - {at: 2m, findings: []}\n", encoding="utf-8")
    both = run_alone("check", str(tmp_path), "--format", "json")
    assert both.code == 1
    assert [list(row) for row in both.data] == [documented("check")] * 2
    failed, passed = sorted(both.data, key=lambda row: bool(row["passed"]))
    assert (failed["file"], failed["name"], failed["passed"]) == (str(bad), "a charge hangs", False)
    assert "stalled_step" in failed["problems"][0]
    assert (passed["passed"], passed["problems"]) == (True, [])
    for row in (failed, passed):
        (at,) = row["firing"]
        assert list(at) == ["at", "offset_s", "findings"]
        assert (at["at"], at["offset_s"]) == ("2026-01-05T12:02:00.000000Z", 120.0)
        (finding,) = at["findings"]
        assert list(finding) == documented("findings")
        assert "It declares a timeout of 1m, which is over." in finding["explanation"]


# With a store -------------------------------------------------------------------------------------
