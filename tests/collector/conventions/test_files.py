"""A convention is a file: what every one of them keeps to."""

import re

from collector.conventions import conventions

CREATED = re.compile(r"^CREATE (?:OR REPLACE FUNCTION|MATERIALIZED VIEW) (\w+)", re.M)

CONVENTIONS = conventions()


def test_a_file_is_one_statement_with_its_reason_in_front() -> None:
    flows = [definition.sql for definition in CONVENTIONS.flows]
    for sql in [
        *flows,
        *CONVENTIONS.noting,
        *CONVENTIONS.spans.values(),
        *CONVENTIONS.traces,
        *CONVENTIONS.taken_back,
    ]:
        assert sql.startswith("-- ")
        assert ";" not in re.sub(r"--.*|'[^']*'", "", sql)


def test_a_flow_follows_what_it_uses() -> None:
    seen: set[str] = set()
    for definition in CONVENTIONS.flows:
        (name,) = CREATED.findall(definition.sql)
        used = set(re.findall(r"\bstallwatch_(?!redact)\w+(?=\()", definition.sql)) - {name}
        assert used <= seen, definition.name
        seen.add(name)


def test_a_convention_reads_the_spans_that_are_claimed_in_its_name() -> None:
    for name, sql in CONVENTIONS.spans.items():
        assert f"claimed_by = '{name}'" in sql
        assert "FROM fold_span" in sql


def test_every_engine_that_is_recognised_has_a_convention() -> None:
    by_name = {definition.name: definition.sql for definition in CONVENTIONS.flows}
    recognised = re.findall(r", '(\w+)',?$", by_name["conventions/00_engine_of_span.sql"], re.M)
    assert len(recognised) >= 6
    assert {*recognised, "stallwatch"} == set(CONVENTIONS.spans)
