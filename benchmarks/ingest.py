"""What a span costs: CPU seconds from a raw OTLP body to folded rows, side by side in one run.

`python -m benchmarks.ingest [SPANS]`. Cases take turns, so that a noisy machine troubles all alike; the ratios are
what to read, the absolute figures are this machine's at this hour.
"""

import itertools
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import track
from rich.table import Table

from collector.conventions import conventions, trace_conventions
from collector.otlp import TRACES
from stallwatch.store import Body, Store, open_store
from tests.spans import Span, request

SPANS = 50_000
PER_BODY = 500
ROUNDS = 3


def body(step_share: float, now: datetime) -> bytes:
    """One export of PER_BODY spans; `step_share` of them are steps of a marked workflow."""
    spans = []
    for number in range(PER_BODY):
        attributes = {"http.request.method": "GET", "url.path": "/pay", "retries": number % 3}
        if number < step_share * PER_BODY:
            attributes |= {
                "stallwatch.workflow": "order",
                "stallwatch.execution_id": os.urandom(8).hex(),
                "stallwatch.step": f"step-{number % 20}",
            }
        spans.append(Span(f"span-{number % 50}", start_at=now, attributes=attributes))
    return request(*spans)


def measure(store: Store, bodies: list[bytes], now: datetime) -> dict[str, float]:
    """CPU seconds of each stage."""
    cpu = [time.process_time()]
    checked = [TRACES.check(one, is_json=False) for one in bodies]
    cpu.append(time.process_time())
    for begin in range(0, len(checked), 20):
        store.insert_otlp([Body(c.request, now, "bench") for c in checked[begin : begin + 20]])
    cpu.append(time.process_time())
    store.fold(now)
    cpu.append(time.process_time())
    return dict(
        zip(
            ("check", "insert", "fold"),
            (b - a for a, b in itertools.pairwise(cpu)),
            strict=True,
        )
    )


def main() -> None:
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else SPANS
    now = datetime.now(UTC)  # noqa: TID251 - a benchmark goes by the wall clock
    cases = {"no step": 0.0, "one in five a step": 0.2, "every span a step": 1.0}
    totals = {name: {"check": 0.0, "insert": 0.0, "fold": 0.0} for name in cases}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = open_store(
            f"chdb://{folder}", flows=conventions(), trace_conventions=trace_conventions()
        )
        store.migrate(now)
        console = Console()
        for _ in track(range(ROUNDS), "Measuring", console=console):
            for name, step_share in cases.items():
                bodies = [body(step_share, now) for _ in range(spans // PER_BODY)]
                for stage, seconds in measure(store, bodies, now).items():
                    totals[name][stage] += seconds
        store.close()
    table = Table(title=f"{spans * ROUNDS:,} spans a case, {PER_BODY} a request, embedded store")
    for heading in ("case", "check", "insert", "fold", "all-in", "ratio"):
        table.add_column(f"{heading}" + (" (spans/CPU s)" if heading == "all-in" else ""))
    fastest = max(spans * ROUNDS / sum(stages.values()) for stages in totals.values())
    for name, stages in totals.items():
        rate = spans * ROUNDS / sum(stages.values())
        table.add_row(
            name,
            *(f"{stages[stage]:.2f} s" for stage in ("check", "insert", "fold")),
            f"{rate:,.0f}",
            f"{rate / fastest:.2f}",
        )
    console.print(table)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"Peak memory: {peak_mib:,.0f} MiB")


if __name__ == "__main__":
    main()
