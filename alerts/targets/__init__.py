"""One file per target. A new one is a file, its settings and a line in the table here."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

from alerts.targets.base import Notes, Target
from alerts.targets.console import ConsoleTarget
from alerts.targets.pagerduty import PagerDutyTarget
from alerts.targets.slack import SlackBotTarget, SlackWebhookTarget
from alerts.targets.webhook import WebhookTarget
from stallwatch.config.alerts import (
    ConsoleConfig,
    PagerDutyConfig,
    ReceiverConfig,
    SlackConfig,
    TargetConfig,
    WebhookConfig,
    read_secret,
)
from stallwatch.errors import ConfigError


def _console(config: ConsoleConfig, notes: Notes, stream: TextIO | None) -> Target:
    return ConsoleTarget(stream)


def _slack(config: SlackConfig, notes: Notes, stream: TextIO | None) -> Target:
    token = read_secret(config, "bot_token")
    if token is not None:
        return SlackBotTarget(
            token,
            channel=config.channel,
            notes=notes,
            timeout_s=config.timeout_s,
            api_url=config.api_url,
        )
    return SlackWebhookTarget(_needed(config, "url"), timeout_s=config.timeout_s)


def _pagerduty(config: PagerDutyConfig, notes: Notes, stream: TextIO | None) -> Target:
    return PagerDutyTarget(
        _needed(config, "routing_key"), base_url=config.base_url, timeout_s=config.timeout_s
    )


def _webhook(config: WebhookConfig, notes: Notes, stream: TextIO | None) -> Target:
    return WebhookTarget(
        _needed(config, "url"),
        timeout_s=config.timeout_s,
        bearer_token=read_secret(config, "bearer_token"),
    )


TARGETS: Final[dict[str, Callable[[Any, Notes, TextIO | None], Target]]] = {
    "console": _console,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "webhook": _webhook,
}
"""How a kind is built from its settings (`<kind>_configs`), its memory, the console's stream."""


def target_configs(receiver: ReceiverConfig) -> Iterator[tuple[str, str, TargetConfig]]:
    """Kind, name (`slack/0`: the first of its kind in this receiver), settings of each target."""
    for kind in TARGETS:
        for index, config in enumerate(getattr(receiver, f"{kind}_configs")):
            yield kind, f"{kind}/{index}", config


def _needed(config: TargetConfig, key: Any) -> str:
    secret = read_secret(config, key)
    if secret is None:
        raise ConfigError(f"alerts: {key} or {key}_file is needed")
    return secret
