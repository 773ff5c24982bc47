"""`report timeouts`: what every timeout should be."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from stallwatch.app.access import reading_store
from stallwatch.app.reporting import make_report
from stallwatch.cli.common import (
    CLOCK,
    ConfigOption,
    SinceOption,
    err,
    print_text,
    settings_from,
    time_option,
)
from stallwatch.errors import UsageError
from stallwatch.model.plain_text import harmless

report_app = typer.Typer(help="Reports.", no_args_is_help=True)


class ReportFormat(StrEnum):
    HTML = "html"
    MD = "md"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    report_app.command("timeouts")(timeouts)
    app.add_typer(report_app, name="report")


def timeouts(
    since: SinceOption = "-28d",
    format_: Annotated[
        ReportFormat, typer.Option("--format", help="A page, Markdown, JSON or CSV.")
    ] = ReportFormat.MD,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write into this file instead of standard output.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """The timeout tuning report: p99 and its confidence, the recommended value, a verdict for every step."""
    settings = settings_from(config)
    begin, now = time_option("--since", since), CLOCK.now()
    if begin >= now:
        raise UsageError("--since: must be before now")
    with err().status("Reading durations …"), reading_store(settings, CLOCK) as store:
        text = make_report(store, settings, begin, now, format_.value)
    if out_file is None:
        if format_ is ReportFormat.MD or sys.stdout.isatty():
            # For a person's eyes; as data it is left as it is.
            text = harmless(text)
        print_text(text if text.endswith("\n") else text + "\n")
        return
    try:
        out_file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out_file}: {error.strerror}") from None
    err().print(Text(f"written to {out_file}"), soft_wrap=True)
