"""What commands print, and how they end. The store's own process is where a store is opened."""

import json
import os
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any, Final

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
    Ended,
    Place,
    run_all,
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


def config(folder: Path, text: str) -> list[str]:
    path = folder / "stallwatch.toml"
    path.write_text(text, encoding="utf-8")
    return ["--config", str(path)]


def test_a_good_configuration(tmp_path: Path) -> None:
    ended = run_here("config", "check", *config(tmp_path, "[report]\nbuffer = 0.4"))
    assert ended == Ended(0, "The configuration is good.\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cron = "x"', "report.cron: 'x': "),
        ('timezone = "Mars"', "report.timezone: there is no time zone 'Mars'"),
    ],
)
def test_what_serve_refuses_at_its_start_is_named(tmp_path: Path, text: str, said: str) -> None:
    ended = run_here("config", "check", *config(tmp_path, f"[report]\n{text}\n"))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h/x", "begins with chdb://, clickhouse:// or clickhouses://, not 'mysql'"),
        ("chdb://data", "write chdb:///path (three slashes)"),
        ("clickhouse:///x", "clickhouse:// needs a host"),
        ("clickhouse://me:s3cret@h:port", "Port could not be cast"),
    ],
)
def test_a_store_that_cannot_be_is_named_with_its_line(tmp_path: Path, url: str, said: str) -> None:
    options = config(tmp_path, f'[store]\nurl = "{url}"\n')
    ended = run_here("config", "check", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"stallwatch: {options[1]}:2: store.url: {said}")
    assert "s3cret" not in ended.err


@pytest.mark.parametrize("section", ["collector", "web"])
def test_tokens_and_certificates_that_are_not_there_are_named(tmp_path: Path, section: str) -> None:
    for text in ('tokens_file = "/nowhere"', 'tls_cert = "/nowhere"\ntls_key = "/nowhere"'):
        ended = run_here("config", "check", *config(tmp_path, f"[{section}]\n{text}\n"))
        assert (ended.code, ended.out) == (2, "")
        assert f"{section}.{text.partition(' ')[0]}" in ended.err


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ('external_url = "nourl"', ":2: alerts.external_url: must be an address"),
        (
            '[[alerts.receivers]]\nname = "a"\nwebhook_configs = [{ url = "ftp://s3cret" }]',
            ":4: alerts.receivers.0.webhook_configs.0.url: must be an address",
        ),
        (
            '[[alerts.receivers]]\nname = "a"\nwebhook_configs = [{ url_file = "/nowhere" }]',
            ":4: alerts.receivers.0.webhook_configs.0.url_file: url_file /nowhere cannot be read",
        ),
        (
            '[[alerts.receivers]]\nname = "a"\nwebhook_configs = [{ url = "https://h/s3cret x" }]',
            ":4: alerts.receivers.0.webhook_configs.0.url: must be an address without blanks",
        ),
        (
            '[[alerts.receivers]]\nname = "a"\nslack_configs = [{ bot_token = "", channel = "c" }]',
            ":4: alerts.receivers.0.slack_configs.0.bot_token: is empty",
        ),
        (
            '[[alerts.receivers]]\nname = "a"\npagerduty_configs = [{ routing_key = "s3cret\\nx" }]',
            ":4: alerts.receivers.0.pagerduty_configs.0.routing_key: must have no line breaks",
        ),
        (
            '[[alerts.receivers]]\nname = "a"\n'
            'webhook_configs = [{ url = "https://h", bearer_token = "s3crét" }]',
            ":4: alerts.receivers.0.webhook_configs.0.bearer_token: must have no line breaks",
        ),
    ],
)
@pytest.mark.parametrize("command", [["config", "check"], ["serve"]])
def test_an_address_that_cannot_be_told_is_named_with_its_line(
    tmp_path: Path, command: list[str], alerts: str, said: str
) -> None:
    options = config(tmp_path, f"[alerts]\n{alerts}\n")
    ended = run_here(*command, *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"stallwatch: {options[1]}{said}")
    assert "s3cret" not in ended.err


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("pagerduty_configs", "routing_key"),
        ("slack_configs", "bot_token"),
        ("webhook_configs", "bearer_token"),
        ("webhook_configs", "url"),
    ],
)
@pytest.mark.parametrize("written", ["https://s3cret\nx\n", "https://s3cret\x07x", "s3cr\xe9t"])
def test_a_secret_in_a_file_that_cannot_be_sent_is_named_with_its_line(
    tmp_path: Path, target: str, key: str, written: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(written)
    beside = {"bot_token": ', channel = "c"', "bearer_token": ', url = "https://h"'}.get(key, "")
    options = config(
        tmp_path,
        f'[[alerts.receivers]]\nname = "a"\n{target} = [{{ {key}_file = "{file}"{beside} }}]\n',
    )
    ended = run_here("config", "check", *options)
    assert (ended.code, ended.out) == (2, "")
    where = f"{options[1]}:3: alerts.receivers.0.{target}.0.{key}_file: {key}_file {file}: must "
    assert ended.err.startswith(f"stallwatch: {where}")
    assert "s3cr" not in ended.err


@pytest.mark.parametrize("pattern", ["(?<=a)b", "(", "a*"])
def test_a_pattern_that_the_engine_refuses_is_named_with_its_line(
    tmp_path: Path, pattern: str
) -> None:
    data = tmp_path / "data"
    options = config(
        tmp_path,
        f'[store]\nurl = "chdb://{data}"\n[collector]\nredact = [\n"x",\n{{ value = "{pattern}" }}]\n',
    )
    # In a process of its own: an engine in memory would be this one's only one.
    ended = run_alone("config", "check", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        f"stallwatch: {options[1]}:6: collector.redact.1.value: '{pattern}' "
    )
    assert not data.exists()


def test_a_pattern_that_the_engine_takes_is_good(tmp_path: Path) -> None:
    options = config(tmp_path, "[collector]\nredact = [{ value = 'a+' }]\n")
    assert run_alone("config", "check", *options) == Ended(0, "The configuration is good.\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[report]\ncron = "x"', "report.cron: 'x': "),
        ('[report]\ntimezone = "Mars"', "report.timezone: there is no time zone 'Mars'"),
        ('[collector]\ntokens_file = "/nowhere"', "collector.tokens_file: there is no file"),
        ('[web]\ntokens_file = "/nowhere"', "web.tokens_file: there is no file /nowhere"),
        ('[web]\ntls_cert = "/nowhere"\ntls_key = "x"', "web.tls_cert: /nowhere cannot be read"),
    ],
)
def test_what_is_wrong_only_when_it_is_used_is_named_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    options = config(tmp_path, f'[telemetry]\nlog_level = "error"\n{text}\n')
    ended = run_here("config", "check", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"stallwatch: {options[1]}:4: {said}")


def test_serve_names_the_line_of_what_is_wrong_only_when_it_is_used(tmp_path: Path) -> None:
    data = tmp_path / "data"
    options = config(tmp_path, f'[store]\nurl = "chdb://{data}"\n[report]\ncron = "x"\n')
    ended = run_here("serve", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"stallwatch: {options[1]}:4: report.cron: 'x': ")


def test_what_is_wrong_in_the_environment_only_when_it_is_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STALLWATCH__REPORT__CRON", "x")
    ended = run_here("config", "check", *config(tmp_path, '[report]\ncron = "0 8 * * MON"\n'))
    assert ended.code == 2
    assert ended.err.startswith("stallwatch: environment: report.cron: 'x': ")


def test_a_variable_that_is_no_json_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STALLWATCH__REPORT__BUFFER", "0.4")
    monkeypatch.setenv("STALLWATCH__ALERTS__RECEIVERS", '[{"name": "s3cret')
    ended = run_here("config", "check", *config(tmp_path, ""))
    assert ended.code == 2
    assert "environment: STALLWATCH__ALERTS__RECEIVERS: must be JSON: Unterminated" in ended.err
    assert "s3cret" not in ended.err


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('dbos]\nurl = "mysql://me:s3cret@h/x"', "engines.dbos.url: must begin with postgresql://"),
        ('dbos]\nurl = "sqlite:///x"\nurl_file = "x"', "engines.dbos: set url or url_file, not both"),
        ('dbos]\nurl_file = "/nowhere"', "engines.dbos.url_file: /nowhere cannot be read"),
        ('dbos]\nurl = ["s3cret"]', "engines.dbos.url: "),
        ('temporal]\napi_key_file = "/nowhere"', "engines.temporal: /nowhere: No such file"),
        ('temporal]\nnamespaces = "one"', "engines.temporal.namespaces: must be a list"),
        ('airflow]\ntoken_file = "/nowhere"', "engines.airflow.token_file: /nowhere cannot be read"),
    ],
)  # fmt: skip
def test_an_engine_that_could_not_be_asked_is_named(
    tmp_path: Path, section: str, said: str
) -> None:
    ended = run_here("config", "check", *config(tmp_path, f"[engines.{section}\n"))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "s3cret" not in ended.err


def test_everything_wrong_in_a_configuration_is_named(tmp_path: Path) -> None:
    options = config(tmp_path, "[store]\nurll = 'x'\n[report]\nbuffer = 9\n[stores]\n")
    ended = run_here("config", "check", *options)
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert lines[0].startswith("stallwatch: ")
    for line, said in zip(
        sorted(line.removeprefix("stallwatch: ") for line in lines),
        ["store.urll: there is no such key", "report.buffer: ", "stores: there is no such key"],
        strict=True,
    ):
        place = re.escape(options[1])
        assert re.match(rf"{place}:\d+: {re.escape(said)}", line)


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    ended = run_here("steps", *config(tmp_path, "[store]\nurl = \n"))
    assert ended.code == 2
    assert str(tmp_path / "stallwatch.toml") in ended.err
    assert "line 2" in ended.err


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALLWATCH__STORES__URL", "x")
    ended = run_here("config", "check")
    assert ended.code == 2
    assert "STALLWATCH__STORES__URL" in ended.err


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


def event(name: str, execution_id: str, minute: int, **said: Any) -> str:
    time = f"2026-01-05T12:{minute:02d}:00Z"
    return json.dumps(
        {"event": name, "time": time, "workflow": "order", "execution_id": execution_id, **said}
    )


LINES: Final = [
    event("workflow.started", "o-1", 0),
    event("step.started", "o-1", 1, step="charge"),
    event("step.exploded", "o-1", 2, step="charge"),
    event("step.completed", "o-1", 3, step="charge"),
    event("workflow.completed", "o-1", 4),
]
HOSTILE: Final = [
    json.dumps({
        "event": name, "time": "2026-01-05T12:00:00Z",
        **dict.fromkeys(("workflow", "execution_id", "engine", "namespace", "run_id", "step", "branch"), RED),
        **dict.fromkeys(("worker", "queue", "error_type", "error_message"), RED),
    })
    for name in ("step.started", "step.completed", "workflow.failed", f"step.{RED}")
]  # fmt: skip
SINCE: Final = ("--since", "2026-01-05T00:00:00Z")
WHILE: Final = ("--since", "2026-01-05T12:00:30Z", "--until", "2026-01-05T12:30:30Z")
EVER: Final = ("--since", "0001-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def ended(place: Place) -> dict[str, Ended]:
    """A small story of commands on one store, in one process."""
    lines = place.folder / "lines.ndjson"
    lines.write_text("\n".join(LINES), encoding="utf-8")
    hostile = place.folder / "[b]hostile.ndjson"
    hostile.write_text("\n".join(HOSTILE), encoding="utf-8")
    many = place.folder / "many.ndjson"
    many.write_text("\n".join(event("workflow.started", f"m-{i}", 5) for i in range(10_000)))
    told = ("--namespace", "default", *SINCE, *JSON)
    story: dict[str, list[str]] = {
        "doctor before": ["doctor", *JSON],
        "migrate --dry-run": ["migrate", "--dry-run", *JSON],
        "migrate": ["migrate", *JSON],
        "migrate again": ["migrate"],
        "nothing": ["executions"],
        "nothing as JSON": ["executions", *JSON],
        "import": ["import", "events", str(lines)],
        "steps": ["steps", *told],
        "executions": ["executions", *told],
        "trace": ["trace", "o-1", *JSON],
        "import again": ["import", "events", str(lines)],
        "steps again": ["steps", *told],
        "steps of a while": ["steps", *WHILE],
        "steps of a while as JSON": ["steps", *WHILE, *JSON],
        "steps of whole days": ["steps", *SINCE, "--until", "2026-01-06T00:00:00Z"],
        "steps ever": ["steps", *EVER, *JSON],
        "report ever": ["report", "timeouts", *EVER, *JSON],
        "executions again": ["executions", *told],
        "trace again": ["trace", "o-1", *JSON],
        "import nothing": ["import", "events", str(place.folder / "nowhere")],
        "lately": ["executions", "--since", "-15m", *JSON],
        "findings": ["findings", "--firing", *JSON],
        "doctor": ["doctor", *JSON],
        "trace unknown": ["trace", "o-2"],
        "forget unknown": ["forget", "--yes", "o-2"],
        "hostile import": ["import", "events", str(hostile)],
        "hostile steps": ["steps", *SINCE],
        "hostile executions": ["executions", *SINCE],
        "hostile trace": ["trace", RED],
        "hostile findings": ["findings"],
        "hostile report": ["report", "timeouts", *SINCE],
        "hostile JSON": ["executions", *SINCE, *JSON],
        "hostile doctor": ["doctor"],
        "forget": ["forget", "--yes", "o-1"],
        "executions forgotten": ["executions", *told],
        "many import": ["import", "events", str(many)],
        "many in a table": ["executions", *SINCE],
        "many as JSON": ["executions", *SINCE, *JSON],
    }
    results = run_all([place.argv(*words) for words in story.values()])
    return dict(zip(story, results, strict=True))


@pytest.mark.slow
def test_migrating(ended: dict[str, Ended]) -> None:
    planned, done = ended["migrate --dry-run"].data, ended["migrate"].data
    assert planned
    assert [list(row) for row in planned] == [documented("migrate")] * len(planned)
    assert {row["done"] for row in planned} == {False}
    assert done == [row | {"done": True} for row in planned]
    assert ended["migrate again"] == Ended(0, "The store is up to date.\n", "")


@pytest.mark.slow
def test_the_doctor(ended: dict[str, Ended]) -> None:
    assert (ended["doctor before"].code, ended["doctor"].code) == (0, 0)
    rows = {row["check"]: row for row in ended["doctor"].data}
    assert list(rows["store"]) == documented("doctor")
    assert rows["migrations"]["detail"] == "up to date"
    before = {row["check"]: row["detail"] for row in ended["doctor before"].data}
    assert re.fullmatch(r"\d+ to apply", before["migrations"])


@pytest.mark.slow
def test_nothing_there(ended: dict[str, Ended]) -> None:
    assert ended["nothing"] == Ended(0, "", "No executions.\n")
    assert ended["nothing as JSON"] == Ended(0, "[]\n", "")
    assert ended["lately"].data == []
    assert ended["findings"] == Ended(0, "[]\n", "")


@pytest.mark.slow
def test_a_bad_line_is_named_and_the_rest_is_imported(
    ended: dict[str, Ended], place: Place
) -> None:
    imported = ended["import"]
    assert imported.code == 2
    assert imported.out == "4 events imported, 1 bad document\n"
    (line,) = imported.err.splitlines()
    assert line.startswith(f"{place.folder / 'lines.ndjson'}, line 3: ")
    assert "step.exploded" in line
    (run,) = ended["trace"].data
    assert [one["event"] for one in run["events"]] == [
        "workflow.started",
        "step.started",
        "step.completed",
        "workflow.completed",
    ]
    nowhere = ended["import nothing"]
    assert (nowhere.code, nowhere.out) == (2, "")
    assert "No such file" in nowhere.err


@pytest.mark.slow
def test_importing_twice_changes_nothing(ended: dict[str, Ended]) -> None:
    for what in ("steps", "executions"):
        assert ended[what].data == ended[f"{what} again"].data != []
    (run,), (again,) = ended["trace"].data, ended["trace again"].data
    assert run["attempt_list"] == again["attempt_list"] != []
    assert len(run["events"]) == len(again["events"])


@pytest.mark.slow
def test_what_is_counted_whole_is_told_to_people(ended: dict[str, Ended]) -> None:
    told = ended["steps of a while"]
    assert told.err == "In whole days: 2026-01-05 00:00:00 to 2026-01-06 00:00:00 UTC.\n"
    assert "charge" in told.out
    assert ended["steps of whole days"] == Ended(0, told.out, "")
    assert ended["steps of a while as JSON"].err == ""


@pytest.mark.slow
def test_before_all_time_is_since_ever(ended: dict[str, Ended]) -> None:
    assert ended["steps ever"].data == ended["steps again"].data
    assert [row["step"] for row in ended["report ever"].data] == ["charge"]


@pytest.mark.slow
def test_it_is_told_how_to_see_more(ended: dict[str, Ended]) -> None:
    table, data = ended["many in a table"], ended["many as JSON"]
    assert table.err == "These are the latest 100; --limit shows more.\n"
    assert data.err == "These are the latest 10,000; --until shows earlier ones.\n"
    assert len(data.data) == 10_000


@pytest.mark.slow
def test_json_has_the_documented_fields(ended: dict[str, Ended]) -> None:
    for what in ("steps", "executions"):
        (row,) = ended[what].data
        assert sorted(row) == sorted(documented(what))
    (run,) = ended["trace"].data
    of_run = [name for name in documented("trace") if name not in ("executions", "attempts")]
    assert sorted(run) == sorted([*documented("executions"), *of_run])
    (step,) = ended["steps"].data
    assert (step["n"], step["completed"], step["oldest_open_at"]) == (1, 1, None)
    assert step["p50_s"] == pytest.approx(120, rel=0.02)
    (execution,) = ended["executions"].data
    assert execution["duration_s"] == 240
    assert datetime.fromisoformat(execution["started_at"]).utcoffset() is not None


@pytest.mark.slow
def test_an_unknown_execution_is_exit_status_2(ended: dict[str, Ended]) -> None:
    for what in ("trace unknown", "forget unknown"):
        assert ended[what] == Ended(2, "", "stallwatch: there is no execution 'o-2'\n")


@pytest.mark.slow
def test_forgetting(ended: dict[str, Ended]) -> None:
    assert ended["forget"] == Ended(0, "4 events erased\n", "")
    assert ended["executions forgotten"].data == []


@pytest.mark.slow
def test_names_from_senders_do_not_act_on_the_terminal(ended: dict[str, Ended]) -> None:
    names = [name for name in ended if name.startswith("hostile ") and name != "hostile JSON"]
    shown = {name: ended[name].out + ended[name].err for name in names}
    assert {name for name, text in shown.items() if set(text) & set(RED[0] + RED[-2:])} == set()
    for name in ("hostile steps", "hostile executions", "hostile trace", "hostile report"):
        assert ended[name].code == 0
        assert "\N{REPLACEMENT CHARACTER}[31mred" in ended[name].out.replace("\\[", "["), name
    assert ended["hostile import"].out == "3 events imported, 1 bad document\n"
    # Programs get the name as it is, in JSON's own writing.
    assert ESCAPE not in ended["hostile JSON"].out
    assert RED in {row["execution_id"] for row in ended["hostile JSON"].data}


@pytest.mark.slow
def test_forgetting_asks_first_at_a_terminal(place: Place, ended: dict[str, Ended]) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"n\n")
    asked = subprocess.run(
        [STALLWATCH, *place.argv("forget", RED)],
        stdin=theirs, capture_output=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert asked.returncode not in (0, 2)
    assert asked.stdout.strip() == b""
    assert b"for good?" in asked.stderr
    assert ESCAPE.encode() not in asked.stderr


@pytest.mark.slow
def test_forgetting_asks_no_script(place: Place, ended: dict[str, Ended]) -> None:
    assert run_alone(*place.argv("forget", "nobody")).code == 2
    erased = run_alone(*place.argv("forget", RED))
    assert (erased.code, erased.err) == (0, "")
