-- The fold of executions, one row a run; version and is_deleted as in attempt_fold.
CREATE TABLE execution_fold
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
    last_step LowCardinality(String), -- the step whose end was the last progress; empty: none ended yet
    open_steps UInt32,
    attempts UInt32,
    timeout_s Nullable(Float64),
    error_type LowCardinality(String),
    error_message String,
    trace_id String,
    sequence_max Int64,               -- -1: its events have no sequence
    sequences UInt64,                 -- distinct sequence numbers seen
    sequence_received_at DateTime64(6, 'UTC'),  -- when the event with the highest sequence arrived
    last_received_at DateTime64(6, 'UTC'),
    ended_received_at Nullable(DateTime64(6, 'UTC')),
    road LowCardinality(String),
    sender LowCardinality(String),
    historical Bool,
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (execution_key, run_id)
SETTINGS index_granularity = 1024
