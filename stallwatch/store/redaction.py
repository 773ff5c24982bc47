"""Redaction rules as SQL: what a user configures, applied after what is always redacted.

Rules are applied one after the other, once to every value. Without rules the built-in functions stay as they are
written, which is what they were made fast for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stallwatch.config.settings import RedactRule
from stallwatch.errors import ConfigError, StoreRefused
from stallwatch.store.engine import Engine

REDACTED: Final = "[redacted]"
BUILT_IN: Final = "00_redact_text_built_in.sql"
TEXT: Final = "01_redact_text.sql"
MAP: Final = "02_redact_map.sql"
GATE: Final = "01a_may_hold_secrets.sql"
_ALWAYS: Final = "CREATE OR REPLACE FUNCTION stallwatch_may_hold_secrets AS (attributes) -> true"
_TEXT_FUNCTION: Final = "stallwatch_redact_text"
_BUILT_IN: Final = "stallwatch_redact_text_built_in"
_FUNCTION: Final = re.compile(r"(.*?AS \((\w+)\) ->)(.*)", re.DOTALL)
_HASHED: Final = "^sha256:[0-9a-f]{16}$"


@dataclass(frozen=True)
class Redaction:
    """The rules; whether they come on top of the built-in ones; what is hashed together with a value."""

    rules: tuple[RedactRule, ...] = ()
    defaults: bool = True
    salt: str = ""

    def statements(self, text_sql: str, map_sql: str) -> list[tuple[str, str]]:
        """The functions to create, by the names of their files, given the built-in `TEXT` and `MAP`."""
        if not self.rules and self.defaults:
            return [(TEXT, text_sql), (MAP, map_sql)]
        head, name, body = _parts(text_sql)
        plain = f"{head.replace(_TEXT_FUNCTION, _BUILT_IN)}{body if self.defaults else f' {name}'}"
        text = f"{_BUILT_IN}({name})"
        for rule in self.rules:
            if not rule.name:
                text = self._applied(rule, text)
        return [
            (BUILT_IN, plain),
            (TEXT, f"{head} {text}"),
            (MAP, self._map_sql(map_sql)),
            # Rules may concern any attribute: each is looked at.
            (GATE, _ALWAYS),
        ]

    def _map_sql(self, sql: str) -> str:
        head, name, body = _parts(sql)
        # Its calls of the text function would apply rules that are applied here.
        body = body.replace(f"{_TEXT_FUNCTION}(", f"{_BUILT_IN}(") if self.defaults else f" {name}"
        expression = "v"
        for rule in self.rules:
            expression = self._applied(rule, expression)
        return f"{head}\n    mapApply((k, v) -> (k, {expression}),{body})"

    def _applied(self, rule: RedactRule, before: str) -> str:
        """An expression over the one of what came before, which stands in it only once."""
        named = f"match(k, {_quoted(glob_pattern(rule.name))})" if rule.name else ""
        if rule.do == "drop":
            if not rule.value:
                return f"if({named}, '{REDACTED}', {before})"
            if not rule.name:
                return f"replaceRegexpAll({before}, {_quoted(rule.value)}, '{REDACTED}')"
        conditions = [named] if named else []
        if rule.value:
            conditions.append(f"match(t, {_quoted(rule.value)})")
        match rule.do:
            case "drop":
                after = f"replaceRegexpAll(t, {_quoted(rule.value)}, '{REDACTED}')"
            case "truncate":
                conditions.append(f"lengthUTF8(t) > {rule.length}")
                after = f"concat(substringUTF8(t, 1, {rule.length}), '…')"
            case "hash":
                # What is redacted or hashed already says nothing more.
                conditions += [f"t != '{REDACTED}'", f"NOT match(t, '{_HASHED}')"]
                digest = f"SHA256(concat({_quoted(self.salt)}, t))"
                after = f"concat('sha256:', lower(hex(substring({digest}, 1, 8))))"
        return f"arrayMap(t -> if({' AND '.join(conditions)}, {after}, t), [{before}])[1]"


NOTHING_MORE: Final = Redaction()


def check_rules(engine: Engine, rules: Sequence[RedactRule]) -> None:
    """Have the engine try the patterns (RE2). ConfigError names the rule, the pattern and what is wrong with it."""
    if any(rule.value for rule in rules):
        # Of a new installation nothing can be asked before.
        engine.create_database()
    for index, rule in enumerate(rules):
        if not rule.value:
            continue
        key = f"collector.redact.{index}.value"
        try:
            row = engine.rows(
                "SELECT match('', {pattern:String}) AS empty", {"pattern": rule.value}
            )
        except StoreRefused as error:
            reason = re.search(r"error: (.*?)\. Look at", str(error))
            told = reason[1] if reason else str(error)
            raise ConfigError(f"{key}: {rule.value!r} is no pattern of RE2: {told}") from None
        if row[0]["empty"]:
            raise ConfigError(
                f"{key}: {rule.value!r} matches the empty text, so it matches everywhere"
            )


def glob_pattern(glob: str) -> str:
    """A glob (* and ?) of whole names, in any case, as a pattern of RE2."""
    parts = {"*": ".*", "?": "."}
    return "(?is)^" + "".join(parts.get(c) or re.escape(c) for c in glob) + "$"


def _parts(sql: str) -> tuple[str, str, str]:
    """Up to the arrow, the parameter's name, and the expression."""
    found = _FUNCTION.fullmatch(sql)
    if found is None:
        raise ConfigError("a redaction function is a statement CREATE … AS (name) -> expression")
    return found[1], found[2], found[3]


def _quoted(text: str) -> str:
    """As an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
