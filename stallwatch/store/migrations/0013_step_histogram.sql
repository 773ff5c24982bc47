-- Log-histograms of closed attempts per window: bin b = floor(32 * log2(max(seconds, 1 ms))), 2.2 % wide.
-- A window is computed again and replaced when its attempts change (version), so nothing counts twice.
CREATE TABLE step_histogram
(
    window_s UInt32,                  -- 60, 3600 or 86400
    window_start DateTime('UTC'),
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    workflow_version LowCardinality(String),
    step LowCardinality(String),
    queue LowCardinality(String),
    completed UInt64,
    failed UInt64,
    timed_out UInt64,
    cancelled UInt64,
    retried UInt64,                   -- attempts beyond the first of their step run
    completed_bins Map(Int16, UInt64),
    failed_bins Map(Int16, UInt64),
    censored_bins Map(Int16, UInt64), -- timed out or cancelled, at the age they had
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY window_s
ORDER BY (window_s, namespace, engine, workflow, step, workflow_version, queue, window_start)
