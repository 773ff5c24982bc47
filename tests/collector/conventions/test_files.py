"""A convention is a file: what every one of them keeps to."""

import re

from collector.conventions import conventions, trace_conventions

CREATED = re.compile(r"^CREATE (?:OR REPLACE FUNCTION|MATERIALIZED VIEW) (\w+)", re.M)


def test_a_file_is_one_statement_with_its_reason_in_front() -> None:
    for sql in [definition.sql for definition in conventions()] + trace_conventions():
        assert sql.startswith("-- ")
        assert ";" not in re.sub(r"--.*|'[^']*'", "", sql)


def test_a_convention_is_named_after_its_file_and_follows_what_it_uses() -> None:
    seen: set[str] = set()
    for definition in conventions():
        (name,) = CREATED.findall(definition.sql)
        used = set(re.findall(r"\bstallwatch_(?!redact)\w+(?=\()", definition.sql)) - {name}
        assert used <= seen, definition.name
        seen.add(name)
        stem = definition.name.removeprefix("conventions/").removesuffix(".sql")
        if not stem[0].isdigit():
            assert name == f"convention_{stem}"
            assert definition.object == f"VIEW {name}"


def test_every_engine_that_is_recognised_has_a_convention() -> None:
    by_name = {definition.name: definition.sql for definition in conventions()}
    recognised = re.findall(r", '(\w+)',?$", by_name["conventions/00_engine_of_span.sql"], re.M)
    handled = {e for sql in by_name.values() for e in re.findall(r"claimed_by = '(\w+)'", sql)}
    assert len(recognised) >= 6
    assert set(recognised) == handled
