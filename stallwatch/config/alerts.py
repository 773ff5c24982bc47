"""`[alerts]`: who is told what, in Alertmanager's words.

```toml
[alerts]
external_url = "https://stallwatch.example.com"

[[alerts.receivers]]
name = "oncall"
pagerduty_configs = [{ routing_key_file = "/run/secrets/pagerduty" }]
slack_configs = [{ bot_token_file = "/run/secrets/slack", channel = "C0123456789" }]

[[alerts.route]]
receiver = "oncall"
matchers = ["severity=critical", "workflow=~\\"order.*\\""]
repeat_interval = "4h"
```

Routes are tried from the top; the first that matches ends the search unless it says `continue`.
What no route matches goes to the first receiver: nothing is silently told to nobody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from stallwatch.config.fields import WebUrl, credential, web_address
from stallwatch.errors import ConfigError, InputError
from stallwatch.model.durations import parse_duration_s

LABELS: Final = ("detector", "severity", "namespace", "engine", "workflow", "step")
"""What a matcher can look at."""
_MATCHER: Final = re.compile(r"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)


def _duration_s(value: object) -> float:
    try:
        return parse_duration_s(value)
    except InputError as error:
        raise ValueError(str(error)) from None


def _secret_address(secret: SecretStr) -> SecretStr:
    web_address(secret.get_secret_value())
    return secret


def _secret_credential(secret: SecretStr) -> SecretStr:
    credential(secret.get_secret_value())
    return secret


SecretUrl = Annotated[SecretStr, AfterValidator(_secret_address)]
Credential = Annotated[SecretStr, AfterValidator(_secret_credential)]
DurationS = Annotated[float, BeforeValidator(_duration_s)]
"""Seconds, written as `250ms`, `2s`, `5m` or `4h`."""


@dataclass(frozen=True)
class Matcher:
    """With `=~` and `!~` the value is a regular expression for the whole label."""

    label: str
    operator: str
    value: str

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the labels (all of LABELS) satisfy it."""
        actual = labels[self.label]
        match self.operator:
            case "=":
                return actual == self.value
            case "!=":
                return actual != self.value
            case "=~":
                return re.fullmatch(self.value, actual) is not None
            case _:
                return re.fullmatch(self.value, actual) is None


def parse_matcher(text: str) -> Matcher:
    """`severity!=info` or `workflow=~"ord.*"`; ValueError says what is wrong."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not a matcher such as severity!=info or workflow=~"ord.*"')
    label, operator, value = found.groups()
    if label not in LABELS:
        raise ValueError(f"{text!r}: there is no label {label}; there are {', '.join(LABELS)}")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if operator in ("=~", "!~"):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{text!r}: {value!r} is not a regular expression: {error}") from None
    return Matcher(label, operator, value)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TargetConfig(_Section):
    """What every target has: whether it is told the end, and how long one request may take."""

    send_resolved: bool = True
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class ConsoleConfig(TargetConfig):
    """Writes to the terminal that Stallwatch runs in."""


class SlackConfig(TargetConfig):
    """An incoming webhook (`url`, `url_file`) or a bot (`bot_token`, `bot_token_file`)."""

    url: SecretUrl | None = None
    url_file: Path | None = None
    bot_token: Credential | None = None
    bot_token_file: Path | None = None
    channel: str = ""
    api_url: WebUrl = "https://slack.com/api/"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("url", "url_file", "bot_token", "bot_token_file")
        _exactly_one(self, ways)
        bot = self.bot_token is not None or self.bot_token_file is not None
        if bot != bool(self.channel):
            raise ValueError("channel: goes with bot_token or bot_token_file, and they need it")
        return self


class PagerDutyConfig(TargetConfig):
    """An Events API v2 integration (`routing_key` or `routing_key_file`)."""

    routing_key: Credential | None = None
    routing_key_file: Path | None = None
    base_url: Annotated[str, Field(pattern=r"^https://")] = "https://events.pagerduty.com"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self, ("routing_key", "routing_key_file"))
        return self


class WebhookConfig(TargetConfig):
    """A JSON POST of Alertmanager's webhook shape, with a bearer token if one is given."""

    url: SecretUrl | None = None
    url_file: Path | None = None
    bearer_token: Credential | None = None
    bearer_token_file: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self, ("url", "url_file"))
        if self.bearer_token is not None and self.bearer_token_file is not None:
            raise ValueError("give only one of bearer_token, bearer_token_file")
        return self


class ReceiverConfig(_Section):
    """A name, and the targets that are told together under it."""

    name: Annotated[str, Field(min_length=1)]
    console_configs: tuple[ConsoleConfig, ...] = ()
    slack_configs: tuple[SlackConfig, ...] = ()
    pagerduty_configs: tuple[PagerDutyConfig, ...] = ()
    webhook_configs: tuple[WebhookConfig, ...] = ()


class RouteConfig(_Section):
    """Which incidents go to a receiver, and how often they are told.

    `group_wait`: how long a new incident is held back (unless said, not at all: a detector already
    made one finding of many executions); `group_interval`: the least time between two
    tellings of one that changes (a higher severity does not wait); `repeat_interval`: when one that
    does not change is told again. Seconds.
    """

    receiver: str
    matchers: tuple[str, ...] = ()
    group_wait: DurationS = 0.0
    group_interval: DurationS = 300.0
    repeat_interval: Annotated[DurationS, Field(gt=0)] = 4 * 3600.0
    continue_: Annotated[bool, Field(alias="continue")] = False

    @field_validator("matchers")
    @classmethod
    def _parse(cls, matchers: tuple[str, ...]) -> tuple[str, ...]:
        for text in matchers:
            parse_matcher(text)
        return matchers


class AlertsConfig(_Section):
    """The section. Without receivers everything is told on the console."""

    external_url: WebUrl = "http://127.0.0.1:8900"
    receivers: tuple[ReceiverConfig, ...] = (
        ReceiverConfig(name="console", console_configs=(ConsoleConfig(),)),
    )
    route: tuple[RouteConfig, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [receiver.name for receiver in self.receivers]
        if not names:
            raise ValueError("receivers: at least one is needed")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"receivers: the name {name!r} is given twice")
        for route in self.route:
            if route.receiver not in names:
                raise ValueError(
                    f"route: there is no receiver {route.receiver!r}; there are {', '.join(names)}"
                )
        return self


SecretKey = Literal["url", "bot_token", "routing_key", "bearer_token"]


def wrong_secrets(config: AlertsConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The keys below [alerts] that name a file without the secret that it should hold, and what is wrong with each."""
    for number, receiver in enumerate(config.receivers):
        for kind in (name for name in ReceiverConfig.model_fields if name != "name"):
            for index, target in enumerate(getattr(receiver, kind)):
                for key in get_args(SecretKey):
                    if getattr(target, f"{key}_file", None) is None:
                        continue
                    try:
                        read_secret(target, key)
                    except ConfigError as error:
                        where = ("receivers", number, kind, index, f"{key}_file")
                        yield where, str(error).removeprefix("alerts: ")


def read_secret(config: TargetConfig, key: SecretKey) -> str | None:
    """The secret `key`, or what its `<key>_file` holds; None when neither is set.

    ConfigError names the key and the file, never the secret.
    """
    value: SecretStr | None = getattr(config, key)
    if value is not None:
        return value.get_secret_value()
    file: Path | None = getattr(config, f"{key}_file")
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"alerts: {key}_file {file} cannot be read: {error}") from None
    if not text:
        raise ConfigError(f"alerts: {key}_file {file} is empty")
    try:
        return web_address(text) if key == "url" else credential(text)
    except ValueError as error:
        raise ConfigError(f"alerts: {key}_file {file}: {error}") from None


def _exactly_one(section: TargetConfig, keys: tuple[str, ...]) -> None:
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(keys)}, not {len(given)}")
