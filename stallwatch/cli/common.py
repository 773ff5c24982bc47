"""What commands share: options, output as a table or as JSON, how errors end."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboards.reading import BEGINNING, plain
from stallwatch.clock import SystemClock
from stallwatch.config import Settings, load_settings
from stallwatch.errors import Transient, UsageError
from stallwatch.model.durations import format_duration, parse_time
from stallwatch.model.plain_text import one_line
from stallwatch.store import FOREVER

CLOCK: Final = SystemClock()
PIPE_COLUMNS_MAX: Final = 100_000

EVERYWHERE: Final = {"namespace": "default", "engine": "custom"}
"""Values that say nothing where no row has another."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@dataclass
class Chosen:
    """What the command line said that is needed to tell of an error: typer's context is gone by then."""

    config: Path | None = None


def _remember_config(context: typer.Context, path: Path | None) -> Path | None:
    context.ensure_object(Chosen).config = path
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_remember_config,
        help="The configuration file. Default: what STALLWATCH_CONFIG names, else ./stallwatch.toml.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="A table for people, or a JSON array of objects.")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", help="Only this namespace.")]
EngineOption = Annotated[str, typer.Option("--engine", help="Only this engine.")]
WorkflowOption = Annotated[str, typer.Option("--workflow", help="Only this workflow.")]
StepOption = Annotated[str, typer.Option("--step", help="Only this step.")]
StatusOption = Annotated[str, typer.Option("--status", help="Only this status.")]
SinceOption = Annotated[
    str, typer.Option("--since", help="From then on: RFC 3339 with offset, -15m, -7d or now.")
]
UntilOption = Annotated[str, typer.Option("--until", help="Before then.")]


def settings_from(path: Path | None) -> Settings:
    """The configuration a command runs with."""
    return load_settings(path)


def time_option(option: str, text: str) -> datetime:
    """A time given on the command line, of those that the store can hold; UsageError names the option."""
    try:
        return min(max(parse_time(text, CLOCK.now()), BEGINNING), FOREVER)
    except UsageError as error:
        # Of `-15x` the message names only what is behind the sign.
        typed = "" if repr(text) in str(error) else f" (in {text!r})"
        raise UsageError(f"{option}: {error}{typed}") from None


def period(since: str, until: str) -> tuple[datetime, datetime]:
    """The interval [since, until) given on the command line; an empty text is without an end."""
    first = time_option("--since", since) if since else BEGINNING
    last = time_option("--until", until) if until else FOREVER
    if first >= last:
        raise UsageError("--since: must be before --until")
    return first, last


class Output:
    """Standard output, whoever writes to it: what it cannot take is an error of the command, never a traceback.

    A reader who goes away has seen enough. The exit status is still told: a 1 means that something was found.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._heeding():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._heeding():
            self._stream.flush()

    @contextmanager
    def _heeding(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._discard()
        except OSError as error:
            self._discard()
            self._lost = f"standard output: {error.strerror}"
        # Again and again: who writes nothing to see whether it is text that is taken here minds no error.
        if self._lost:
            raise Transient(self._lost)

    def _discard(self) -> None:
        """What is still to come, and what Python would write at its end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def out() -> Console:
    """Where results go. Rich honours NO_COLOR and leaves colours out where nobody looks."""
    return Console(soft_wrap=False)


def err() -> Console:
    """Where everything else goes."""
    return Console(stderr=True)


def print_json(value: Any) -> None:
    """Data for programs, on standard output, one line break at its end."""
    print_text(msgspec.json.format(msgspec.json.encode(plain(value)), indent=2).decode() + "\n")


def print_text(text: str) -> None:
    """Text on standard output, exactly as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], format_: Format, nothing: str
) -> None:
    """Rows as JSON (all fields) or as a table of `columns`; `nothing` is said when there are none."""
    if format_ is Format.JSON:
        print_json(rows)
        return
    if not rows:
        err().print(nothing)
        return
    # Columns in which no row has anything of its own only take room.
    shown = [
        column
        for column in columns
        if any(row.get(column) not in ("", None, EVERYWHERE.get(column)) for row in rows)
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(_title(column), justify="right" if _is_number(rows, column) else "left")
    for row in rows:
        table.add_row(*(Text(cell(column, row.get(column))) for column in shown))
    console = out()
    if not console.is_terminal:
        # A pipe has no width: nothing is cut off.
        console = Console(width=Console(width=PIPE_COLUMNS_MAX).measure(table).maximum)
    console.print(table)


def cell(column: str, value: Any) -> str:
    """A value for a person's eyes, without anything that would act on a terminal."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if column.endswith("_s") and isinstance(value, int | float):
        return format_duration(value)
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return one_line(str(value))


def _title(column: str) -> str:
    return column.removesuffix("_s").removesuffix("_at").replace("_", " ").upper()


def _is_number(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    return all(isinstance(row.get(column), int | float | None) for row in rows)
