from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stallwatch.config.alerts import (
    AlertsConfig,
    Matcher,
    SlackConfig,
    WebhookConfig,
    parse_matcher,
    read_secret,
)
from stallwatch.errors import ConfigError


def receiver(**configs: Any) -> dict[str, Any]:
    return {"receivers": [{"name": "oncall", **configs}]}


def test_without_settings_everything_goes_to_the_console() -> None:
    config = AlertsConfig()
    assert [one.name for one in config.receivers] == ["console"]
    assert len(config.receivers[0].console_configs) == 1
    assert config.route == ()


def test_the_words_are_alertmanagers() -> None:
    config = AlertsConfig.model_validate(
        {
            "receivers": [
                {
                    "name": "oncall",
                    "slack_configs": [{"url_file": "/run/secrets/slack"}],
                    "pagerduty_configs": [{"routing_key_file": "/run/secrets/pagerduty"}],
                    "webhook_configs": [{"url": "https://example.com/hook"}],
                }
            ],
            "route": [
                {
                    "receiver": "oncall",
                    "matchers": ["detector=stalled_step", 'workflow=~"ord.*"', "severity!=info"],
                    "group_wait": "30s",
                    "group_interval": "5m",
                    "continue": True,
                }
            ],
        }
    )
    (route,) = config.route
    assert (route.group_wait, route.group_interval, route.repeat_interval) == (30, 300, 14400)
    assert route.continue_


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"receiver": []}, "Extra inputs"),
        (receiver(slack_config=[]), "slack_config"),
        (receiver(slack_configs=[{"url": "https://x", "chanel": "c"}]), "chanel"),
        (receiver(slack_configs=[{}]), "exactly one of url, url_file"),
        (receiver(slack_configs=[{"url": "https://x", "url_file": "/x"}]), "not 2"),
        (receiver(slack_configs=[{"bot_token_file": "/x"}]), "channel"),
        (receiver(slack_configs=[{"url": "https://x", "channel": "c"}]), "channel"),
        (receiver(pagerduty_configs=[{"routing_key": "k", "base_url": "http://x"}]), "base_url"),
        (receiver(webhook_configs=[{"url": "https://x", "timeout_s": 0}]), "timeout_s"),
        (receiver(webhook_configs=[{"url": "ftp://x/y"}]), "http:// or https://"),
        (receiver(slack_configs=[{"url": "https:///x"}]), "names a host"),
        (receiver(webhook_configs=[{"url": "http://[::1"}]), "http:// or https://"),
        ({"external_url": "nourl"}, "external_url"),
        ({"receivers": []}, "at least one"),
        ({"receivers": [{"name": "a"}, {"name": "a"}]}, "given twice"),
        ({"route": [{"receiver": "nobody"}]}, "no receiver 'nobody'"),
        ({"route": [{"receiver": "console", "group_by": []}]}, "group_by"),
        ({"route": [{"receiver": "console", "group_wait": "soon"}]}, "duration"),
        ({"route": [{"receiver": "console", "repeat_interval": "0s"}]}, "repeat_interval"),
        ({"route": [{"receiver": "console", "matchers": ["severity"]}]}, "not a matcher"),
        ({"route": [{"receiver": "console", "matchers": ["team=a"]}]}, "no label team"),
        ({"route": [{"receiver": "console", "matchers": ["step=~["]}]}, "regular expression"),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        AlertsConfig.model_validate(data)


def test_matchers_are_parsed() -> None:
    assert parse_matcher("severity!=info") == Matcher("severity", "!=", "info")
    assert parse_matcher(' workflow =~ "a \\"b\\".*" ') == Matcher("workflow", "=~", 'a "b".*')
    assert parse_matcher('step=""') == Matcher("step", "=", "")
    assert parse_matcher("step=a=b") == Matcher("step", "=", "a=b")
    assert parse_matcher("step!~x") == Matcher("step", "!~", "x")


def test_secrets_come_from_files_and_never_print(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("https://hooks.example.com/s3cret\n", encoding="utf-8")
    assert read_secret(SlackConfig(url_file=file), "url") == "https://hooks.example.com/s3cret"
    plain = WebhookConfig.model_validate({"url": "https://s3cret"})
    assert read_secret(plain, "url") == "https://s3cret"
    assert read_secret(plain, "bearer_token") is None
    assert "s3cret" not in repr(plain) + str(plain) + plain.model_dump_json()


def test_a_wrong_section_does_not_print_its_secrets() -> None:
    with pytest.raises(ValidationError) as caught:
        AlertsConfig.model_validate(receiver(slack_configs=[{"url": "s3cret", "channel": "c"}]))
    assert "s3cret" not in str(caught.value)


def test_a_secret_file_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"url_file .*missing"):
        read_secret(SlackConfig(url_file=tmp_path / "missing"), "url")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="empty"):
        read_secret(SlackConfig(url_file=tmp_path / "empty"), "url")
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="token: must be an address") as caught:
        read_secret(SlackConfig(url_file=tmp_path / "token"), "url")
    assert "s3cret" not in str(caught.value)
