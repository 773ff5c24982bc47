"""`import` and `forget`: data in, as history; an execution out, everywhere."""

import sys
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.text import Text

from collector.importing import Progress
from collector.paths import files_of
from stallwatch.app.access import ask, open_state, own_store, serving
from stallwatch.app.forgetting import forget_everywhere, forget_on_shelf
from stallwatch.app.importing import Wanted, import_into_serving, import_into_store
from stallwatch.app.pulling import pull
from stallwatch.cli.common import CLOCK, ConfigOption, err, out, settings_from
from stallwatch.errors import UsageError
from stallwatch.model.plain_text import harmless


class ImportEngine(StrEnum):
    STEPFUNCTIONS = "stepfunctions"
    TEMPORAL = "temporal"
    DURABLE = "durable"
    DBOS = "dbos"
    PREFECT = "prefect"
    AIRFLOW = "airflow"
    OTLP = "otlp"
    EVENTS = "events"


PROBLEMS_SHOWN: Final = 20
"""Of each file; the others are counted."""
_COUNTED: Final = {
    ImportEngine.OTLP: ("span or step event", "spans and step events"),
    ImportEngine.EVENTS: ("event", "events"),
}
_DOCUMENTS: Final = ("document", "documents")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("import")(import_)
    app.command("pull")(pull_)
    app.command()(forget)


def import_(
    engine: Annotated[ImportEngine, typer.Argument(help="What the files hold.")],
    paths: Annotated[
        list[str],
        typer.Argument(help="Files (also gzip), folders, patterns; - is standard input."),
    ],
    namespace: Annotated[
        str, typer.Option(help="The namespace of what does not say its own.")
    ] = "default",
    workflow: Annotated[
        str, typer.Option(help="The workflow of histories that do not say theirs.")
    ] = "",
    execution_id: Annotated[
        str,
        typer.Option(
            "--execution-id", help="Whose history the file is, where neither it nor its name says."
        ),
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Import files as history: it teaches the detectors and never alerts. Importing twice changes nothing.

    A bad document is named with its file and line, and the rest goes on; exit status 2 if there was one.
    """
    settings = settings_from(config)
    wanted = Wanted(engine.value, files_of(paths), namespace, workflow, execution_id)
    _check_said(wanted)
    holder = serving(settings)
    if holder is not None:
        accepted, errors, passed_over = _show(import_into_serving(holder, wanted, CLOCK))
    else:
        with own_store(settings, CLOCK) as store:
            accepted, errors, passed_over = _show(import_into_store(store, settings, wanted, CLOCK))
            store.fold(CLOCK.now())
            store.refresh_statistics()
    told = f"{_of(accepted, _COUNTED.get(engine, _DOCUMENTS))} imported, {errors} bad {_DOCUMENTS[errors != 1]}"
    if passed_over:
        others = ("log record or data point", "log records and data points")
        told += f", {_of(passed_over, others)} passed over"
    out().print(told, highlight=False, soft_wrap=True)
    if errors:
        raise typer.Exit(2)


def _check_said(wanted: Wanted) -> None:
    """Raises UsageError for an option that could not have an effect, or would make one history of many."""
    if wanted.engine in _COUNTED:
        options = (("--workflow", wanted.workflow), ("--execution-id", wanted.execution_id))
        for option, value in options:
            if value:
                what = _COUNTED[ImportEngine(wanted.engine)][1]
                raise UsageError(f"{option}: is for histories of engines; {what} say their own")
    if wanted.execution_id and len(wanted.paths) > 1:
        raise UsageError(f"--execution-id: is for one file, and there are {len(wanted.paths)}")


def _of(count: int, nouns: tuple[str, str]) -> str:
    """`1 span`, `2 spans`."""
    return f"{count} {nouns[count != 1]}"


def pull_(
    engine: Annotated[str, typer.Argument(help="An engine that has a section \\[engines.NAME].")],
    config: ConfigOption = None,
) -> None:
    """Look at an engine once, now: what is open, what closed since the last look. `serve` does it by itself."""
    settings = settings_from(config)
    with err().status(f"Looking at {harmless(engine)} ..."):
        looked = pull(settings, engine, CLOCK)
    out().print(
        f"{_of(looked.executions, ('execution', 'executions'))} with news, "
        f"{_of(looked.events, ('step event', 'step events'))}, {looked.seconds:.1f} s",
        highlight=False,
    )


def _show(steps: Iterator[Progress]) -> tuple[int, int, int]:
    """Follow an import on a progress bar; how much was accepted, how many documents were bad, what was passed over."""
    accepted: dict[str, int] = {}
    passed_over: dict[str, int] = {}
    told: Counter[str] = Counter()
    errors = 0
    console = err()
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}
        for step in steps:
            if step.path not in tasks:
                tasks[step.path] = bar.add_task(
                    escape(harmless(step.path)), total=step.bytes_total or None
                )
            bar.update(tasks[step.path], completed=step.bytes_done)
            accepted[step.path] = step.accepted
            passed_over[step.path] = step.passed_over
            for problem in step.errors:
                errors += 1
                told[step.path] += 1
                if told[step.path] <= PROBLEMS_SHOWN:
                    console.print(Text(harmless(problem), style="yellow"), soft_wrap=True)
        for path, count in told.items():
            if count > PROBLEMS_SHOWN:
                more = f"{path}: {count - PROBLEMS_SHOWN} more bad {_DOCUMENTS[count - PROBLEMS_SHOWN != 1]}"
                console.print(Text(harmless(more), style="yellow"), soft_wrap=True)
    return sum(accepted.values()), errors, sum(passed_over.values())


def forget(
    execution_id: Annotated[str, typer.Argument(help="The execution to erase.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask (at a terminal).")] = False,
    config: ConfigOption = None,
) -> None:
    """Erase an execution everywhere: events, spans, attempts, and its name in findings. Cannot be undone."""
    settings = settings_from(config)
    # Who runs it from a script cannot answer, and has written the whole name.
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Erase execution {execution_id} for good?", abort=True, err=True)
    holder = serving(settings)
    if holder is not None:
        erased = int(ask(holder, "forget", execution_id=execution_id)["events"])
    else:
        with own_store(settings, CLOCK) as store:
            state = open_state(settings)
            erased = forget_everywhere(store, state, execution_id)
            state.close()
        forget_on_shelf(settings, execution_id)
    if not erased:
        raise UsageError(f"there is no execution {execution_id!r}")
    out().print(f"{erased} events erased", highlight=False)
