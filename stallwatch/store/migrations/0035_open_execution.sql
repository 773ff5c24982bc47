-- The executions that run or are suspended, as execution_fold has them; deleted rows as in open_attempt.
CREATE TABLE open_execution
(
    execution_key UInt64,
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    execution_id String,
    run_id String,
    parent_execution_id String,
    status LowCardinality(String),
    started_at DateTime64(6, 'UTC'),
    ended_at Nullable(DateTime64(6, 'UTC')),
    suspended_at Nullable(DateTime64(6, 'UTC')),
    suspended_s Float64,
    waited_s Float64,
    last_progress_at DateTime64(6, 'UTC'),
    last_step LowCardinality(String),
    open_steps UInt32,
    attempts UInt32,
    timeout_s Nullable(Float64),
    error_type LowCardinality(String),
    error_message String,
    trace_id String,
    sequence_max Int64,
    sequences UInt64,
    sequence_received_at DateTime64(6, 'UTC'),
    last_received_at DateTime64(6, 'UTC'),
    ended_received_at Nullable(DateTime64(6, 'UTC')),
    road LowCardinality(String),
    sender LowCardinality(String),
    historical Bool,
    version UInt64,
    is_deleted UInt8,
    first_batch UInt64,
    folded UInt64
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (execution_key, run_id)
SETTINGS index_granularity = 1024, allow_experimental_replacing_merge_with_cleanup = 1
