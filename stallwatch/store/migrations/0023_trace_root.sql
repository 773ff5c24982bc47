-- The roots of plain traces: what tells, without a look at the spans, whether a trace may be an execution.
CREATE TABLE trace_root
(
    batch UInt64,
    trace_id FixedString(16),
    service LowCardinality(String),
    is_named Bool                     -- it names its workflow
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY (trace_id, service, is_named)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024
