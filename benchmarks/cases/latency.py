"""How long a sender waits for its answer when spans come at a fixed rate, whether or not earlier ones were answered."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks.bodies import Shape
from benchmarks.cases.embedded import ROLES
from benchmarks.cases.server import NOT_INSTALLED, OURS, THEIRS, arena
from benchmarks.contestants import rotel_agent, stallwatch
from benchmarks.measuring import Bench
from benchmarks.report import Table

RATES = {5_000: 50, 50_000: 500}
"""Spans a second, and how many a request has: a hundred requests a second."""
_LONGER = 4
"""A tail needs more requests than a mean."""


def run(bench: Bench) -> list[Table]:
    """Server mode, rotel, embedded, each alone on the machine."""
    rows = []
    with ExitStack() as stack:
        ring = stack.enter_context(arena(bench))
        url = f"chdb://{bench.new_folder('data')}"
        embedded = stack.enter_context(
            stallwatch("embedded", bench.new_folder("serve"), url, ROLES)
        )
        names = {OURS: "stallwatch, server mode", THEIRS: "rotel (answers before it forwards)"}
        everyone = {names[c.name]: c for c in ring.contestants}
        everyone["stallwatch, embedded, one in five a step"] = embedded
        for spans_per_s, per_request in RATES.items():
            shape = Shape(per_request, step_share=0.2)
            load = bench.load(shape, spans_per_s * _LONGER)
            load = replace(load, rate_per_s=spans_per_s / per_request)
            for number, (name, contestant) in enumerate(everyone.items()):
                fresh = replace(load, seed=load.seed * 1000 + number)
                with bench.doing(f"latency at {spans_per_s:,} spans/s: {name}"):
                    bench.generator.prepare(fresh)
                    bench.settle(contestant.pid)
                    got = bench.measure(contestant, fresh, partial(int, fresh.spans))
                p50_ms, p99_ms, max_ms = got.sent.latencies_ms
                rows.append(
                    [
                        f"{spans_per_s:,}: {name}",
                        f"{p50_ms:,.0f}",
                        f"{p99_ms:,.0f}",
                        f"{max_ms:,.0f}",
                        f"{fresh.requests - got.sent.refused:,} of {fresh.requests:,}",
                        f"{got.sent.spans / got.sent.seconds:,.0f}",
                    ]
                )
    notes = [
        "Milliseconds from when a request was due, at a hundred requests a second, until its answer: the time that it "
        "waited behind slow answers counts. 64 connections.",
        "Stallwatch answers when the spans are durable and gathers a batch for `batch_ms` (100) first.",
        "Sender, sink and collector share the machine's cores.",
        *([] if rotel_agent() else [NOT_INSTALLED]),
    ]
    headings = ("spans a second", "p50 ms", "p99 ms", "max ms", "answered 200", "carried a second")
    return [Table("Answers at a fixed rate", headings, rows, notes, bench.command)]
