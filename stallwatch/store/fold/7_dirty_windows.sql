-- Minutes whose closed attempts differ between the fold as it stands and the fold as it will be.
INSERT INTO dirty_window
SELECT DISTINCT {mark:UInt64}, toStartOfMinute(assumeNotNull(end_time)), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT end_time
    FROM
    (
        SELECT execution_key, run_id, step, branch, step_run_id, attempt, status, started_at, scheduled_at, ended_at AS end_time, workflow, workflow_version, queue
        FROM fold_before
        UNION ALL
        SELECT execution_key, run_id, step, branch, step_run_id, attempt, status, started_at, scheduled_at, ended_at AS end_time, workflow, workflow_version, queue
        FROM fold_attempt
    )
    WHERE end_time IS NOT NULL
    GROUP BY execution_key, run_id, step, branch, step_run_id, attempt, status, started_at, scheduled_at, end_time, workflow, workflow_version, queue
    HAVING count() = 1
)
