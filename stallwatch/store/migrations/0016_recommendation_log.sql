CREATE TABLE recommendation_log
(
    week Date,
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    step LowCardinality(String),
    n UInt64,
    censored UInt64,
    p50_s Nullable(Float64),
    p95_s Nullable(Float64),
    p99_s Nullable(Float64),
    p999_s Nullable(Float64),
    p99_low_s Nullable(Float64),
    p99_high_s Nullable(Float64),
    current_timeout_s Nullable(Float64),
    recommended_timeout_s Nullable(Float64),
    guidance_timeout_s Nullable(Float64),
    buffer Nullable(Float64),
    verdict LowCardinality(String),
    healthy_cut Nullable(Float64),
    stuck_s_saved Nullable(Float64),
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (namespace, engine, workflow, step, week)
