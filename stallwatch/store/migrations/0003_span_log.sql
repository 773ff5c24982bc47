-- Every good span once: a span delivered twice has the same trace and span id.
CREATE TABLE span_log
(
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    sender LowCardinality(String),
    namespace LowCardinality(String),
    historical Bool,
    trace_id FixedString(16),
    span_id FixedString(8),
    parent_span_id FixedString(8),
    name LowCardinality(String),
    scope LowCardinality(String),
    service LowCardinality(String),
    kind LowCardinality(String),
    start_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    duration_s Float64 CODEC(ZSTD),
    status LowCardinality(String),
    status_message String CODEC(ZSTD),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD),
    resource Map(LowCardinality(String), String) CODEC(ZSTD),
    events Array(Tuple(at DateTime64(9, 'UTC'), name String, attributes Map(String, String))) CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(start_at)
ORDER BY (trace_id, span_id)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024
