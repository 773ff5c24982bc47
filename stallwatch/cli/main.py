"""The `stallwatch` command: its commands, and how it ends (0 done, 1 found, 2 wrong usage, 3 outside failure)."""

import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Annotated

import typer
from rich.text import Text

from stallwatch.cli import (
    correcting,
    judging,
    moving,
    operating,
    reading,
    reporting,
    serving,
    tokens,
)
from stallwatch.cli.common import Chosen, Output, err
from stallwatch.config import placed
from stallwatch.errors import StallwatchError, UsageError
from stallwatch.model.plain_text import harmless

app = typer.Typer(
    name="stallwatch",
    help="Watches workflows, notices when one stalls, and says what to change so that it does not stall again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stallwatch {version('stallwatch')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and end.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Options of the whole command."""


for room in (serving, moving, judging, reading, correcting, reporting, operating, tokens):
    room.register(app)


def main() -> None:
    """Run the command line; errors are one message on standard error, never a traceback."""
    chosen = Chosen()
    try:
        # There is none where it was closed before we began.
        with redirect_stdout(sys.stdout and Output(sys.stdout)):
            # Typer ends the process itself: wrong usage is 2, typer.Exit says its own.
            app(obj=chosen)
    except UsageError as error:
        _complain(placed(str(error), chosen.config))
        sys.exit(2)
    except StallwatchError as error:
        _complain(str(error))
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(message: str) -> None:
    # Messages carry names that senders chose, and a line is read by programs as well: it is not broken.
    err().print(Text(f"stallwatch: {harmless(message)}", "red"), soft_wrap=True)
