-- The fold of attempts: one row each, rewritten whenever its execution's events change. version counts the
-- execution's distinct events, so the fold that saw more wins whatever the order of writing; is_deleted marks an
-- attempt that a later fold no longer sees.
CREATE TABLE attempt_fold
(
    execution_key UInt64,
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    execution_id String,
    run_id String,
    step LowCardinality(String),
    step_run_id String,
    branch String,
    attempt UInt32,
    status LowCardinality(String),
    scheduled_at Nullable(DateTime64(6, 'UTC')),
    started_at Nullable(DateTime64(6, 'UTC')),
    ended_at Nullable(DateTime64(6, 'UTC')),
    last_heartbeat_at Nullable(DateTime64(6, 'UTC')),
    waiting_at Nullable(DateTime64(6, 'UTC')),
    waited_s Float64,
    retrying_at Nullable(DateTime64(6, 'UTC')),
    waiting_on LowCardinality(String),
    due Nullable(DateTime64(6, 'UTC')),
    timeout_s Nullable(Float64),
    heartbeat_timeout_s Nullable(Float64),
    schedule_to_start_timeout_s Nullable(Float64),
    schedule_to_close_timeout_s Nullable(Float64),
    max_attempts Nullable(UInt32),
    backoff_s Nullable(Float64),
    backoff_rate Nullable(Float64),
    backoff_max_s Nullable(Float64),
    queue LowCardinality(String),
    worker LowCardinality(String),
    downstream LowCardinality(String),
    region LowCardinality(String),
    error_type LowCardinality(String),
    error_message String,
    road LowCardinality(String),
    trace_id String,
    span_id String,
    idempotency_key String,
    compensates LowCardinality(String),
    payload_bytes Nullable(UInt64),
    starts Array(Tuple(event_id String, time DateTime64(6, 'UTC'), road String, received_at DateTime64(6, 'UTC'))),
    is_last_attempt Bool,             -- no later attempt of this step run is known
    closed_by LowCardinality(String), -- event, step (another attempt ended the step run), execution, or empty while open
    sender LowCardinality(String),
    historical Bool,
    first_received_at DateTime64(6, 'UTC'),
    ended_received_at Nullable(DateTime64(6, 'UTC')),
    last_event_at DateTime64(6, 'UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (execution_key, run_id, step, branch, step_run_id, attempt)
SETTINGS index_granularity = 1024
