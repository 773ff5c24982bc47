-- Traces that hold spans of an engine, by the batch that brought one.
CREATE TABLE engine_trace
(
    batch UInt64,
    trace_id FixedString(16)
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY (trace_id, batch)
SETTINGS non_replicated_deduplication_window = 1000
