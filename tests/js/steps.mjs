// Tells Stallwatch of a step when it starts and while it gets on, as OTLP log records.
import { context, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";

const HEARTBEAT_MS = 30_000;

/**
 * Reports that `span` has started. The span carries `stallwatch.workflow`, `stallwatch.execution_id` and
 * `stallwatch.step`; it goes out by itself when it ends. Call the function that is returned whenever the step gets on:
 * a heartbeat goes out, at most one in `everyMs`.
 */
export function reportStep(logger, span, everyMs = HEARTBEAT_MS) {
  const { traceId, spanId } = span.spanContext();
  const identity = { "stallwatch.engine": "opentelemetry", ...span.attributes };
  if (identity["stallwatch.attempt"] === undefined) {
    identity["stallwatch.step_run_id"] ??= spanId;
  }
  const emit = (event, timestamp, suffix) =>
    logger.emit({
      eventName: `stallwatch.step.${event}`,
      timestamp,
      severityNumber: SeverityNumber.INFO,
      context: trace.setSpan(context.active(), span),
      attributes: {
        ...identity,
        "stallwatch.event_id": `stallwatch:${traceId}${spanId}:${suffix}`,
      },
    });
  emit("started", span.startTime, "started");
  let beatAt = Date.now();
  return () => {
    const now = Date.now();
    if (now - beatAt >= everyMs) {
      beatAt = now;
      emit("heartbeat", now, `heartbeat:${now}`);
    }
  };
}
