"""Server mode: from the senders' sockets to ClickHouse's, rotel beside it.

Both get the same bodies in turn and forward them to the same sink, which counts what arrives; the clock stops when all
did. rotel answers before it has forwarded anything, Stallwatch afterwards.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.bodies import Shape
from benchmarks.contestants import Contestant, SinkProcess, rotel, rotel_agent, sink, stallwatch
from benchmarks.generator import Load
from benchmarks.measuring import MIB, Bench, Measured, arrived_of, rate_of, ratio_of
from benchmarks.report import Table

OURS = "stallwatch"
THEIRS = "rotel"
NOT_INSTALLED = "rotel is not installed (`pip install --group bench`): nothing to compare with."
_SPANS_PER_S = 150_000
_SLOW_SPANS_PER_S = 40_000
_SMALL_PER_S = 2_000


@dataclass(frozen=True)
class Arena:
    """Contestants that forward to one sink."""

    sink: SinkProcess
    contestants: Sequence[Contestant]

    @property
    def alone(self) -> bool:
        return len(self.contestants) == 1


@contextmanager
def arena(bench: Bench, compressions: Sequence[str] = ("none",)) -> Iterator[Arena]:
    """Stallwatch's collector and, if it is there, rotel, once for each compression of its inserts."""
    with ExitStack() as stack:
        receiver = stack.enter_context(sink(bench.new_folder("sink")))
        url = f"clickhouse://{receiver.address}/bench"
        folder = bench.new_folder("collector")
        contestants = [stack.enter_context(stallwatch(OURS, folder, url, "collector"))]
        agent = rotel_agent()
        for compression in compressions if agent else ():
            assert agent is not None
            name = THEIRS if compression == "none" else f"{THEIRS}, {compression}"
            folder = bench.new_folder("rotel")
            started = rotel(name, agent, folder, receiver.address, compression)
            contestants.append(stack.enter_context(started))
        yield Arena(receiver, contestants)


def take_turns(bench: Bench, arena: Arena, load: Load, what: str) -> list[list[Measured]]:
    """The load for everyone, round after round; of each contestant the rounds."""
    rounds: list[list[Measured]] = [[] for _ in arena.contestants]
    for number in range(bench.rounds):
        fresh = replace(load, seed=load.seed * 1000 + number)
        bench.generator.prepare(fresh)
        for contestant, mine in zip(arena.contestants, rounds, strict=True):
            with bench.doing(f"{what}: {contestant.name}, round {number + 1} of {bench.rounds}"):
                mine.append(
                    bench.measure(contestant, fresh, partial(arena.sink.wait_for, fresh.spans))
                )
    return rounds


def spans(bench: Bench) -> list[Table]:
    """Requests of 500 spans over HTTP, protobuf, nothing compressed; and rotel as it comes, with LZ4."""
    load = bench.load(Shape(), _SPANS_PER_S)
    with arena(bench, ("none", "lz4")) as ring:
        rounds = take_turns(bench, ring, load, "server mode")
    rows = [
        [
            contestant.name,
            f"{rate_of(mine):,.0f}",
            ratio_of(mine, rounds[1]) if len(rounds) > 1 else "",
            f"{1e6 * sum(m.cpu_s for m in mine) / sum(m.sent.spans for m in mine):.2f}",
            f"{max(m.peak_bytes for m in mine) / MIB:,.0f}",
            arrived_of(mine),
        ]
        for contestant, mine in zip(ring.contestants, rounds, strict=True)
    ]
    notes = [
        _bodies_note(load, rounds, bench.rounds),
        "Stallwatch runs `serve --roles collector` on a `clickhouse://` store. Bodies and inserts are not compressed.",
        "rotel runs with its defaults but for the compression of its inserts: none, and LZ4 which is its default.",
    ]
    headings = (
        "collector",
        "spans per CPU second",
        "times rotel",
        "CPU µs per span",
        "peak MiB",
        "arrived",
    )
    return [_table("Server mode: socket to ClickHouse's socket", headings, rows, notes, bench)]


def encodings(bench: Bench) -> list[Table]:
    """The same by other roads: gzip, JSON, gRPC."""
    plain = bench.load(Shape(), _SPANS_PER_S)
    slow = bench.load(Shape(), _SLOW_SPANS_PER_S)
    loads = {
        "HTTP, gzip": replace(plain, encoding="gzip"),
        "HTTP, JSON": replace(slow, encoding="json"),
        "gRPC": replace(plain, grpc=True),
    }
    rows = []
    with arena(bench) as ring:
        for name, load in loads.items():
            rounds = take_turns(bench, ring, load, name)
            body_bytes = rounds[0][0].sent.size_bytes / load.spans
            for contestant, mine in zip(ring.contestants, rounds, strict=True):
                rows.append(
                    [
                        f"{name}: {contestant.name}",
                        f"{rate_of(mine):,.0f}",
                        ratio_of(mine, rounds[1]) if len(rounds) > 1 else "",
                        f"{body_bytes:.0f}",
                        f"{max(m.peak_bytes for m in mine) / MIB:,.0f}",
                        arrived_of(mine),
                    ]
                )
    notes = [
        "Server mode, requests of 500 spans; the sender's CPU (also that of gRPC) is not counted."
    ]
    headings = (
        "how it is sent",
        "spans per CPU second",
        "times rotel",
        "bytes per span sent",
        "peak MiB",
        "arrived",
    )
    return [_table("Other encodings", headings, rows, notes, bench)]


def small(bench: Bench) -> list[Table]:
    """Requests of one span over many connections: what a request costs."""
    single = Shape(spans_per_body=1)
    loads = {
        "HTTP, 256 connections": replace(bench.load(single, _SMALL_PER_S), connections=256),
        "gRPC, 256 calls": replace(
            bench.load(single, _SMALL_PER_S / 2), connections=256, grpc=True
        ),
    }
    rows = []
    with arena(bench) as ring:
        for name, load in loads.items():
            rounds = take_turns(bench, ring, load, f"one span a request, {name}")
            for contestant, mine in zip(ring.contestants, rounds, strict=True):
                p50_ms, p99_ms, max_ms = max(
                    (m.sent.latencies_ms for m in mine), key=lambda of: of[1]
                )
                rows.append(
                    [
                        f"{name}: {contestant.name}",
                        f"{rate_of(mine):,.0f}",
                        ratio_of(mine, rounds[1]) if len(rounds) > 1 else "",
                        f"{p50_ms:,.0f} / {p99_ms:,.0f} / {max_ms:,.0f}",
                        f"{max(m.peak_bytes for m in mine) / MIB:,.0f}",
                        arrived_of(mine),
                    ]
                )
    notes = [
        "Server mode; each connection sends its next request when the last one is answered.",
        "Stallwatch answers when the span is stored, which a request waits up to `batch_ms` for; rotel answers before.",
    ]
    headings = (
        "how it is sent",
        "requests per CPU second",
        "times rotel",
        "answer ms: p50 / p99 / max",
        "peak MiB",
        "arrived",
    )
    return [_table("Requests of one span", headings, rows, notes, bench)]


def _bodies_note(load: Load, rounds: Sequence[Sequence[Measured]], count: int) -> str:
    per_span = rounds[0][0].sent.size_bytes / load.spans
    return (
        f"{load.spans:,} spans a round, {count} rounds in turn; {load.shape.spans_per_body} spans a request "
        f"of one service, {per_span:.0f} bytes a span, {load.connections} connections."
    )


def _table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: list[str],
    bench: Bench,
) -> Table:
    if rotel_agent() is None:
        notes = [*notes, NOT_INSTALLED]
    return Table(title, headings, rows, notes, bench.command)
