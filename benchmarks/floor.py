"""What the engine cannot do without: `python -m benchmarks.floor FOLDER SPANS ROUNDS`.

Prints JSON: for each case the CPU seconds to parse the bodies into nothing, and to write rows that are finished and in
order already, in one insert for each table. Requests, checks, redaction, reading, computing and merging come on top.
"""

import itertools
import sys
import time
from typing import Final

import msgspec

from benchmarks.bodies import Shape, bodies
from collector.otlp import TRACES
from stallwatch.app.access import new_store
from stallwatch.clock import SystemClock
from stallwatch.config import Settings
from stallwatch.config.settings import StoreConfig
from stallwatch.store import Body, Store, protobuf

TABLES: Final = {
    "spans": ("span_log",),
    "events": ("step_event_log",),
    "attempts, executions": ("attempt_fold", "execution_fold"),
}
PARTS: Final = ("parse", *TABLES)
CASES: Final = {
    "no step": Shape(),
    "one in five": Shape(step_share=0.2),
    "every one": Shape(step_share=1.0),
}
_UNPARSED: Final = "floor_inbox"


def measure(store: Store, shape: Shape, spans: int, seed: int) -> dict[str, float]:
    """CPU seconds of each part; the store is empty again afterwards."""
    now = SystemClock().now()
    raw = bodies(shape, max(1, spans // shape.spans_per_body), int(now.timestamp() * 1e9), seed)
    sent = [Body(TRACES.check(one, is_json=False).request, now, "bench") for one in raw]
    begun_s = time.process_time()
    store.engine.insert_raw(
        _UNPARSED, protobuf.stream(sent, 1), "Protobuf", protobuf.schema_settings(embedded=True)
    )
    found = {"parse": time.process_time() - begun_s}
    store.insert_otlp(sent)
    store.fold(now)
    for part, tables in TABLES.items():
        found[part] = sum(_write(store, table) for table in tables)
    return found


def _write(store: Store, table: str) -> float:
    """CPU seconds to insert the rows of a table, held in memory, into an empty one like it."""
    run = store.engine.command
    run(f"CREATE TABLE floor_rows ENGINE = Memory AS SELECT * FROM {table} FINAL")
    run(f"CREATE TABLE floor_written AS {table}")
    begun_s = time.process_time()
    run("INSERT INTO floor_written SELECT * FROM floor_rows")
    spent_s = time.process_time() - begun_s
    for made in ("floor_rows", "floor_written"):
        run(f"DROP TABLE {made}")
    run(f"TRUNCATE TABLE {table}")
    return spent_s


def main() -> None:
    """Print the seconds of all rounds; a round before them warms up."""
    folder, spans, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    totals = {name: dict.fromkeys(PARTS, 0.0) for name in CASES}
    store = new_store(Settings(store=StoreConfig(url=f"chdb://{folder}")))
    store.migrate(SystemClock().now())
    store.engine.command(f"CREATE TABLE {_UNPARSED} AS otlp_inbox")
    store.engine.command("SYSTEM STOP MERGES")
    seeds = itertools.count()
    for number in range(rounds + 1):
        for name, shape in CASES.items():
            for part, seconds in measure(store, shape, spans, next(seeds)).items():
                totals[name][part] += seconds if number else 0.0
    store.close()
    sys.stdout.write(msgspec.json.encode(totals).decode())


if __name__ == "__main__":
    main()
