-- What was accepted and cannot be believed, with the reason; shown in ingest_health, kept as text.
CREATE TABLE quarantine
(
    received_at DateTime64(6, 'UTC'),
    sender LowCardinality(String),
    namespace LowCardinality(String),
    batch UInt64,
    reason LowCardinality(String),
    item String CODEC(ZSTD)
)
ENGINE = MergeTree
ORDER BY received_at
SETTINGS non_replicated_deduplication_window = 1000
