"""The report in its four forms, also with names that a sender chose to do harm."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from dashboards.report import Format, render
from dashboards.report.plots import survival_svg
from dashboards.report.tables import FIELDS
from stallwatch.errors import InputError
from stallwatch.model.plain_text import one_line
from stallwatch.model.recommendations import RECOMMENDATION_FIELDS
from tests.dashboards.report.samples import NOW, SINCE, WINDOW, a_step, every_verdict

GOLDEN: Final = Path(__file__).parent / "golden"
HOSTILE: Final = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>|`rm`\n[a](javascript:x)"


@pytest.mark.parametrize("form", ["md", "json", "csv"])
def test_golden(form: Format) -> None:
    golden = (GOLDEN / f"every_verdict.{form}").read_text(encoding="utf-8")
    assert render(every_verdict(), form, *WINDOW) == golden


def test_json_is_an_array_of_objects_with_the_views_fields_first() -> None:
    records = json.loads(render(every_verdict(), "json", *WINDOW))
    assert [tuple(record) for record in records] == [FIELDS] * 5
    assert FIELDS[: len(RECOMMENDATION_FIELDS)] == RECOMMENDATION_FIELDS
    assert records[0]["step"] == "pack"
    assert records[-1]["recommended_timeout_s"] is None
    assert records[-1]["notes"] == ["A note.", "Another one."]


def test_csv_has_the_same_columns_and_leaves_unknown_cells_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(render(every_verdict(), "csv", *WINDOW))))
    assert tuple(rows[0]) == FIELDS
    assert (rows[0]["n"], rows[0]["recommended_cut_n"]) == ("4812", "0")
    assert (rows[-1]["p999_s"], rows[-1]["recommended_cut_n"]) == ("", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_name_is_never_a_formula_in_a_spreadsheet(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(render([a_step(name)], "csv", *WINDOW)))
    assert row["step"] == "'" + one_line(name)


def test_nothing_to_report_is_said_in_every_form() -> None:
    assert render([], "json", *WINDOW) == "[]\n"
    assert render([], "csv", *WINDOW) == ",".join(FIELDS) + "\n"
    for form in ("md", "html"):
        assert "No step had an attempt" in render([], form, *WINDOW)


def test_another_format_is_refused() -> None:
    with pytest.raises(InputError, match="html, md, json, csv"):
        render([], "pdf", *WINDOW)  # type: ignore[arg-type]


def test_times_are_shown_in_the_readers_zone() -> None:
    text = render([], "md", NOW.astimezone(timezone(timedelta(hours=2), "CEST")), SINCE, NOW)
    assert "From 2025-12-29 10:00 CEST to 2026-01-05 10:00 CEST" in text


@pytest.mark.parametrize("form", ["html", "md", "csv"])
def test_a_name_does_not_turn_the_rest_of_a_line(form: Format) -> None:
    text = render([a_step("pay\u202egnihton\u2066")], form, *WINDOW)
    assert "pay\ufffdgnihton\ufffd" in text
    assert not {"\u202e", "\u2066"} & set(text)


def test_a_hostile_name_stays_one_line_of_text_in_markdown() -> None:
    text = render([a_step(HOSTILE)], "md", *WINDOW)
    assert re.search(r"(?<!\\)<", text) is None
    assert "[a](javascript" not in text
    cells = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in cells}) == 1
    assert len(cells) == 3


class Page(HTMLParser):
    """What a browser would make of the page, as far as it matters here."""

    VOID: Final = frozenset({"meta", "path", "use", "rect", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self._open:
            self.cells[-1] += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


def page(*steps: Any) -> Page:
    return Page(render(steps, "html", *WINDOW))


def test_the_page_says_what_to_change_first_and_shows_every_step() -> None:
    found = page(*every_verdict())
    text = " ".join(" ".join(found.texts).split())
    assert "5 steps: 1 too tight, 1 no timeout, 1 too loose, 1 ok, 1 insufficient data." in text
    assert text.index("Change first") < text.index("order / pack") < text.index("order / ship")
    assert "5m allows 43 times its p99.9 (7s). Set 8.1s;" in text
    assert "212 more completions needed" in text
    assert "Another one." in text
    assert found.cells[0::14] == [
        "order / pack", "order / ship", "order / charge", "order / reserve", "order / notify",
    ]  # fmt: skip
    assert [tag for tag, _ in found.tags].count("svg") == 5


def test_the_page_needs_nothing_from_elsewhere() -> None:
    found = page(*every_verdict())
    tags = {tag for tag, _ in found.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "image"})
    assert all(
        target.startswith("#")
        for name in ("href", "xlink:href", "src")
        for target in found.attributes(name)
    )
    text = render(every_verdict(), "html", *WINDOW)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_ids_in_the_page_are_unique_and_what_is_referred_to_is_there() -> None:
    found = page(*every_verdict())
    ids = found.attributes("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in found.attributes("xlink:href")} <= set(ids)


def test_a_hostile_name_is_text_in_the_page() -> None:
    hostile = a_step(HOSTILE, workflow=HOSTILE, notes=(HOSTILE,))
    found = page(hostile)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "img", "a"})
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)
    assert found.cells[0] == f"{HOSTILE} / {HOSTILE}"


def test_the_page_is_readable_in_dark_light_and_print() -> None:
    text = render(every_verdict(), "html", *WINDOW)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    drawn = set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", text))
    assert drawn == set()


def test_the_same_report_is_the_same_text() -> None:
    first, second = (render(every_verdict(), "html", *WINDOW) for _ in range(2))
    assert first == second


def test_only_so_many_pictures_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboards.report.forms.PLOTS_MAX", 2)
    text = render(every_verdict(), "html", *WINDOW)
    assert text.count("<svg") == 2
    assert "3 more steps have no picture here" in text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"survival": ((0.001, 1.0),)},
        {"survival": ((3.0, 1.0), (3.0, 0.1))},
        {"survival": ((1e-3, 1.0), (1e7, 0.001))},
        {"p99_high_s": None, "recommended_timeout_s": None},
        {"current_timeout_s": None},
        {"p99_s": None, "p99_low_s": None},
    ],
)
def test_a_picture_of_any_curve(changes: dict[str, Any]) -> None:
    svg = survival_svg(replace(a_step(), **changes), "salt")
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert "still running" in svg
    assert ("timeout now" in svg) == (changes.get("current_timeout_s", 1) is not None)
