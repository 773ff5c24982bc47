"""Where the embedded store's CPU goes, without sockets: its stages, and what the engine cannot do without."""

import subprocess
import sys

import msgspec

from benchmarks.contestants import ROOT
from benchmarks.measuring import Bench
from benchmarks.report import Table

_SPANS_PER_S = 12_500
_FLOOR_SPANS_PER_S = 133_000


def run(bench: Bench) -> list[Table]:
    """Check, insert, fold."""
    totals, count = _measured(bench, "benchmarks.ingest", "stages of ingestion", _SPANS_PER_S)
    headings = ("spans that are steps", "check µs", "insert µs", "fold µs", "spans per CPU second")
    notes = [
        f"CPU µs per span; {count:,} spans a case in batches of twenty requests; cases take turns on one store.",
        "In the last case every span is a trace, an execution and its only step at once.",
    ]
    return [Table("Stages, in one process", headings, _rows(totals, count), notes, bench.command)]


def floor(bench: Bench) -> list[Table]:
    """Parsing the bodies, and writing the rows that come of them."""
    totals, count = _measured(bench, "benchmarks.floor", "the engine's floor", _FLOOR_SPANS_PER_S)
    parts = [f"{part} µs" for part in next(iter(totals.values()))]
    headings = ("spans that are steps", *parts, "spans per CPU second at most")
    notes = [
        f"CPU µs per span; {count:,} spans a case, each round in one insert for each table.",
        "Bodies are parsed into nothing. Rows are finished, in memory and in order when they are written.",
        "Requests, checks, redaction, the first landing, reading, computing and merging come on top.",
    ]
    return [
        Table("Embedded store: the floor", headings, _rows(totals, count), notes, bench.command)
    ]


def _measured(
    bench: Bench, module: str, what: str, spans_per_s: int
) -> tuple[dict[str, dict[str, float]], int]:
    """Seconds by case and part, and how many spans a case had; in a process that can close its engine by ending."""
    spans = max(500, int(bench.seconds * spans_per_s) // 500 * 500)
    folder = bench.new_folder(module)
    command = [sys.executable, "-m", module, str(folder), str(spans), str(bench.rounds)]
    with bench.doing(what):
        told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    totals = msgspec.json.decode(told.stdout, type=dict[str, dict[str, float]])
    return totals, spans * bench.rounds


def _rows(totals: dict[str, dict[str, float]], count: int) -> list[list[str]]:
    return [
        [
            name,
            *(f"{1e6 * seconds / count:.2f}" for seconds in parts.values()),
            f"{count / sum(parts.values()):,.0f}",
        ]
        for name, parts in totals.items()
    ]
