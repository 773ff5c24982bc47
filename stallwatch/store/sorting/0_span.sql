CREATE TEMPORARY TABLE IF NOT EXISTS fold_span
(
    received_at DateTime64(6, 'UTC'),
    sender LowCardinality(String),
    namespace LowCardinality(String),
    batch UInt64,
    historical Bool,
    trace_id String,          -- lower-case hex
    span_id String,           -- lower-case hex
    parent_span_id String,    -- lower-case hex, empty for a root
    name LowCardinality(String),
    scope LowCardinality(String),
    service LowCardinality(String),
    kind LowCardinality(String),     -- internal, server, client, producer, consumer
    start_at DateTime64(9, 'UTC'),
    end_at DateTime64(9, 'UTC'),
    duration_s Float64,
    status LowCardinality(String),   -- unset, ok, error
    status_message String,
    attributes Map(String, String),
    resource_text LowCardinality(String),
    events Array(Tuple(at DateTime64(9, 'UTC'), name String, attributes Map(String, String))),
    limited Bool,
    reason LowCardinality(String),   -- why it is quarantined; empty: it is good
    claimed_by LowCardinality(String)
)
ENGINE = Memory
