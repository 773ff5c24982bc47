-- Executions that were read from plain traces, by the trace.
CREATE TABLE generic_trace
(
    batch UInt64,
    trace_id FixedString(16),
    execution_key UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (trace_id, execution_key)
TTL toDateTime(fromUnixTimestamp64Micro(toInt64(batch))) + INTERVAL 8 DAY
SETTINGS non_replicated_deduplication_window = 1000
