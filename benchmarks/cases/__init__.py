"""The cases, by name, in the order in which they run. A case is a function from a `Bench` to tables."""

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.cases import embedded, footprint, latency, server, stages
from benchmarks.measuring import Bench
from benchmarks.report import Table

CASES: Final[Mapping[str, Callable[[Bench], list[Table]]]] = {
    "server": server.spans,
    "encodings": server.encodings,
    "small": server.small,
    "embedded": embedded.run,
    "latency": latency.run,
    "idle": footprint.idle,
    "stages": stages.run,
    "floor": stages.floor,
}
