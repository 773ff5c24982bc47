-- What workflows' definitions declare of their steps (empty step: of the workflow), by where it was read; declared again, the newest counts.
CREATE TABLE definition_log
(
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    step LowCardinality(String),
    kind LowCardinality(String),
    source LowCardinality(String),    -- configuration, asl, hostjson, server
    timeout_s Nullable(Float64),
    heartbeat_timeout_s Nullable(Float64),
    schedule_to_start_timeout_s Nullable(Float64),
    schedule_to_close_timeout_s Nullable(Float64),
    max_attempts Nullable(UInt32),    -- 0: without end
    backoff_s Nullable(Float64),
    backoff_rate Nullable(Float64),
    backoff_max_s Nullable(Float64),
    jitter Nullable(Bool),
    retries Array(String),
    catches Array(String),
    caught_by Array(String),
    compensated_by String,
    inside String,
    waiting_on LowCardinality(String),
    downstream LowCardinality(String),
    region LowCardinality(String),
    next Array(String),
    attributes Map(String, String),
    declared_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(declared_at)
ORDER BY (namespace, engine, workflow, workflow_version, step, source)
