// Sends spans with the unmodified JavaScript SDK: node send.mjs URL proto|http none|gzip COUNT
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-node";

const [url, kind, compression, count] = process.argv.slice(2);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${kind}`);
const processor = new BatchSpanProcessor(new OTLPTraceExporter({ url, compression }), {
  maxExportBatchSize: 50,
});
const provider = new BasicTracerProvider({ spanProcessors: [processor] });
const tracer = provider.getTracer("stallwatch-test", "1.0");
for (let number = 0; number < Number(count); number += 1) {
  const span = tracer.startSpan(`js ${number}`, { attributes: { number, half: number / 2 } });
  span.addEvent("said");
  span.end();
}
await provider.shutdown();
