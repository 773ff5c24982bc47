"""A Temporal client that is traced as Temporal's documentation says: its interceptor, the SDK, OTLP over gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import set_tracer_provider
from temporalio.client import Client
from temporalio.contrib.opentelemetry import TracingInterceptor

SPAN_DELAY_MS: Final = 200
SPAN_QUEUE: Final = 20_000


@asynccontextmanager
async def traced_client(server: str, otlp: str, service: str) -> AsyncIterator[Client]:
    """A client of `server` whose spans go to the collector at `otlp` (both `host:port`); flushed at the end."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(endpoint=f"http://{otlp}", insecure=True),
            schedule_delay_millis=SPAN_DELAY_MS,
            max_queue_size=SPAN_QUEUE,
        )
    )
    # The interceptor's own tracer has the scope by which its spans are known.
    set_tracer_provider(provider)
    try:
        yield await Client.connect(server, interceptors=[TracingInterceptor()])
    finally:
        provider.shutdown()
