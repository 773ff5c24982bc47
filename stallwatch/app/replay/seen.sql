-- How many attempts each step had in the replayed time.
SELECT namespace, engine, workflow, step, workflow_version, count() AS n, countIf(timeout_s > 0) AS declared
FROM attempt_fold FINAL
WHERE started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')} AND workflow != '' AND waiting_on = ''
GROUP BY namespace, engine, workflow, step, workflow_version
