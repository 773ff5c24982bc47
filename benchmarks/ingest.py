"""CPU seconds of each stage of ingestion, in one process: `python -m benchmarks.ingest FOLDER SPANS ROUNDS`.

Prints JSON: for each case the seconds of each stage. Cases take turns, so that a noisy machine troubles all alike.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.bodies import Shape, bodies
from collector.otlp import TRACES
from stallwatch.app.access import new_store
from stallwatch.clock import SystemClock
from stallwatch.config import Settings
from stallwatch.config.settings import StoreConfig
from stallwatch.store import Body, Store

STAGES: Final = ("check", "insert", "fold")
CASES: Final = {
    "no step": Shape(),
    "one in five": Shape(step_share=0.2),
    "every one": Shape(step_share=1.0),
    "every one, each an execution of its own": Shape(step_share=1.0, own_executions=True),
}
_REQUESTS_PER_BATCH: Final = 20


def measure(store: Store, raw: Sequence[bytes], clock: SystemClock) -> dict[str, float]:
    """CPU seconds of each stage."""
    now = clock.now()
    cpu = [time.process_time()]
    checked = [TRACES.check(one, is_json=False) for one in raw]
    cpu.append(time.process_time())
    for begin in range(0, len(checked), _REQUESTS_PER_BATCH):
        batch = checked[begin : begin + _REQUESTS_PER_BATCH]
        store.insert_otlp([Body(one.request, now, "bench") for one in batch])
    cpu.append(time.process_time())
    store.fold(now)
    cpu.append(time.process_time())
    return dict(zip(STAGES, (b - a for a, b in itertools.pairwise(cpu)), strict=True))


def main() -> None:
    """Print the seconds of all rounds."""
    folder, spans, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clock = SystemClock()
    totals = {name: dict.fromkeys(STAGES, 0.0) for name in CASES}
    store = new_store(Settings(store=StoreConfig(url=f"chdb://{folder}")))
    store.migrate(clock.now())
    seeds = itertools.count()
    for _ in range(rounds):
        for name, shape in CASES.items():
            begin_ns = int(clock.now().timestamp() * 1e9)
            raw = list(bodies(shape, max(1, spans // shape.spans_per_body), begin_ns, next(seeds)))
            for stage, seconds in measure(store, raw, clock).items():
                totals[name][stage] += seconds
    store.close()
    sys.stdout.write(msgspec.json.encode(totals).decode())


if __name__ == "__main__":
    main()
