"""An application as users have it: spans exported at their end, and our processor beside that.

`python -m tests.instrumentation.hanging INGEST_URL` begins a step, prints `open`, and ends the step when its standard
input closes.
"""

import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from stallwatch_otel import Heartbeat, StallwatchSpanProcessor


def main() -> None:
    url = sys.argv[1]
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    provider.add_span_processor(
        StallwatchSpanProcessor(url, heartbeat_s=0.3, heartbeat=Heartbeat.ALIVE, report_after_s=0.1)
    )
    tracer = provider.get_tracer("shop")
    with (
        tracer.start_as_current_span("checkout", attributes={"stallwatch.workflow": "order"}),
        tracer.start_as_current_span("charge", attributes={"stallwatch.queue": "payments"}),
    ):
        sys.stdout.write("open\n")
        sys.stdout.flush()
        sys.stdin.read()
    provider.shutdown()


if __name__ == "__main__":
    main()
