"""`migrate`, `doctor`, `config check`, `dashboards export`: operation."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from collector.engines.registry import ENGINES, engine
from dashboards import grafana
from stallwatch.app.access import data_folder, new_store
from stallwatch.app.claim import Claim
from stallwatch.app.doctor import examine
from stallwatch.app.protection import means
from stallwatch.app.ticker import cron_trigger
from stallwatch.cli.common import (
    CLOCK,
    ConfigOption,
    Format,
    FormatOption,
    out,
    print_json,
    settings_from,
)
from stallwatch.config import check_secrets
from stallwatch.errors import UsageError
from stallwatch.store.redaction import check_rules_alone

config_app = typer.Typer(help="The configuration.", no_args_is_help=True)
dashboards_app = typer.Typer(help="Grafana dashboards.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(migrate)
    app.command()(doctor)
    config_app.command("check")(check)
    app.add_typer(config_app, name="config")
    dashboards_app.command("export")(export)
    app.add_typer(dashboards_app, name="dashboards")


def migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")
    ] = False,
    may_lose_data: Annotated[
        bool, typer.Option("--may-lose-data", help="Allow changes that take data away.")
    ] = False,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Create or update the store's tables and views. `serve` does it by itself; needs the store for itself."""
    settings = settings_from(config)
    folder = data_folder(settings)
    claim = None if folder is None else Claim.take(folder)
    store = new_store(settings)
    try:
        changes = store.migrate(CLOCK.now(), dry_run, may_lose_data)
    finally:
        store.close()
        if claim is not None:
            claim.release()
    if format_ is Format.JSON:
        print_json([{"action": c.action, "name": c.name, "done": not dry_run} for c in changes])
        return
    for change in changes:
        out().print(Text(f"{'would ' if dry_run else ''}{change.action} {change.name}"))
    if not changes:
        out().print("The store is up to date.")


def doctor(format_: FormatOption = Format.TABLE, config: ConfigOption = None) -> None:
    """Examine the installation: configuration, store, service, engines. Exit status 1 if something is wrong."""
    results = examine(settings_from(config), CLOCK)
    if format_ is Format.JSON:
        print_json([{"check": r.check, "ok": r.ok, "detail": r.detail} for r in results])
    else:
        for result in results:
            line = Text()
            line.append("ok    " if result.ok else "WRONG ", "green" if result.ok else "bold red")
            line.append(f"{result.check}: {result.detail}")
            out().print(line, soft_wrap=True)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def check(config: ConfigOption = None) -> None:
    """Check the configuration whole. Exit status 2 names every key that is wrong."""
    settings = settings_from(config)
    # What `serve` reads at its start, beyond what every command does.
    check_secrets(settings, config)
    cron_trigger(settings.report.cron, settings.report.timezone)
    check_rules_alone(settings.collector.redact)
    for section, config_ in (("collector", settings.collector), ("web", settings.web)):
        list(means(section, config_))
    # What asks an engine reads the files that its section names when it is made, and connects when it looks.
    for name in ENGINES:
        its = getattr(settings.engines, name)
        if its is not None:
            engine(name).poller(its).close()
    out().print("The configuration is good.")


def export(
    directory: Annotated[Path, typer.Argument(help="Where to write the JSON files.")],
    config: ConfigOption = None,
) -> None:
    """Write the Grafana dashboards (for the ClickHouse data source) as JSON files."""
    settings_from(config)
    try:
        written = grafana.export(directory)
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}") from None
    for path in written:
        out().print(Text(str(path)), soft_wrap=True)
