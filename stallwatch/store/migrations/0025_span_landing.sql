-- Where spans land, flat and without secrets, until the next fold sorts them: to plan what happens to a span takes the engine
-- far longer than to do it, so it happens once for many batches. Partitions (minutes) go when they are folded; until then, large
-- parts are not merged, because they are read once.
CREATE TABLE span_landing
(
    received_at DateTime64(6, 'UTC'),
    sender LowCardinality(String),
    namespace LowCardinality(String), -- the sender's
    pinned Bool,
    batch UInt64,
    historical Bool,
    trace_id String,                  -- ids as they were sent
    span_id String,
    parent_span_id String,
    name LowCardinality(String),
    scope LowCardinality(String),
    kind Int32,
    start_ns UInt64,
    end_ns UInt64,
    status_code Int32,
    status_message String,
    attributes Map(String, String),
    resource LowCardinality(String),  -- JSON
    events Array(Tuple(at DateTime64(9, 'UTC'), name String, attributes Map(String, String))),
    limited Bool                      -- attributes were left out or cut
)
ENGINE = MergeTree
PARTITION BY intDiv(batch, 60000000)
ORDER BY batch
SETTINGS non_replicated_deduplication_window = 1000, max_bytes_to_merge_at_max_space_in_pool = 4194304
