-- Traces that hold spans of an engine, by the batch that brought one.
CREATE TABLE engine_trace
(
    batch UInt64,
    trace_id FixedString(16)
)
ENGINE = ReplacingMergeTree
ORDER BY (trace_id, batch)
TTL toDateTime(fromUnixTimestamp64Micro(toInt64(batch))) + INTERVAL 8 DAY
SETTINGS non_replicated_deduplication_window = 1000
