-- Executions that were read from plain traces, by the trace.
CREATE TABLE generic_trace
(
    batch UInt64,
    trace_id FixedString(16),
    execution_key UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY (trace_id, execution_key)
SETTINGS non_replicated_deduplication_window = 1000
