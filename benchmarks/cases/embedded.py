"""The embedded store, all in: from the socket to durable, flattened, folded rows in the same process."""

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.bodies import Shape
from benchmarks.cases.server import NOT_INSTALLED, THEIRS
from benchmarks.contestants import ROOT, Contestant, rotel, rotel_agent, sink, stallwatch
from benchmarks.measuring import MIB, Bench, Measured, arrived_of, rate_of, ratio_of
from benchmarks.process import cpu_s
from benchmarks.report import Table

ROLES = "collector,web"
SHARES = {"no step": 0.0, "one in five": 0.2, "every one": 1.0}
_SPANS_PER_S = 50_000


@dataclass
class _Results:
    ours: list[Measured] = field(default_factory=list)
    theirs: list[Measured] = field(default_factory=list)
    after_s: float = 0.0
    disk: dict[str, int] = field(default_factory=dict)

    @property
    def spans(self) -> int:
        return sum(m.sent.spans for m in self.ours)


def run(bench: Bench) -> list[Table]:
    """No step, one in five, every span a step."""
    results = {name: _share(bench, name, share) for name, share in SHARES.items()}
    costs, sizes = [], []
    for name, of in results.items():
        spent_s = sum(m.cpu_s for m in of.ours)
        costs.append(
            [
                name,
                f"{rate_of(of.ours):,.0f}",
                ratio_of(of.ours, of.theirs) if of.theirs else "",
                f"{of.spans / (spent_s + of.after_s):,.0f}",
                f"{max(m.peak_bytes for m in of.ours) / MIB:,.0f}",
                arrived_of(of.ours),
            ]
        )
        events = sum(of.disk.get(table, 0) for table in ("step_event_log",))
        sizes.append(
            [
                name,
                f"{of.ours[0].sent.size_bytes / of.ours[0].sent.spans:.0f}",
                f"{of.disk.get('span_log', 0) / of.spans:.0f}",
                f"{events / of.spans:.0f}",
                f"{sum(of.disk.values()) / of.spans:.0f}",
            ]
        )
    return [
        Table(
            "Embedded store: socket to folded rows",
            (
                "spans that are steps",
                "spans per CPU second",
                "times rotel",
                "with later merges",
                "peak MiB",
                "arrived",
            ),
            costs,
            [
                f"`serve --roles {ROLES}`; {results['no step'].spans:,} spans a case, 500 a request, over HTTP; "
                "durable and folded when the clock stops. Detectors and alerts do not run.",
                "A trace has ten spans: of a workflow's, the root is the execution and the other nine are its steps.",
                "Times rotel: against what rotel needs to forward the same bodies, in turn, to a server, uncompressed; "
                "it neither reads conventions nor stores nor folds.",
                "With later merges: the CPU until the process is at rest again is counted as well.",
                *([] if rotel_agent() else [NOT_INSTALLED]),
            ],
            bench.command,
        ),
        Table(
            "Embedded store: bytes on disk per span",
            ("spans that are steps", "as sent", "spans", "step events", "all tables"),
            sizes,
            [
                "Compressed parts in use with their indices, at rest; later merges make them smaller.",
                "The three ids of a span are 32 random bytes, which cannot be compressed.",
            ],
            bench.command,
        ),
    ]


def _share(bench: Bench, name: str, share: float) -> _Results:
    found = _Results()
    data = bench.new_folder("data")
    load = bench.load(Shape(step_share=share), _SPANS_PER_S)
    with ExitStack() as stack:
        ours = stack.enter_context(
            stallwatch("stallwatch", bench.new_folder("serve"), f"chdb://{data}", ROLES)
        )
        receiver = stack.enter_context(sink(bench.new_folder("sink")))
        theirs: Contestant | None = None
        if agent := rotel_agent():
            started = rotel(THEIRS, agent, bench.new_folder("rotel"), receiver.address, "none")
            theirs = stack.enter_context(started)
        for number in range(bench.rounds):
            fresh = replace(load, seed=load.seed * 1000 + number)
            bench.generator.prepare(fresh)
            what = f"embedded, {name}: round {number + 1} of {bench.rounds}"
            with bench.doing(what):
                found.ours.append(bench.measure(ours, fresh, partial(_fold, ours, fresh.spans)))
            before_s = cpu_s(ours.pid)
            with bench.doing(f"{what}, until it is at rest"):
                bench.settle(ours.pid)
            found.after_s += cpu_s(ours.pid) - before_s
            if theirs is not None:
                with bench.doing(f"{what}, {THEIRS}"):
                    found.theirs.append(
                        bench.measure(theirs, fresh, partial(receiver.wait_for, fresh.spans))
                    )
        stored = int(ours.ask("SELECT count() FROM spans"))
        if stored != found.spans:
            found.ours[-1] = replace(found.ours[-1], arrived=stored)
    found.disk = _on_disk(data)
    return found


def _fold(contestant: Contestant, spans: int) -> int:
    """Return when everything is folded. That all rows are there is looked up later, off the clock."""
    contestant.ask("SELECT 1")
    return spans


def _on_disk(data: Path) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.disk", str(data)]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(told.stdout, type=dict[str, int])
