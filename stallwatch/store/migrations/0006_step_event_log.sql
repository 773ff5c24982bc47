-- The truth: every step event once, whichever road it came. The same event id in the same execution is one event;
-- the first delivery stays (first_wins falls as time goes by), so that "received before T" means what it says.
CREATE TABLE step_event_log
(
    execution_key UInt64 DEFAULT sipHash64(namespace, engine, execution_id),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    sender LowCardinality(String),
    road LowCardinality(String),      -- event, span, history
    batch UInt64 CODEC(Delta, ZSTD),
    historical Bool,
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    execution_id String,
    run_id String,
    parent_execution_id String,
    event LowCardinality(String),
    time DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    step LowCardinality(String),
    step_run_id String,
    attempt UInt32,                   -- 0: not said
    branch String,
    event_id String,
    sequence Int64 DEFAULT -1,        -- -1: not said
    queue LowCardinality(String),
    worker LowCardinality(String),
    downstream LowCardinality(String),
    region LowCardinality(String),
    idempotency_key String,
    timeout_s Nullable(Float64),
    heartbeat_timeout_s Nullable(Float64),
    schedule_to_start_timeout_s Nullable(Float64),
    schedule_to_close_timeout_s Nullable(Float64),
    max_attempts Nullable(UInt32),
    backoff_s Nullable(Float64),
    backoff_rate Nullable(Float64),
    backoff_max_s Nullable(Float64),
    waiting_on LowCardinality(String),
    due Nullable(DateTime64(6, 'UTC')),
    error_type LowCardinality(String),
    error_message String,
    payload_bytes Nullable(UInt64),
    compensates LowCardinality(String),
    is_replay Bool,
    trace_id String,
    span_id String,
    attributes Map(LowCardinality(String), String),
    first_wins UInt64 MATERIALIZED bitNot(toUInt64(toUnixTimestamp64Micro(received_at)))
)
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(time)
ORDER BY (execution_key, event_id)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024
