"""What `stallwatch_otel` costs the thread that makes a span, beside the bare SDK in the same run.

`python -m benchmarks.instrumentation [SPANS]`. Cases take turns, and the best round of each counts: what is above it is
the machine's noise. A span is started with four attributes and ended; the difference to the bare SDK is what the
processor costs. The reporter's thread runs as in life, its CPU is given apart.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer
from opentelemetry.util.types import Attributes
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stallwatch_otel import StallwatchSpanProcessor

SPANS = 20_000
ROUNDS = 7
OPEN = 1_000
"""Spans that stay open meanwhile in the last case."""
PLAIN: Attributes = {
    "http.request.method": "GET",
    "url.path": "/pay",
    "retries": 3,
    "peer.service": "bank",
}
STEP: Attributes = {
    "stallwatch.workflow": "order",
    "stallwatch.execution_id": "o-1",
    "stallwatch.step": "charge",
    "peer.service": "bank",
}


class Answers(BaseHTTPRequestHandler):
    """A collector that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def measure(tracer: Tracer, attributes: Attributes, spans: int) -> float:
    """Microseconds of this thread's CPU per span."""
    before_ns = time.thread_time_ns()
    for _ in range(spans):
        tracer.start_span("charge", attributes=attributes).end()
    return (time.thread_time_ns() - before_ns) / spans / 1000


def main() -> None:
    spans = int(sys.argv[1]) if len(sys.argv) > 1 else SPANS
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    processor = StallwatchSpanProcessor(
        f"http://127.0.0.1:{server.server_port}", heartbeat_s=1, report_after_s=0.1
    )
    bare, watched = (TracerProvider(shutdown_on_exit=False) for _ in range(2))
    watched.add_span_processor(processor)
    with_it, without = watched.get_tracer("shop"), bare.get_tracer("shop")
    cases: dict[str, tuple[Attributes, bool]] = {
        "not chosen": (PLAIN, False),
        "chosen": (STEP, False),
        f"chosen, {OPEN:,} others open": (STEP, True),
    }
    best: dict[str, list[float]] = {name: [float("inf")] * 2 for name in cases}
    for _ in track(range(ROUNDS), "Measuring", console=Console(stderr=True)):
        for name, (attributes, beside) in cases.items():
            others = [
                with_it.start_span("slow", attributes=STEP) for _ in range(OPEN if beside else 0)
            ]
            for place, tracer in enumerate((without, with_it)):
                best[name][place] = min(best[name][place], measure(tracer, attributes, spans))
            for other in others:
                other.end()
    table = Table(title=f"µs per span, best of {ROUNDS} rounds of {spans:,} spans")
    for heading in ("case", "SDK alone", "with the processor", "difference"):
        table.add_column(heading)
    for name, (alone, together) in best.items():
        table.add_row(name, f"{alone:.2f}", f"{together:.2f}", f"{together - alone:.2f}")
    console = Console()
    console.print(table)
    counts = processor.counts()
    console.print(f"Reported: {counts.starts:,} starts, {counts.heartbeats:,} heartbeats")
    watched.shutdown()
    server.shutdown()


if __name__ == "__main__":
    main()
