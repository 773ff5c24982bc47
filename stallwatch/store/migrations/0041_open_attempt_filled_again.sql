INSERT INTO open_attempt
SELECT a.*, x.status, x.suspended_s
FROM attempt_fold AS a FINAL
LEFT JOIN (SELECT execution_key, run_id, status, suspended_s FROM execution_fold FINAL WHERE status IN ('running', 'suspended')) AS x
    ON a.execution_key = x.execution_key AND a.run_id = x.run_id
WHERE a.status IN ('scheduled', 'running', 'waiting', 'backing_off')
