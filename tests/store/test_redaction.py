"""Configured redaction, by the engine that does it."""

import functools
import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stallwatch.config.settings import RedactRule
from stallwatch.errors import ConfigError
from stallwatch.model.events import FIELDS, StepEvent
from stallwatch.store import Body, Store
from stallwatch.store.redaction import (
    MAP,
    MEMBERS_DEPTH,
    TEXT,
    Redaction,
    check_rules,
    glob_pattern,
)
from tests.app.running import run_all
from tests.spans import Span, request

FLOWS = files("stallwatch.store") / "flows"
TEXT_SQL = (FLOWS / TEXT).read_text()
MAP_SQL = (FLOWS / MAP).read_text()
BEARER = "Bearer abcdefgh12345678"


def rules(*said: Any) -> tuple[RedactRule, ...]:
    return tuple(RedactRule.model_validate(one) for one in said)


class Engine:
    """Functions of a redaction beside those that are in use."""

    def __init__(self, store: Store, redaction: Redaction) -> None:
        self.engine = store.engine
        for _, sql in redaction.statements(TEXT_SQL, MAP_SQL):
            self.engine.command(sql.replace("stallwatch_redact", "tested_redact"))

    def text(self, text: str, times: int = 1) -> str:
        expression = "{t:String}"
        for _ in range(times):
            expression = f"tested_redact_text({expression})"
        return str(self.engine.rows(f"SELECT {expression} AS t", {"t": text})[0]["t"])

    def attributes(self, attributes: dict[str, str], times: int = 1) -> dict[str, str]:
        expression = "JSONExtract({m:String}, 'Map(LowCardinality(String), String)')"
        for _ in range(times):
            expression = f"tested_redact_map({expression})"
        found = self.engine.rows(f"SELECT {expression} AS m", {"m": json.dumps(attributes)})[0]["m"]
        return dict(found)


def test_without_rules_the_functions_are_the_built_in_ones() -> None:
    assert Redaction().statements(TEXT_SQL, MAP_SQL) == [(TEXT, TEXT_SQL), (MAP, MAP_SQL)]


def test_a_name_alone_is_dropped_as_a_glob_in_any_case(store: Store) -> None:
    engine = Engine(store, Redaction(rules("customer.*", "a+b", "x?")))
    assert engine.attributes(
        {"Customer.Mail": "1", "customerX": "2", "aab": "3", "a+b": "4", "xy": "5", "xyz": "6"}
    ) == {
        "Customer.Mail": "[redacted]",
        "customerX": "2",
        "aab": "3",
        "a+b": "[redacted]",
        "xy": "[redacted]",
        "xyz": "6",
    }


def test_a_pattern_takes_what_it_finds_in_values_and_in_texts(store: Store) -> None:
    engine = Engine(store, Redaction(rules({"value": r"\b\d{4}-\d{4}\b"}, {"value": "it's"})))
    assert engine.attributes({"a": "card 1234-5678, it's"}) == {"a": "card [redacted], [redacted]"}
    assert engine.text("card 1234-5678") == "card [redacted]"


def test_name_and_pattern_must_both_match(store: Store) -> None:
    engine = Engine(store, Redaction(rules({"name": "note", "value": r"\d+"})))
    assert engine.attributes({"note": "no 17", "other": "no 17"}) == {
        "note": "no [redacted]",
        "other": "no 17",
    }
    assert engine.text("no 17") == "no 17"


JSON_WEB_TOKEN = f"eyJ{'a' * 9}.{'b' * 9}.c"
SAID = {
    "stallwatch.execution_id": "order-1234-5678-9012",
    "stallwatch.workflow": JSON_WEB_TOKEN,
    "stallwatch.step": BEARER,
    "stallwatch.idempotency_key": '{"token": "17"}',
    "stallwatch.timeout_s": "86400",
}
NUMBERS = {"value": r"\b\d{4,}(-\d{4})*\b"}


def test_the_attributes_that_are_fields_of_a_step_event_are_those_that_its_road_leaves_alone(
    store: Store,
) -> None:
    rows = store.engine.rows(
        "SELECT arrayFilter(f -> stallwatch_is_field(f), {fields:Array(String)}) AS kept",
        {"fields": [f"stallwatch.{field}" for field in sorted(FIELDS)]},
    )
    searched = {"error_message", "attributes"}
    assert rows[0]["kept"] == [f"stallwatch.{field}" for field in sorted(FIELDS - searched)]


@pytest.mark.parametrize("defaults", [True, False])
def test_fields_of_step_events_are_not_searched(defaults: bool, store: Store) -> None:
    others = {"stallwatch.note": "no 1234-5678-9012", "order": "order-1234-5678-9012"}
    for said in ([], [NUMBERS], [NUMBERS, "token", {"name": "customer.*", "value": "a"}]):
        engine = Engine(store, Redaction(rules(*said), defaults=defaults))
        kept = engine.attributes({**SAID, **others})
        assert {name: kept[name] for name in SAID} == SAID
        assert ("1234" in kept["stallwatch.note"] + kept["order"]) == (not said)


def test_a_rule_that_names_a_field_of_a_step_event_is_applied_to_it(store: Store) -> None:
    hashing = {"name": "stallwatch.execution_id", "do": "hash"}
    engine = Engine(store, Redaction(rules(NUMBERS, hashing, {"name": "*.step", "value": "Be"})))
    kept = engine.attributes(SAID)
    # printf order-1234-5678-9012 | sha256sum
    assert kept["stallwatch.execution_id"] == "sha256:bf2011892475801b"
    assert kept["stallwatch.step"] == BEARER.replace("Be", "[redacted]")
    assert kept["stallwatch.workflow"] == JSON_WEB_TOKEN


def test_values_are_hashed_with_the_salt(store: Store) -> None:
    rule = rules({"name": "user", "do": "hash"})
    plain = Engine(store, Redaction(rule)).attributes({"user": "ada", "who": "ada"})
    assert plain["who"] == "ada"
    # printf ada | sha256sum
    assert plain["user"] == "sha256:fdee430d40bd57de"
    salted = Engine(store, Redaction(rule, salt="it's \\ salt")).attributes({"user": "ada"})
    assert salted["user"].startswith("sha256:")
    assert salted["user"] != plain["user"]


def test_values_are_cut(store: Store) -> None:
    engine = Engine(store, Redaction(rules({"name": "sql", "do": "truncate", "length": 4})))
    assert engine.attributes({"sql": "häßlich", "a": "häßlich"}) == {"sql": "häßl…", "a": "häßlich"}
    assert engine.attributes({"sql": "häßl"}) == {"sql": "häßl"}


def test_rules_come_after_what_is_always_redacted(store: Store) -> None:
    engine = Engine(store, Redaction(rules({"value": "Bearer", "do": "truncate", "length": 20})))
    assert engine.text(f"with {BEARER}") == "with Bearer [redacte…"
    hashing = Engine(store, Redaction(rules({"name": "*", "do": "hash"})))
    assert hashing.attributes({"password": "x"}) == {"password": "[redacted]"}


def test_defaults_can_be_left_out(store: Store) -> None:
    engine = Engine(store, Redaction(rules("x"), defaults=False))
    assert engine.text(BEARER) == BEARER
    assert engine.attributes({"password": "p", "x": "y"}) == {"password": "p", "x": "[redacted]"}
    nothing = Engine(store, Redaction(defaults=False))
    assert nothing.attributes({"password": "p"}) == {"password": "p"}


def test_rules_follow_each_other_and_each_value_meets_them_once(store: Store) -> None:
    several = rules(
        {"value": "[0-9]+"},
        {"value": "^..x", "do": "hash"},
        {"value": ".", "do": "truncate", "length": 30},
    )
    engine = Engine(store, Redaction(several))
    for text in ("a1b22", "abx", "y" * 40, f"12 {BEARER}"):
        assert engine.attributes({"k": text}) == {"k": engine.text(text)}
    assert engine.text("a1b22") == "a[redacted]b[redacted]"
    assert engine.text("abx").startswith("sha256:")
    assert engine.text("y" * 40) == "y" * 30 + "…"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(?<=a)b", "no pattern of RE2: invalid perl operator"),
        ("[", "missing ]"),
        ("x*", "matches the empty text"),
    ],
)
def test_a_wrong_pattern_is_named_at_start(pattern: str, told: str, store: Store) -> None:
    with pytest.raises(ConfigError, match=r"collector\.redact\.1\.value: ") as error:
        check_rules(store.engine, rules("a", {"value": pattern}))
    assert told in str(error.value)


@pytest.mark.parametrize(
    "said", [{}, {"do": "hash"}, {"name": "a", "do": "mask"}, {"name": "a", "length": 3}]
)
def test_a_rule_says_what_it_means(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rules(said)


@given(st.text(max_size=8))
def test_globs_are_anchored(text: str) -> None:
    pattern = glob_pattern(text)
    assert pattern.startswith("(?is)^")
    assert pattern.endswith("$")


def test_what_is_configured_reaches_the_tables(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(
        f'[store]\nurl = "chdb://{tmp_path / "data"}"\n'
        """[collector]\nredact = ["customer.*", { value = '\\d{4}-\\d{4}' }]\n"""
    )
    events = [
        {
            "event": "step.failed",
            "time": "2026-01-05T12:00:00Z",
            "workflow": "order",
            "execution_id": "o-1",
            "step": "charge",
            "error_message": f"card 1234-5678 with {BEARER}",
        }
    ]
    file = tmp_path / "events.json"
    file.write_text(json.dumps(events))
    ended = run_all(
        [
            ["import", "events", str(file), "--config", str(config)],
            ["trace", "o-1", "--format", "json", "--config", str(config)],
        ]
    )
    assert [one.code for one in ended] == [0, 0]
    (event,) = ended[1].data[0]["events"]
    assert event["error_message"] == "card [redacted] with Bearer [redacted]"


def test_what_spans_and_events_tell_of_an_execution_meets_under_rules_for_values(
    tmp_path: Path,
) -> None:
    config = tmp_path / "s.toml"
    config.write_text(
        f'[store]\nurl = "chdb://{tmp_path / "data"}"\n'
        """[collector]\nredact = [{ value = '\\b\\d{4}-\\d{4}-\\d{4}\\b' }]\n"""
    )
    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    executions = ["order-1234-5678-9012", "order-1111-2222-3333"]
    step = {"workflow": "order", "step": "charge", "step_run_id": "call-1234-5678-9012"}
    start = {"event": "step.started", "time": at.isoformat(), "engine": "opentelemetry", **step}
    starts = [{**start, "execution_id": execution} for execution in executions]
    ends = [
        Span(
            "charge",
            start_at=at,
            attributes={
                **{f"stallwatch.{k}": v for k, v in step.items()},
                "stallwatch.execution_id": execution,
            },
        )
        for execution in executions
    ]
    told, traced = tmp_path / "events.json", tmp_path / "spans.binpb"
    told.write_text(json.dumps(starts))
    traced.write_bytes(request(*ends))
    ended = run_all(
        [
            ["import", "events", str(told), "--config", str(config)],
            ["import", "otlp", str(traced), "--config", str(config)],
            ["executions", "--format", "json", "--config", str(config)],
            ["trace", executions[0], "--format", "json", "--config", str(config)],
        ]
    )
    assert [one.code for one in ended] == [0, 0, 0, 0]
    assert sorted(row["execution_id"] for row in ended[2].data) == sorted(executions)
    (charge,) = ended[3].data[0]["attempt_list"]
    assert (charge["step_run_id"], charge["status"]) == (step["step_run_id"], "completed")


@pytest.mark.parametrize(
    "secret", ["AKIA1234567890ABCDEF", "xoxb-1234567890-abcdef", f"eyJ{'a' * 9}.{'b' * 9}.c"]
)
def test_a_secret_across_the_cut_is_redacted_before_it_is_cut(
    secret: str, store: Store, now: datetime
) -> None:
    value = "x" * (16 * 1024 - 15) + f" {secret} and more"
    event = StepEvent(
        event="step.failed",
        time=now,
        workflow="order",
        execution_id="o-1",
        step="charge",
        error_message=value,
        attributes={"text": value, "list": [value], "short": "€"},
    )
    store.insert_events([event], now, "me")
    span = Span("a", start_at=now, attributes={"text": value, "list": [value], "short": "€"})
    store.insert_otlp([Body(request(span), now, "me")])
    store.fold(now)
    (told,) = store.select("SELECT error_message, attributes FROM step_events")
    (traced,) = store.select("SELECT attributes FROM spans")
    for stored in (
        told["error_message"],
        *(row["attributes"][name] for row in (told, traced) for name in ("text", "list")),
    ):
        assert len(stored.encode()) == 16 * 1024 + len("…".encode())
        assert stored.strip('["').startswith("x" * 16000)
        assert secret[:4] not in stored
        assert stored.endswith("…")
    assert told["attributes"]["short"] == traced["attributes"]["short"] == "€"


def test_what_a_rule_finds_across_the_cut_is_redacted_before_it_is_cut(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(
        f'[store]\nurl = "chdb://{tmp_path / "data"}"\n'
        """[collector]\nmax_attribute_bytes = 64\nredact = [{ value = '\\d{4}-\\d{4}-\\d{4}' }]\n"""
    )
    value = "x" * 55 + " 1234-5678-9012 end"
    event = {
        "event": "step.failed",
        "time": "2026-01-05T12:00:00Z",
        "workflow": "order",
        "execution_id": "o-1",
        "step": "charge",
        "error_message": value,
    }
    file = tmp_path / "events.json"
    file.write_text(json.dumps(event))
    ended = run_all(
        [
            ["import", "events", str(file), "--config", str(config)],
            ["trace", "o-1", "--format", "json", "--config", str(config)],
        ]
    )
    assert [one.code for one in ended] == [0, 0]
    (stored,) = ended[1].data[0]["events"]
    assert stored["error_message"] == "x" * 55 + " [redacte…"
    assert "1234" not in json.dumps(stored)


def test_a_wrong_pattern_ends_a_command_with_its_key(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text(
        f'[store]\nurl = "chdb://{tmp_path / "data"}"\n[collector]\nredact = [{{ value = "[" }}]\n'
    )
    (ended,) = run_all([["executions", "--config", str(config)]])
    assert ended.code == 2
    assert (
        f"{config}:4: collector.redact.0.value: '[' is no pattern of RE2: missing ]: [" in ended.err
    )


def test_members_of_json_lose_what_their_name_says_is_secret(store: Store) -> None:
    engine = Engine(store, Redaction())
    held = {"req": {"password": 'hun"ter2', "n": {"api_key": 17, "X-Auth-Token": "t1"}, "a": "b"}}
    # As a value that was cut leaves it.
    cut = '[{"Authorization": "abc de'
    kept = engine.attributes({"held": json.dumps(held), "cut": cut, "prose": 'my "password": "x"'})
    assert json.loads(kept["held"]) == {
        "req": {
            "password": "[redacted]",
            "n": {"api_key": "[redacted]", "X-Auth-Token": "[redacted]"},
            "a": "b",
        }
    }
    assert "abc" not in kept["cut"]
    assert kept["prose"] == 'my "password": "x"'
    for text in (json.dumps(held), cut):
        [row] = store.engine.rows(
            "SELECT stallwatch_may_hold_secrets(map('k', {t:String})) AS may", {"t": text}
        )
        assert row["may"]


def held_in(engine: Engine, **attributes: Any) -> dict[str, Any]:
    """The attributes, which are written as JSON, after redaction."""
    kept = engine.attributes({name: json.dumps(held) for name, held in attributes.items()})
    return {name: json.loads(text) for name, text in kept.items()}


def test_names_inside_json_match_by_themselves_and_by_the_path_to_them(store: Store) -> None:
    engine = Engine(
        store, Redaction(rules("customer.*", "iban", {"name": "user.id", "do": "hash"}))
    )
    assert held_in(
        engine,
        customer={"name": "Ann", "of": [{"n": 1}], "none": {}},
        payload={"Customer": {"name": 'A"n'}, "rows": [{"IBAN": 17}, {"iban": [True]}], "f": 1.5},
        user={"id": "ada"},
        other={"customerX": "Ann", "customer": "Ann", "ibans": 1, "id": "ada"},
    ) == {
        "customer": {"name": "[redacted]", "of": [{"n": "[redacted]"}], "none": {}},
        "payload": {
            "Customer": {"name": "[redacted]"},
            "rows": [{"IBAN": "[redacted]"}, {"iban": ["[redacted]"]}],
            "f": 1.5,
        },
        # As where an attribute has that name.
        "user": {"id": "sha256:fdee430d40bd57de"},
        "other": {"customerX": "Ann", "customer": "Ann", "ibans": 1, "id": "ada"},
    }


def test_inside_json_all_rules_are_applied_in_their_order(store: Store) -> None:
    several = rules(
        {"name": "note", "value": "[^ ]+@[^ ]+"}, {"name": "sql", "do": "truncate", "length": 12}
    )
    engine = Engine(store, Redaction(several))
    assert held_in(
        engine,
        a={
            "note": ["to a@b now"],
            "x": "a@b",
            # Redacted before it is cut: the beginning of a secret is none of its form.
            "sql": f"at {BEARER}",
            "password": "p",
        },
    ) == {
        "a": {
            "note": ["to [redacted] now"],
            "x": "a@b",
            "sql": "at Bearer [r…",
            "password": "[redacted]",
        }
    }


def test_json_in_which_no_rule_finds_anything_stays_as_it_was_written(store: Store) -> None:
    engine = Engine(store, Redaction(rules("customer.*"), defaults=False))
    written = {
        "a": ' { "n": 1.0, "u": "\\u00e4" }',
        "b": "[1,  2]",
        "c": "{not JSON",
        "d": "[INFO] customer.x",
        "e": "{}",
    }
    assert engine.attributes(written) == written


def test_a_text_in_json_that_built_in_rules_break_hides_no_name(store: Store) -> None:
    engine = Engine(store, Redaction(rules("customer.*")))
    said = {"said": '"secret" : 5, done', "customer": {"name": "Ann"}, "x": "}]{["}
    kept = engine.attributes({"a": json.dumps(said)})["a"]
    assert "Ann" not in kept


def test_what_is_too_deep_in_json_to_be_looked_at_is_taken_out(store: Store) -> None:
    engine = Engine(store, Redaction(rules("customer.*")))
    deep: dict[str, Any] = {"customer": {"name": "Ann"}}
    for _ in range(MEMBERS_DEPTH):
        deep = {"n": deep}
    kept = engine.attributes({"a": json.dumps(deep)})["a"]
    assert "Ann" not in kept
    assert kept.count("[redacted]") == 1


_NAMES = st.sampled_from(["a", "b", 'c"{', "d.e", "é", ""])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


def _without_a(held: Any, path: tuple[str, ...]) -> Any:
    if isinstance(held, dict):
        return {key: _without_a(value, (*path, *key.split("."))) for key, value in held.items()}
    if isinstance(held, list):
        return [_without_a(value, path) for value in held]
    return "[redacted]" if {"a", "e"} & set(path) else held


@given(st.lists(_JSON, min_size=1, max_size=3) | st.dictionaries(_NAMES, _JSON))
def test_json_stays_json_and_loses_what_is_named(store_root: Store, held: Any) -> None:
    engine = _named_a(store_root)
    kept = engine.attributes({"held": json.dumps(held)})["held"]
    assert json.loads(kept) == _without_a(held, ())


@functools.cache
def _named_a(store: Store) -> Engine:
    return Engine(store, Redaction(rules("a", "d.e"), defaults=False))
