"""`python -m benchmarks.detectors [noun …] [--quick] [--out FILE]`."""

import os
import pkgutil
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import detectors
from benchmarks.report import facts
from stallwatch.clock import SystemClock

_MARK: Final = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)
"""Stands above each section, so that measuring one again leaves the others as they are."""
_PREFACE: Final = """\
# How well the detectors do

Written by `python -m benchmarks.detectors --out benchmarks/DETECTORS.md`; with a noun behind it, only that section is
measured again. Seeds are fixed. *Used* is the realised share of false alarms among healthy attempts as a multiple of
the allowed one: 1 is the budget exactly used. The *delay ratio* is a threshold divided by the best possible one for
that budget.
"""


def nouns() -> list[str]:
    """What can be measured: the modules beside this one."""
    names = (module.name for module in pkgutil.iter_modules(detectors.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def main(
    noun: Annotated[
        list[str] | None, typer.Argument(help="What to measure; without, everything.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds, to see that it works.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write there instead of to the standard output.")
    ] = None,
) -> None:
    """Measure how well the detectors do."""
    known = nouns()
    for name in noun or ():
        if name not in known:
            raise typer.BadParameter(f"there is no {name!r}; there are {', '.join(known)}")
    sections: dict[str, str] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for name in noun or known:
            task = progress.add_task(name, total=1)
            sections[name] = _section(name, quick)
            progress.advance(task)
    if out is None:
        typer.echo(document(sections))
        return
    earlier = out.read_text(encoding="utf-8") if out.exists() else ""
    out.write_text(document({**sections_of(earlier), **sections}), encoding="utf-8")


def _section(noun: str, quick: bool) -> str:
    module = import_module(f"benchmarks.detectors.{noun}")
    clock = SystemClock()
    background, began_s = _facts(clock.now()), clock.monotonic_s()
    measured = str(module.measure(quick)).strip()
    took_s = clock.monotonic_s() - began_s
    lines = [f"- {fact}" for fact in background]
    lines.append(f"- {'Quick, so proving nothing; ' if quick else ''}took {took_s:.0f} s")
    return "\n".join([f"## {module.NAME}", "", measured, "", *lines])


def _facts(now: datetime) -> Sequence[str]:
    statistics = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return [*facts(now, os.getloadavg()[0]), statistics]


def sections_of(text: str) -> dict[str, str]:
    """The sections of a document, by noun."""
    _, *parts = _MARK.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def document(sections: Mapping[str, str]) -> str:
    """The whole document, the sections by the names of their nouns."""
    parts = [f"<!-- {noun} -->\n{sections[noun]}\n" for noun in sorted(sections)]
    return "\n".join([_PREFACE, *parts])


if __name__ == "__main__":
    typer.run(main)
