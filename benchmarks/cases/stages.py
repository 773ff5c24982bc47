"""Where the embedded store's CPU goes: check, insert, fold, without sockets."""

import subprocess
import sys

import msgspec

from benchmarks.contestants import ROOT
from benchmarks.measuring import Bench
from benchmarks.report import Table

_SPANS_PER_S = 12_500


def run(bench: Bench) -> list[Table]:
    """`benchmarks.ingest` in a process of its own, which can close its engine by ending."""
    spans = max(500, int(bench.seconds * _SPANS_PER_S) // 500 * 500)
    folder = bench.new_folder("stages")
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingest",
        str(folder),
        str(spans),
        str(bench.rounds),
    ]
    with bench.doing("stages of ingestion"):
        told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    totals = msgspec.json.decode(told.stdout, type=dict[str, dict[str, float]])
    count = spans * bench.rounds
    rows = [
        [
            name,
            *(f"{1e6 * seconds / count:.2f}" for seconds in stages.values()),
            f"{count / sum(stages.values()):,.0f}",
        ]
        for name, stages in totals.items()
    ]
    headings = ("spans that are steps", "check µs", "insert µs", "fold µs", "spans per CPU second")
    notes = [
        f"CPU µs per span; {count:,} spans a case in batches of twenty requests; cases take turns on one store.",
        "In the last case every span is a trace, an execution and its only step at once.",
    ]
    return [Table("Stages, in one process", headings, rows, notes, bench.command)]
