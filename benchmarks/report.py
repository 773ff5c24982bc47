"""Tables of figures, for the console and for `RESULTS.md`, with what one has to know to believe them."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table as RichTable

PACKAGES: Final = ("stallwatch", "chdb", "clickhouse-connect", "grpcio", "protobuf", "rotel")
_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Table:
    """Rows of text under headings, what was counted, and how to do it again."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    command: str


def show(table: Table, console: Console) -> None:
    """Print it."""
    shown = RichTable(title=table.title, title_justify="left")
    for number, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
    for note in table.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    console.print()


def markdown(tables: Iterable[Table], facts: Iterable[str]) -> str:
    """The whole document."""
    lines = [
        "# What was measured",
        "",
        "Written by `make bench`. Ratios were taken side by side in one run and are what to read; absolute figures are",
        "this machine's at that hour. CPU seconds are user and system time of the measured process and its children;",
        "whoever sends and whoever receives are other processes on the same cores.",
        "",
        *(f"- {fact}" for fact in facts),
    ]
    for table in tables:
        lines += ["", f"## {table.title}", "", f"`{table.command}`", ""]
        lines.append("| " + " | ".join(table.headings) + " |")
        lines.append(
            "|" + "|".join("---:" if n else "---" for n in range(len(table.headings))) + "|"
        )
        lines += ["| " + " | ".join(row) + " |" for row in table.rows]
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def facts(now: datetime, load_before: float) -> list[str]:
    """Machine, versions, date, and how quiet it was."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return [
        f"{now:%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"{_cpu_model()}, {cores} cores, {memory_gib:.0f} GiB; Linux {platform.release()}",
        f"Python {platform.python_version()}, {packages}",
        f"Load average over a minute before it began: {load_before:.2f} (0 is a quiet machine)",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    try:
        told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
