-- As recent_attempt.
CREATE TABLE recent_execution AS execution_fold
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY intDiv(folded, 3600000000)
ORDER BY (execution_key, run_id)
SETTINGS index_granularity = 1024
