"""Redaction rules as SQL: what a user configures, applied after what is always redacted.

Rules are applied one after the other, once to every value; those with a name before that to every value inside JSON
whose path they name. To attributes that are fields of a step event (`stallwatch_is_field`) only rules that name them
are applied. Without rules the built-in functions stay as they are written, which is what they were made fast for.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from stallwatch.config.settings import RedactRule
from stallwatch.errors import ConfigError, StoreRefused
from stallwatch.store.engine import IN_MEMORY, Engine

REDACTED: Final = "[redacted]"
BUILT_IN: Final = "00_redact_text_built_in.sql"
TEXT: Final = "01_redact_text.sql"
MAP: Final = "02_redact_map.sql"
GATE: Final = "01a_may_hold_secrets.sql"
_ALWAYS: Final = "CREATE OR REPLACE FUNCTION stallwatch_may_hold_secrets AS (attributes) -> true"
_TEXT_FUNCTION: Final = "stallwatch_redact_text"
_BUILT_IN: Final = "stallwatch_redact_text_built_in"
_FUNCTION: Final = re.compile(r"(.*?AS \((\w+)\) ->)(.*)", re.DOTALL)
MEMBERS_DEPTH: Final = 64
"""How deep in JSON names are looked at. What lies deeper is taken out."""
_LIKE_JSON: Final = r"^\s*[\[{]"
_BRACKET: Final = r"[\[\]{}]"
_STRING: Final = r'"(?:[^"\\]|\\.)*"'
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
                text = self._applied(rule, text, "")
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
        named = [rule for rule in self.rules if rule.name]
        if named:
            # Before anything else: what is taken out of a text may leave it as no JSON.
            json = f"if(stallwatch_is_field(k), v, {self._of_json()})"
            members = f"mapApply((k, v) -> (k, {json}), {name})"
            body = re.sub(rf"\b{name}\b", lambda _: members, body)
        of_field = self._ruled(named, "v", "k", glob_pattern)
        of_other = self._ruled(self.rules, "v", "k", glob_pattern)
        ruled = f"if(stallwatch_is_field(k), {of_field}, {of_other})"
        return f"{head}\n    mapApply((k, v) -> (k, {ruled}),{body})"

    def _of_json(self) -> str:
        """The attribute `k`, `v` with the rules applied to all values inside `v`, where that is JSON.

        It is a list of pieces (path, text, whether it is still to be looked at), in which each pass of the fold takes
        every object and array apart by one level.
        """
        nested = "startsWith(p.2, '{') OR startsWith(p.2, '[')"
        # Of each member: what is written before it, its path, its text.
        members = (
            "arrayMap(m -> (concat(toJSONString(m.1), ':'), concat(p.1, '.', m.1), m.2), "
            "JSONExtractKeysAndValuesRaw(p.2))"
        )
        elements = "arrayMap(m -> ('', p.1, m), JSONExtractArrayRaw(p.2))"
        parts = (
            "arrayConcat([('', left(p.2, 1), false)], arrayFlatten(arrayMap((m, n) -> "
            "[('', concat(if(n = 1, '', ','), m.1), false), (m.2, m.3, true)], ms, arrayEnumerate(ms))), "
            "[('', right(p.2, 1), false)])"
        )
        apart = f"arrayMap(ms -> {parts}, [if(startsWith(p.2, '{{'), {members}, {elements})])[1]"
        one_level = f"arrayFlatten(arrayMap(p -> if(p.3 AND ({nested}), {apart}, [p]), pieces))"
        bare = f"replaceRegexpAll(JSONExtractRaw(v), {_quoted(_STRING)}, '')"
        brackets = f"extractAll({bare}, {_quoted(_BRACKET)})"
        depth = f"arrayMax(arrayCumSum(arrayMap(b -> if(b IN ('{{', '['), 1, -1), {brackets})))"
        levels = f"range(least({MEMBERS_DEPTH}, {depth}))"
        pieces = f"arrayFold((pieces, _) -> {one_level}, {levels}, [(k, JSONExtractRaw(v), true)])"
        any_name = _quoted("|".join(member_pattern(rule.name) for rule in self.rules if rule.name))
        # What a fold leaves apart is too deep to be looked at.
        done = (
            f"multiIf(NOT p.3, p.2, {nested}, '\"{REDACTED}\"', match(p.1, {any_name}), "
            f"{self._member()}, p.2)"
        )
        text = f"arrayStringConcat(arrayMap(p -> {done}, {pieces}))"
        # Where nothing is found, it stays as it was written.
        changed = f"arrayMap(j -> if(j = JSONExtractRaw(v), v, j), [{text}])[1]"
        return f"if(match(v, {_quoted(_LIKE_JSON)}) AND isValidJSON(v), {changed}, v)"

    def _member(self) -> str:
        """The text of the piece `p` of JSON, a value of the path `p.1`, after all rules."""
        text = "if(startsWith(p.2, '\"'), JSONExtractString(p.2), p.2)"
        before = f"{_BUILT_IN}(s)" if self.defaults else "s"
        ruled = self._ruled(self.rules, before, "p.1", member_pattern)
        changed = f"arrayMap(a -> if(a = s, p.2, toJSONString(a)), [{ruled}])[1]"
        return f"arrayMap(s -> {changed}, [{text}])[1]"

    def _ruled(
        self, rules: Sequence[RedactRule], value: str, name: str, pattern_of: Callable[[str], str]
    ) -> str:
        """The expression `value` after these rules; `name`: what their names are compared with."""
        expression = value
        for rule in rules:
            named = f"match({name}, {_quoted(pattern_of(rule.name))})" if rule.name else ""
            expression = self._applied(rule, expression, named)
        return expression

    def _applied(self, rule: RedactRule, before: str, named: str) -> str:
        """An expression over the one of what came before, which stands in it only once, under the condition `named`."""
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


def check_rules_alone(rules: Sequence[RedactRule]) -> None:
    """As `check_rules`, without a store. Not for a process that has opened one."""
    if any(rule.value for rule in rules):
        engine = Engine(IN_MEMORY)
        try:
            check_rules(engine, rules)
        finally:
            engine.close()


def glob_pattern(glob: str) -> str:
    """A glob (* and ?) of whole names, in any case, as a pattern of RE2."""
    parts = {"*": ".*", "?": "."}
    return "(?is)^" + "".join(parts.get(c) or re.escape(c) for c in glob) + "$"


def member_pattern(glob: str) -> str:
    """A glob of names inside JSON: of a value there or of something around it, by its name or an end of its path."""
    return glob_pattern(glob).replace("^", r"^(?:.*\.)?", 1).removesuffix("$") + r"(?:\..*)?$"


def _parts(sql: str) -> tuple[str, str, str]:
    """Up to the arrow, the parameter's name, and the expression."""
    found = _FUNCTION.fullmatch(sql)
    if found is None:
        raise ConfigError("a redaction function is a statement CREATE … AS (name) -> expression")
    return found[1], found[2], found[3]


def _quoted(text: str) -> str:
    """As an SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
