// A step that hangs until standard input closes: node hanging.mjs INGEST_URL
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { reportStep } from "./steps.mjs";

const url = process.argv[2];
const traces = new BasicTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }))],
});
const logs = new LoggerProvider({
  processors: [
    new BatchLogRecordProcessor({
      exporter: new OTLPLogExporter({ url: `${url}/v1/logs` }),
      scheduledDelayMillis: 50,
    }),
  ],
});
const span = traces.getTracer("shop").startSpan("charge", {
  attributes: {
    "stallwatch.workflow": "order",
    "stallwatch.execution_id": "o-js",
    "stallwatch.step": "charge",
    "stallwatch.queue": "payments",
  },
});
const progress = reportStep(logs.getLogger("shop"), span, 200);
const working = setInterval(progress, 100);
console.log("open");
for await (const _ of process.stdin);
clearInterval(working);
span.end();
await traces.shutdown();
await logs.shutdown();
