-- How much each workflow did lately, and in the last week of it. A row may be there several times, which makes it a little more.
SELECT
    namespace, engine, workflow, count() AS executions,
    countIf(is_recent) AS recent_executions,
    sumIf(attempts, is_recent) AS recent_attempts
FROM
(
    SELECT namespace, engine, workflow, attempts, ended_at IS NULL OR ended_at > {recent:DateTime64(6, 'UTC')} AS is_recent
    FROM execution_fold
    WHERE folded >= {folded_from:UInt64} AND workflow != ''
)
GROUP BY namespace, engine, workflow
