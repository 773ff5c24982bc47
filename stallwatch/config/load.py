"""Reading the configuration: a TOML file, with environment variables above it."""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from stallwatch.config.alerts import AlertsConfig, wrong_secrets
from stallwatch.config.engines import EnginesConfig
from stallwatch.config.environment import environment_names, environment_variable
from stallwatch.config.lines import line_of
from stallwatch.config.settings import (
    CollectorConfig,
    DetectorsConfig,
    ReportConfig,
    Settings,
    StoreConfig,
    TelemetryConfig,
    WebConfig,
)
from stallwatch.errors import ConfigError

PREFIX: Final = "STALLWATCH__"
FILE_VARIABLE: Final = "STALLWATCH_CONFIG"
DEFAULT_FILE: Final = Path("stallwatch.toml")
Key = tuple[str | int, ...]
_LATE_KEY: Final = re.compile(r"(\w+)\.(\w+)(?:\.\w+)*")
_NOWHERE: Final = "the configuration"
_NAMED_KEY: Final = re.compile(r"(\w+)\.(\w+)\b")
_PLAIN: Final = {
    "extra_forbidden": "there is no such key",
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a table of keys and values"),
}
"""What pydantic says in Python's words."""


class _Environment(BaseSettings):
    """The shape by which `STALLWATCH__SECTION__KEY` is understood; values are checked by Settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    store: StoreConfig | None = None
    collector: CollectorConfig | None = None
    engines: EnginesConfig | None = None
    web: WebConfig | None = None
    detectors: DetectorsConfig | None = None
    alerts: AlertsConfig | None = None
    report: ReportConfig | None = None
    telemetry: TelemetryConfig | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings,)


def load_settings(path: Path | None = None) -> Settings:
    """Settings from `path`, else the file that STALLWATCH_CONFIG names, else ./stallwatch.toml, else the defaults.

    Raises ConfigError that names the key and the file with its line, or the environment.
    """
    chosen = path or _path_from_environment()
    data = read_toml(chosen) if chosen is not None else {}
    overrides = _overrides()
    stray = _stray_variables()
    if stray:
        raise ConfigError(f"environment: {stray}: there is no such section or key")
    try:
        return Settings.model_validate(merged(data, overrides))
    except ValidationError as error:
        where = partial(_place, chosen, overrides)
        raise ConfigError(describe(error, where)) from None


def check_secrets(settings: Settings, path: Path | None = None) -> None:
    """Look for what only `serve` reads, the files with the secrets of [alerts].

    `path`: what these settings were loaded from. Raises ConfigError that names every wrong one as `load_settings` does.
    """
    wrong = [(("alerts", *key), message) for key, message in wrong_secrets(settings.alerts)]
    if wrong:
        chosen = path or _path_from_environment()
        overrides = _overrides()
        lines = [
            f"{_place(chosen, overrides, key)}: {'.'.join(map(str, key))}: {message}"
            for key, message in wrong
        ]
        raise ConfigError("\n".join(lines))


def placed(message: str, path: Path | None = None) -> str:
    """The message, with the file and the line (or the environment) of the key that it begins with, if it is set there.

    For what is found wrong with a setting only when it is used. `path`: what the settings were loaded from.
    """
    named = _LATE_KEY.match(message)
    section = Settings.model_fields.get(named[1]) if named else None
    if (
        named is None
        or section is None
        or named[2] not in getattr(section.annotation, "model_fields", ())
    ):
        return message
    key = tuple(int(part) if part.isdigit() else part for part in named[0].split("."))
    where = _place(path or _path_from_environment(), _overrides(), key)
    return message if where == _NOWHERE else f"{where}: {message}"


def load_detectors(data: Mapping[str, Any], origin: str) -> DetectorsConfig:
    """A [detectors] section that stands elsewhere (a scenario's `policy`)."""
    try:
        return DetectorsConfig.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError(describe(error, lambda key: origin)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content; ConfigError names the line that is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        # Not TOML, not UTF-8, or a number of thousands of digits.
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None


def merged(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested dictionaries as one; what stands above wins."""
    result = dict(base)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            result[key] = merged(under, value)
        else:
            result[key] = value
    return result


def describe(error: ValidationError, where: Callable[[Key], str]) -> str:
    """All that is wrong, a line each: `file:line: section.key: reason`; `where` says the part before the key."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        loc = problem["loc"]
        message = problem["msg"].removeprefix("Value error, ")
        message = _PLAIN.get(problem["type"], message)
        named = _NAMED_KEY.match(message)
        if not loc and named:
            # What is wrong with several keys together belongs to none of them; the message begins with the first.
            lines.append(f"{where((named[1], named[2]))}: {message}")
            continue
        key = ".".join(str(part) for part in loc) or "configuration"
        lines.append(f"{where(loc)}: {key}: {message}")
    return "\n".join(lines)


def _place(file: Path | None, overrides: Mapping[str, Any], key: Key) -> str:
    """The file and the line of a key, or the environment."""
    above: Any = overrides
    for part in key[:2]:
        above = above.get(part) if isinstance(above, Mapping) else None
    if key and above is not None:
        return "environment"
    if file is None:
        return _NOWHERE
    line = line_of(file.read_text(encoding="utf-8"), key)
    return f"{file}:{line}" if line else str(file)


def _overrides() -> dict[str, Any]:
    """What the environment sets. ConfigError names the variable that cannot be read, never its value."""
    source = EnvSettingsSource(_Environment, case_sensitive=False)
    try:
        return source()
    except ValueError as error:
        # The error names the section alone: the variable is the one with which alone it is the same.
        everything = source.env_vars
        for name in environment_names():
            source.env_vars = {n: v for n, v in everything.items() if n == name.lower()}
            try:
                source()
            except ValueError as alone:
                raise ConfigError(f"environment: {name}: must be JSON: {alone.__cause__}") from None
        raise ConfigError(f"environment: {error}") from None


def _path_from_environment() -> Path | None:
    named = environment_variable(FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _stray_variables() -> str:
    """A variable with our prefix whose section does not exist would be ignored: that hides a typing error."""
    for name in environment_names():
        if name.upper().startswith(PREFIX):
            section = name[len(PREFIX) :].split("__")[0].lower()
            if section not in Settings.model_fields:
                return name
    return ""
