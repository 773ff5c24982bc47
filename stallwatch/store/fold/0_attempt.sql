CREATE TEMPORARY TABLE IF NOT EXISTS fold_attempt ENGINE = Memory AS
SELECT
    * EXCEPT (is_deleted, folded), toLowCardinality('') AS execution_status, toFloat64(0) AS execution_suspended_s,
    toFloat64(0) AS pause_s -- declared between this failure and the next attempt
FROM attempt_fold
WHERE false
