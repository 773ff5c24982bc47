-- Where step events enter that senders wrote themselves; redaction happens behind it.
CREATE TABLE event_inbox
(
    received_at DateTime64(6, 'UTC'),
    sender LowCardinality(String),
    road LowCardinality(String),      -- event, span, history
    batch UInt64,
    historical Bool,
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    execution_id String,
    run_id String,
    parent_execution_id String,
    event LowCardinality(String),
    time DateTime64(6, 'UTC'),
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
    attributes Map(LowCardinality(String), String)
)
ENGINE = Null
