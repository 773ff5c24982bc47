SELECT
    countIf(status = 'running') AS running, countIf(status = 'suspended') AS suspended, sumIf(open_steps, status = 'running') AS open_steps,
    countIf(status IN ('failed', 'timed_out') AND ended_at >= {since:DateTime64(6, 'UTC')}) AS failed,
    countIf(status = 'completed' AND ended_at >= {since:DateTime64(6, 'UTC')}) AS completed, count() AS known
FROM executions
