"""`stallwatch.example.toml` names every setting of every target, with its default where it has one."""

import tomllib
from pathlib import Path

import pytest

from stallwatch.config.alerts import (
    PagerDutyConfig,
    ReceiverConfig,
    SlackConfig,
    TargetConfig,
    WebhookConfig,
)

EXAMPLE = (Path(__file__).parents[2] / "stallwatch.example.toml").read_text(encoding="utf-8")
BLOCK = EXAMPLE.partition("# [[alerts.receivers]]\n")[2].partition("\n\n")[0]
SAID = "\n".join(
    line.removeprefix("# ")
    for line in BLOCK.splitlines()
    if line.startswith(("# name = ", "# slack_", "# pagerduty_", "# webhook_"))
)


@pytest.mark.parametrize("model", [SlackConfig, PagerDutyConfig, WebhookConfig])
def test_every_key_of_a_target_is_explained(model: type[TargetConfig]) -> None:
    words = BLOCK.replace(",", " ").replace("(", " ").replace(")", " ").split()
    assert [key for key in model.model_fields if key not in words] == []


def test_the_targets_are_valid_and_show_the_defaults() -> None:
    receiver = ReceiverConfig.model_validate(tomllib.loads(SAID))
    for target in (
        *receiver.slack_configs,
        *receiver.pagerduty_configs,
        *receiver.webhook_configs,
    ):
        for key in ("api_url", "base_url", "send_resolved", "timeout_s"):
            if key in target.model_fields_set:
                assert getattr(target, key) == type(target).model_fields[key].default
    assert receiver.slack_configs
    assert receiver.pagerduty_configs
    assert receiver.webhook_configs
