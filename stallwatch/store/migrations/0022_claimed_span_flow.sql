-- Good spans that an engine's SDK wrote (engine) or that say themselves which step they are (engine is empty), on their way to
-- the conventions: most spans are neither, and the conventions never see them.
CREATE TABLE claimed_span_flow
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
    attributes Map(LowCardinality(String), String),
    resource Map(LowCardinality(String), String),
    events Array(Tuple(at DateTime64(9, 'UTC'), name String, attributes Map(String, String))),
    claimed_by LowCardinality(String)
)
ENGINE = Null
