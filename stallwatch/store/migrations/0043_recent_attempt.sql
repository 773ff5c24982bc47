-- The attempts that were folded in the last hours, as attempt_fold has them: what detectors ask for what happened lately. In
-- attempt_fold a merge strews these rows among all that is older. Hours that no one asks for any more are dropped whole.
CREATE TABLE recent_attempt AS attempt_fold
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY intDiv(folded, 3600000000)
ORDER BY (execution_key, run_id, step, branch, step_run_id, attempt)
SETTINGS index_granularity = 1024
