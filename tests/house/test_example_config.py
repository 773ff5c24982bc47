"""`stallwatch.example.toml` names every setting, and its values are the defaults."""

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from stallwatch.config import Settings, load_settings
from stallwatch.config.alerts import RouteConfig
from stallwatch.config.engines import EnginesConfig
from stallwatch.config.engines.declared import DeclaredStep
from stallwatch.config.engines.polling import PolledEngine
from stallwatch.config.settings import Policy
from stallwatch.errors import ConfigError
from stallwatch.model.durations import parse_duration_s

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "stallwatch.example.toml"
COMMENTED = {"engines.definition"}
"""Lists whose one element would declare something: it is commented out."""
NOT_DEFAULTS = {"store.url", "store.state", "alerts.receivers", "alerts.route", "detectors.policy"}


def keys_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all settings of a section, lists of sections as one."""
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        key = prefix + (field.alias or name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += keys_of(kind, key + ".")
        elif not engine_of(kind) and key not in COMMENTED:
            keys.append(key)
    return keys


def engine_of(kind: Any) -> type[PolledEngine] | None:
    """The section of an engine, which may be there or not."""
    for one in get_args(kind):
        if isinstance(one, type) and issubclass(one, PolledEngine):
            return one
    return None


ENGINES = {name: engine_of(field.annotation) for name, field in EnginesConfig.model_fields.items()}


def value_at(data: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data


def test_the_example_is_valid() -> None:
    load_settings(EXAMPLE)


@pytest.mark.parametrize("key", keys_of(Settings))
def test_every_setting_is_in_the_example_with_its_default(key: str) -> None:
    said = value_at(tomllib.loads(EXAMPLE.read_text()), key)
    if key not in NOT_DEFAULTS:
        loaded, default = load_settings(EXAMPLE), Settings()
        for part in key.split("."):
            loaded, default = getattr(loaded, part), getattr(default, part)
        assert loaded == default, said


@pytest.mark.parametrize("model", [Policy, RouteConfig])
def test_every_key_of_a_list_is_explained(model: type[BaseModel]) -> None:
    text = EXAMPLE.read_text()
    for key in keys_of(model):
        assert f"\n{key} = " in text or f"\n# {key} = " in text, key


def test_every_key_of_a_definition_is_there_and_explained() -> None:
    block = EXAMPLE.read_text().partition("# [[engines.definition]]\n")[2].partition("\n\n")[0]
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    said = tomllib.loads("\n".join(line for line in lines if " = " in line))
    assert list(said) == list(DeclaredStep.model_fields)
    DeclaredStep.model_validate(said)
    for key, info in DeclaredStep.model_fields.items():
        # Limits are none; the rest stands there with its default.
        assert info.is_required() or info.default in (None, said[key]), key
    explained = (ROOT / "docs" / "engines" / "README.md").read_text()
    for key in DeclaredStep.model_fields:
        assert f"`{key}`" in explained, key


@pytest.mark.parametrize("name", [name for name, kind in ENGINES.items() if kind])
def test_every_key_of_an_engine_is_there_and_explained(name: str) -> None:
    kind = ENGINES[name]
    assert kind is not None
    block = EXAMPLE.read_text().partition(f"# [engines.{name}]\n")[2].partition("\n\n")[0]
    said = tomllib.loads("\n".join(line.removeprefix("# ") for line in block.splitlines()))
    assert list(said) == list(kind.model_fields)
    # Without what it cannot do without, which is empty here.
    bare = kind.model_construct()
    for key, value in said.items():
        default = getattr(bare, key)
        if isinstance(default, float):
            assert (
                parse_duration_s(value) == default if isinstance(value, str) else value == default
            )
        else:
            assert (
                list(default) if isinstance(default, tuple) else default or type(value)()
            ) == value
    explained = (ROOT / "docs" / "engines" / f"{name}.md").read_text()
    for key in kind.model_fields:
        assert f"`{key}`" in explained, key


def test_the_environment_can_give_an_engine_its_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALLWATCH__ENGINES__DBOS__URL", "postgresql://reader:secret@db/app")
    engines = load_settings().engines
    assert engines.dbos is not None
    assert "secret" not in repr(engines)
    assert engines.temporal is None


def test_an_unknown_key_names_itself_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[collector]\nbatch_mss = 5\n")
    with pytest.raises(ConfigError, match=r"s\.toml:2: collector\.batch_mss: there is no such key"):
        load_settings(path)


def test_what_is_not_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[collector]\nbatch_ms = = 5\n")
    with pytest.raises(ConfigError, match="line 2"):
        load_settings(path)


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[collector]\nbatch_ms = 5\n")
    monkeypatch.setenv("STALLWATCH__COLLECTOR__BATCH_MS", "7")
    monkeypatch.setenv("STALLWATCH__STORE__RETENTION__SPANS", "3d")
    settings = load_settings(path)
    assert settings.collector.batch_ms == 7
    assert settings.store.retention.spans == 3 * 86400


@pytest.mark.parametrize(
    "name", ["STALLWATCH__COLLECTER__BATCH_MS", "STALLWATCH__COLLECTOR__BATCH"]
)
def test_a_misspelt_variable_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    with pytest.raises(ConfigError, match="there is no such"):
        load_settings()


@pytest.mark.parametrize("key", ["otlp_http", "otlp_grpc"])
def test_an_address_that_others_reach_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'[collector]\n{key} = "0.0.0.0:4000"\n')
    with pytest.raises(ConfigError, match=f"collector.{key}"):
        load_settings(path)
    path.write_text(f'[collector]\n{key} = "0.0.0.0:4000"\n[web]\ninsecure = true\n')
    load_settings(path)
