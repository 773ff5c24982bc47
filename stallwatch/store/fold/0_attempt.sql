CREATE TEMPORARY TABLE IF NOT EXISTS fold_attempt ENGINE = Memory AS
SELECT * EXCEPT (is_deleted, folded)
FROM attempt_fold
WHERE false
