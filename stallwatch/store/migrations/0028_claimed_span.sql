-- Spans that a convention claims, until the next fold makes step events of them: a convention takes far longer to plan than
-- to run, so it runs once for many batches. Kept a while only so that a fold can be done again.
CREATE TABLE claimed_span
(
    received_at DateTime64(6, 'UTC'),
    sender LowCardinality(String),
    namespace LowCardinality(String),
    batch UInt64,
    historical Bool,
    trace_id String,
    span_id String,
    parent_span_id String,
    name LowCardinality(String),
    scope LowCardinality(String),
    service LowCardinality(String),
    kind LowCardinality(String),
    start_at DateTime64(9, 'UTC'),
    end_at DateTime64(9, 'UTC'),
    duration_s Float64,
    status LowCardinality(String),
    status_message String,
    attributes Map(String, String),
    resource_text LowCardinality(String),
    events Array(Tuple(at DateTime64(9, 'UTC'), name String, attributes Map(String, String))),
    claimed_by LowCardinality(String) -- the name of the convention
)
ENGINE = MergeTree
PARTITION BY toStartOfHour(fromUnixTimestamp64Micro(toInt64(batch)))
ORDER BY batch
SETTINGS non_replicated_deduplication_window = 1000
