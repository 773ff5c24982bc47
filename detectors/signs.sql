-- By sign the newest `folded` (µs) of the rows that bear it, among what was folded since a time: what detectors look for bears a sign,
-- which is cheaper to look for than what it means. `n`: how many rows were looked at; more than {most} are not.
SELECT
    count() AS n,
    map(
        'failed', maxIf(folded, status IN ('failed', 'timed_out', 'backing_off')),
        'given_up', maxIf(folded, status IN ('failed', 'timed_out') AND is_last_attempt),
        'timed_out', maxIf(folded, status = 'timed_out'),
        'retried', maxIf(folded, attempt > 1),
        'again', maxIf(folded, attempt > 1 OR length(starts) > 1 OR idempotency_key != ''),
        'branched', maxIf(folded, branch != '')) AS newest
FROM
(
    SELECT folded, status, is_last_attempt, attempt, starts, idempotency_key, branch
    FROM recent_attempt
    WHERE folded >= {looked_from:UInt64}
    LIMIT {most:UInt32}
)
UNION ALL
SELECT
    count() AS n,
    map(
        'execution_failed', maxIf(folded, status IN ('failed', 'timed_out')),
        'gap', maxIf(folded, sequence_max >= 0 AND sequences <= toUInt64(sequence_max))) AS newest
FROM
(
    SELECT folded, status, sequence_max, sequences
    FROM recent_execution
    WHERE folded >= {looked_from:UInt64}
    LIMIT {most:UInt32}
)
UNION ALL
-- An open branch may have been folded long ago.
SELECT 0 AS n, map('branched', toUInt64(-1)) AS newest
FROM (SELECT 1 FROM open_attempt WHERE branch != '' LIMIT 1)
