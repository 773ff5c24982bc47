-- What became of attempts that were called.
SELECT namespace, engine, workflow, step, execution_id, status, ended_at, timeout_s,
    ifNull(ifNull(started_at, scheduled_at), waiting_at) AS begun_at
FROM attempt_fold FINAL
WHERE execution_id IN {executions:Array(String)} AND step IN {steps:Array(String)}
ORDER BY begun_at
