"""What is said of a configuration that is wrong: which key, which line, and why."""

import re
from pathlib import Path

import pytest

from tests.app.running import (
    Ended,
    run_alone,
    run_here,
)


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
