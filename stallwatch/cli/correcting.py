"""`feedback` and `budget`: whether findings were right, and how many may be wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from stallwatch.app.access import ask, open_state, serving
from stallwatch.app.feedback import budget_rows, judged
from stallwatch.cli.common import (
    CLOCK,
    ConfigOption,
    Format,
    FormatOption,
    out,
    print_json,
    print_rows,
    settings_from,
)
from stallwatch.config import Settings
from stallwatch.errors import UsageError
from stallwatch.model.plain_text import one_line
from stallwatch.store.labels import Verdict
from stallwatch.store.state import State

BUDGET_COLUMNS = (
    "detector", "shared_with", "allowed_per_week", "false_alarms_7d", "false_alarms_28d",
    "from_late_completions_28d", "from_feedback_28d", "expected_per_week", "overspend_per_week",
)  # fmt: skip
BY = "command line"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(feedback)
    app.command()(budget)


def feedback(
    fingerprint: Annotated[str, typer.Argument(help="The finding, as `findings` names it.")],
    verdict: Annotated[
        str, typer.Option("--verdict", help="false-alarm: nothing was wrong; or real.")
    ],
    note: Annotated[str, typer.Option("--note", help="Why, for those who look later.")] = "",
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Say whether a finding was right. A false alarm is not told again, counts in `budget`, and teaches thresholds."""
    if verdict not in list(Verdict):
        raise UsageError(f"--verdict: must be one of {', '.join(Verdict)}, not {verdict!r}")
    settings = settings_from(config)
    fields = {"fingerprint": fingerprint, "verdict": verdict, "note": note}
    holder = serving(settings)
    if holder is not None:
        label = ask(holder, "feedback", fingerprint=fingerprint, verdict=verdict, note=note)
    else:
        with _state(settings) as state:
            label = judged(state, fields, BY, CLOCK.now())
    if format_ is Format.JSON:
        print_json([label])
        return
    place = " · ".join(one_line(label[name]) for name in ("workflow", "step") if label[name])
    out().print(Text(f"{label['detector']} {place}: {label['verdict']}"), soft_wrap=True)


def budget(format_: FormatOption = Format.TABLE, config: ConfigOption = None) -> None:
    """How many false alarms a week are allowed, and how many there were, by detector."""
    settings = settings_from(config)
    holder = serving(settings)
    rows: list[dict[str, Any]]
    if holder is not None:
        rows = ask(holder, "budget")
    else:
        with _state(settings) as state:
            rows = budget_rows(state, settings.detectors, CLOCK.now())
    print_rows(rows, BUDGET_COLUMNS, format_, "No budget.")


@contextmanager
def _state(settings: Settings) -> Iterator[State]:
    state = open_state(settings)
    try:
        yield state
    finally:
        state.close()
