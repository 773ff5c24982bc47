-- How much each workflow did lately. A row may be there several times, which makes it a little more.
SELECT namespace, engine, workflow, count() AS executions, sum(attempts) AS attempts
FROM execution_fold
WHERE folded >= {folded_from:UInt64} AND workflow != ''
GROUP BY namespace, engine, workflow
