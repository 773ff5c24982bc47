-- Which traces without an engine's spans a batch touched: what the conventions that need a whole trace look at.
CREATE TABLE touched_trace
(
    batch UInt64,
    trace_id FixedString(16)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY (batch, trace_id)
SETTINGS non_replicated_deduplication_window = 1000
