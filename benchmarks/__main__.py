"""`python -m benchmarks [--case NAME]… [--seconds N] [--rounds N] [--quick] [--out FILE]`."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.cases import CASES
from benchmarks.generator import generator
from benchmarks.measuring import Bench
from benchmarks.report import Table, facts, markdown, show
from stallwatch.clock import SystemClock

QUICK_SECONDS = 0.3


def main(
    case: Annotated[
        list[str] | None, typer.Option(help=f"Only this one of {', '.join(CASES)}; repeatable.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="About how long each load takes.")
    ] = 1.5,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often they take turns.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="A minute, for a first look.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the tables there as Markdown.")] = None,
) -> None:
    """Measure what a span costs, ratios side by side in one run."""
    for name in case or ():
        if name not in CASES:
            raise typer.BadParameter(f"there is no case {name!r}; there are {', '.join(CASES)}")
    if quick:
        seconds, rounds = QUICK_SECONDS, 1
    clock, console = SystemClock(), Console()
    background = facts(clock.now(), os.getloadavg()[0])
    tables: list[Table] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    chosen = case or list(CASES)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        generator() as load,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        bench = Bench(load, Path(folder), seconds, rounds, progress, clock)
        task = progress.add_task("Cases", total=len(chosen))
        for name in chosen:
            progress.update(task, description=f"Case {name}")
            bench.command = (
                f"python -m benchmarks --case {name} --seconds {seconds:g} --rounds {rounds}"
            )
            for table in CASES[name](bench):
                show(table, progress.console)
                tables.append(table)
            progress.advance(task)
            if out is not None:
                # After each case: what is measured is kept, whatever becomes of the next one.
                out.write_text(markdown(tables, background), encoding="utf-8")
    if out is not None:
        console.print(f"Written to {out}")


if __name__ == "__main__":
    typer.run(main)
