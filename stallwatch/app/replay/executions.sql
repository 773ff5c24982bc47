-- What became of executions that were called.
SELECT namespace, engine, workflow, '' AS step, execution_id, status, ended_at, timeout_s, started_at AS begun_at
FROM execution_fold FINAL
WHERE execution_id IN {executions:Array(String)}
ORDER BY begun_at
