-- Which executions a batch touched: what the fold has to look at again.
CREATE TABLE touched_execution
(
    batch UInt64,
    execution_key UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY (batch, execution_key)
SETTINGS non_replicated_deduplication_window = 1000
