"""One report in four forms. Names of workflows and steps come from senders: each form escapes them."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import jinja2
import msgspec
from markupsafe import Markup

from dashboards.report.sentences import VERDICT_WORDS, advice, counts, in_order, name_of
from dashboards.report.tables import exact, readable, record
from dashboards.shown import shown
from stallwatch.errors import InputError
from stallwatch.model.plain_text import one_line
from stallwatch.model.recommendations import CHANGES, StepRecommendation

Format = Literal["html", "md", "json", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
PLOTS_MAX: Final = 60
"""Pictures in one page, the steps to change first; the page says how many it leaves out."""

_TITLE: Final = "Timeout tuning report"
_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("dashboards.report", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=shown,
)


def render(
    recommendations: Sequence[StepRecommendation],
    format: Format,
    now: datetime,
    since: datetime,
    until: datetime,
) -> str:
    """The report over [since, until), as written at `now`, in whose time zone times are shown.

    `html`: one page without outside resources. `md`: for a chat or a repository. `json`: an array of
    objects, `csv`: the same columns; both hold what `dashboards.report.tables.FIELDS` names. Steps
    to change come first. Raises InputError for another format.
    """
    steps = in_order(recommendations)
    window = tuple(_when(time, now) for time in (since, until, now))
    if format == "json":
        return msgspec.json.format(msgspec.json.encode([record(s) for s in steps])).decode() + "\n"
    if format == "csv":
        return _csv(steps)
    if format == "md":
        return _markdown(steps, *window)
    if format == "html":
        return _html(steps, *window)
    raise InputError(f"format: must be one of {', '.join(FORMATS)}, not {format!r}")


def _when(time: datetime, now: datetime) -> str:
    return time.astimezone(now.tzinfo).strftime("%Y-%m-%d %H:%M %Z")


def _csv(steps: Sequence[StepRecommendation]) -> str:
    table = exact(steps)
    for column in ("namespace", "engine", "workflow", "step"):
        table[column] = [one_line(_no_formula(str(text))) for text in table[column]]
    for column in ("notes", "advice"):
        table[column] = [one_line(str(text)) for text in table[column]]
    return table.to_csv(index=False, lineterminator="\n")


def _no_formula(text: str) -> str:
    """A spreadsheet runs text that begins like a formula: an apostrophe in front keeps it text."""
    return f"'{text}" if text[:1] in set("=+-@\t\r") else text


def _markdown(steps: Sequence[StepRecommendation], since: str, until: str, now: str) -> str:
    lines = [f"# {_TITLE}", "", f"From {since} to {until}, written {now}.", "", counts(steps)]
    changes = [step for step in steps if step.verdict in CHANGES]
    if changes:
        lines += ["", "## Change first", ""]
        lines += [
            f"{number}. **{_plain(name_of(step))}** ({VERDICT_WORDS[step.verdict]}): {advice(step)}"
            for number, step in enumerate(changes, 1)
        ]
    if steps:
        table = readable(steps)
        lines += ["", "## All steps", "", _row(table.columns), _row(["---"] * len(table.columns))]
        lines += [_row(_plain(cell) for cell in row) for row in table.itertuples(index=False)]
        lines += ["", "## Step by step", ""]
        lines += [
            f"- **{_plain(name_of(step))}**: {' '.join([advice(step), *step.notes])}"
            for step in steps
        ]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no new line or cell."""
    return re.sub(r"([\\`*\[\]<>|&#!~])", r"\\\1", one_line(" ".join(text.split())))


def _html(steps: Sequence[StepRecommendation], since: str, until: str, now: str) -> str:
    # Only a page has pictures, and what draws them takes half a second to load, which every command would wait for.
    from dashboards.report.plots import survival_svg

    drawn = [step for step in steps if step.survival][:PLOTS_MAX]
    pictures = {id(step): survival_svg(step, f"plot-{i}") for i, step in enumerate(drawn)}
    table = readable(steps)
    return _TEMPLATES.get_template("report.html.j2").render(
        title=_TITLE,
        since=since,
        until=until,
        now=now,
        counts=counts(steps),
        columns=list(table.columns),
        rows=[
            {"verdict": step.verdict, "cells": list(cells)}
            for step, cells in zip(steps, table.itertuples(index=False), strict=True)
        ],
        changes=[_words(step) for step in steps if step.verdict in CHANGES],
        # Only what this room drew itself is markup; it holds no text of a sender.
        steps=[{**_words(s), "svg": Markup(pictures.get(id(s), ""))} for s in steps],
        left_out=sum(bool(step.survival) for step in steps) - len(drawn),
    )


def _words(step: StepRecommendation) -> dict[str, object]:
    return {
        "name": name_of(step),
        "verdict": step.verdict,
        "verdict_words": VERDICT_WORDS[step.verdict],
        "advice": advice(step),
        "notes": step.notes,
    }
