"""Tell Stallwatch of steps that have begun and not ended: an OpenTelemetry span is exported only when it ends.

    provider.add_span_processor(StallwatchSpanProcessor())

See docs/instrumentation.md.
"""

from stallwatch_otel.choosing import by_name
from stallwatch_otel.processor import Heartbeat, StallwatchSpanProcessor
from stallwatch_otel.reporter import Counts

__all__ = ["Counts", "Heartbeat", "StallwatchSpanProcessor", "by_name"]
