-- Numbers that only the collector knows, one row each, the newest counts.
CREATE TABLE sender_state
(
    sender LowCardinality(String),
    namespace LowCardinality(String),
    skew_s Float64,
    spool_bytes UInt64,
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (sender, namespace)
