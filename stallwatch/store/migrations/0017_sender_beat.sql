-- One row per sender and batch: when it was last heard, how much it sent, how late its data was.
CREATE TABLE sender_beat
(
    sender LowCardinality(String),
    namespace LowCardinality(String),
    received_at DateTime64(6, 'UTC'),
    accepted UInt64,
    rejected UInt64,
    quarantined UInt64,
    lag_s Float64,                    -- receive time minus the newest event time of the batch
    historical Bool
)
ENGINE = MergeTree
ORDER BY (sender, namespace, received_at)
SETTINGS non_replicated_deduplication_window = 1000
