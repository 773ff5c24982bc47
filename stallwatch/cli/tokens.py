"""`token add`, `token list`, `token remove`: who may speak to Stallwatch."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from stallwatch.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    err,
    out,
    print_rows,
    print_text,
    settings_from,
)
from stallwatch.config import Settings
from stallwatch.config.tokens import (
    Token,
    add_token,
    hash_of,
    new_token,
    read_tokens,
    remove_token,
)
from stallwatch.errors import UsageError

token_app = typer.Typer(help="Tokens of senders and readers.", no_args_is_help=True)
COLUMNS = ("name", "namespace", "items_per_second", "bytes_per_second")


class Listener(StrEnum):
    COLLECTOR = "collector"
    WEB = "web"


ForOption = Annotated[
    Listener, typer.Option("--for", help="Whose tokens_file: senders' or readers'.")
]
NameArgument = Annotated[str, typer.Argument(help="The name of the sender or reader.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    token_app.command("add")(add)
    token_app.command("list")(list_)
    token_app.command("remove")(remove)
    app.add_typer(token_app, name="token")


def add(
    name: NameArgument,
    for_: ForOption = Listener.COLLECTOR,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", help="A sender's: where what it sends belongs. Default: as it says."
        ),
    ] = None,
    items_per_second: Annotated[
        int | None,
        typer.Option(
            "--items-per-second", min=0, help="A sender's most spans and events a second. 0: any."
        ),
    ] = None,
    bytes_per_second: Annotated[
        int | None,
        typer.Option(
            "--bytes-per-second", min=0, help="A sender's most bytes a second, inflated. 0: any."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token, print it once, and write its hash to the tokens_file. A running serve takes it within seconds."""
    of_senders = {
        "--namespace": namespace,
        "--items-per-second": items_per_second,
        "--bytes-per-second": bytes_per_second,
    }
    for option, value in of_senders.items():
        if for_ is Listener.WEB and value is not None:
            raise UsageError(
                f"{option}: is for senders; a token for the web reads everything, all namespaces"
            )
    if namespace is not None and not namespace.strip():
        # An unset variable of a shell, most likely. A token that may send for any namespace has no --namespace.
        raise UsageError("--namespace: is empty; leave it out for a token that may send for any")
    path = _file(settings_from(config), for_)
    secret = new_token()
    try:
        token = Token(
            name=name,
            hash=hash_of(secret),
            namespace=namespace or "",
            items_per_second=items_per_second or 0,
            bytes_per_second=bytes_per_second or 0,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(
            f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}"
        ) from None
    add_token(path, token)
    # The token alone goes to standard output, so that a script can take it from there.
    print_text(secret + "\n")
    err().print(Text(f"Keep it: {path} has only its hash, and it is not shown again."))


def list_(
    for_: ForOption = Listener.COLLECTOR,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Who has a token, and what it allows."""
    path = _file(settings_from(config), for_)
    tokens = read_tokens(path, f"{for_.value}.tokens_file")
    rows = [{column: getattr(token, column) for column in COLUMNS} for token in tokens]
    print_rows(rows, COLUMNS, format_, "No tokens.")


def remove(
    name: NameArgument,
    for_: ForOption = Listener.COLLECTOR,
    config: ConfigOption = None,
) -> None:
    """Take a token away. A running serve refuses it within seconds."""
    path = _file(settings_from(config), for_)
    remove_token(path, name)
    out().print(Text(f"{name} is removed from {path}"), soft_wrap=True)


def _file(settings: Settings, for_: Listener) -> Path:
    config = settings.collector if for_ is Listener.COLLECTOR else settings.web
    if config.tokens_file is None:
        raise UsageError(
            f"{for_.value}.tokens_file is not set: name a file there, then add tokens to it"
        )
    return config.tokens_file
