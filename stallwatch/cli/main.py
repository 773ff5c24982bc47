"""The `stallwatch` command: its commands, and how it ends (0 done, 1 found, 2 wrong usage)."""

import sys
from importlib.metadata import version
from typing import Annotated

import click
import typer

from stallwatch.cli import judging, moving, operating, reading, reporting, serving
from stallwatch.cli.common import err
from stallwatch.errors import StallwatchError, UsageError

app = typer.Typer(
    name="stallwatch",
    help="Watches workflows, notices when one stalls, and says what to change so that it does not stall again.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True)
    ] = False,
) -> None:
    """Options of the whole command."""
    if show_version:
        typer.echo(f"stallwatch {version('stallwatch')}")
        raise typer.Exit


for room in (serving, moving, judging, reading, reporting, operating):
    room.register(app)


def main() -> None:
    """Run the command line; errors are one message on standard error, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = 2
    except UsageError as error:
        _complain(str(error))
        code = 2
    except StallwatchError as error:
        _complain(str(error))
        code = 3
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    err().print(f"stallwatch: {message}", style="red", markup=False, highlight=False)
