-- What earlier folds did not keep of waits and pauses is asked of their attempts, once.
INSERT INTO open_execution
SELECT x.* REPLACE (p.pauses AS pauses, p.waiting_since AS waiting_since, p.retry_due_at AS retry_due_at)
FROM execution_fold AS x FINAL
LEFT JOIN
(
    SELECT
        execution_key, run_id,
        groupArrayIf((assumeNotNull(failed_at), pause_s), pause_s > 0) AS pauses,
        minOrNullIf(waiting_at, status = 'waiting') AS waiting_since,
        maxOrNullIf(failed_at + toIntervalMicrosecond(toInt64(1e6 * pause_s)), pause_s > 0 AND is_last_attempt AND status != 'backing_off') AS retry_due_at
    FROM
    (
        SELECT
            execution_key, run_id, status, waiting_at, is_last_attempt, ifNull(ended_at, retrying_at) AS failed_at,
            max(backoff_s) OVER call AS first_s, max(backoff_rate) OVER call AS rate, max(backoff_max_s) OVER call AS most_s, max(max_attempts) OVER call AS most,
            if(status != 'waiting' AND failed_at IS NOT NULL AND first_s > 0 AND (ifNull(most, 0) = 0 OR attempt < most),
                least(assumeNotNull(first_s) * pow(ifNull(rate, 1), least(attempt - 1, 64)), ifNull(most_s, 1e9), 1e9), 0) AS pause_s
        FROM attempt_fold FINAL
        WHERE status IN ('waiting', 'failed', 'timed_out', 'backing_off')
            AND execution_key IN (SELECT execution_key FROM execution_fold FINAL WHERE status IN ('running', 'suspended'))
        WINDOW call AS (PARTITION BY execution_key, run_id, step, branch, step_run_id)
    )
    GROUP BY execution_key, run_id
) AS p ON x.execution_key = p.execution_key AND x.run_id = p.run_id
WHERE x.status IN ('running', 'suspended')
