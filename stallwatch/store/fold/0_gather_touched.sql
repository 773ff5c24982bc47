-- The executions that batches in (after, upto] touched; which of them were folded before, which began after {floor}, and which
-- need not be looked for beyond these batches, nor their events be told apart.
INSERT INTO fold_touched
WITH touched AS
    (
        SELECT DISTINCT execution_key
        FROM touched_execution
        WHERE batch > {after:UInt64} AND batch <= {upto:UInt64} AND execution_key % {parts:UInt64} = {part:UInt64}
    )
SELECT
    execution_key, known.folds > 0, known.known_version,
    if(known.folds > 0, least(known.first_batch, {after:UInt64}), {after:UInt64}) > {floor:UInt64},
    known.folds = 0 AND came.is_plain
FROM touched
LEFT ANY JOIN
(
    SELECT execution_key AS known_key, count() AS folds, max(version) AS known_version, min(first_batch) AS first_batch
    FROM execution_fold
    WHERE execution_key IN (SELECT execution_key FROM touched)
    GROUP BY execution_key
) AS known ON execution_key = known.known_key
LEFT ANY JOIN
(
    SELECT
        execution_key AS came_key,
        NOT max(is_replay) AND (min(run_id) != '' OR max(run_id) = '') AS is_plain
    FROM step_event_log
    WHERE batch > {after:UInt64} AND execution_key IN (SELECT execution_key FROM touched)
    GROUP BY execution_key
) AS came ON execution_key = came.came_key
