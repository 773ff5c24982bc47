INSERT INTO open_attempt
SELECT *
FROM attempt_fold FINAL
WHERE status IN ('scheduled', 'running', 'waiting', 'backing_off')
