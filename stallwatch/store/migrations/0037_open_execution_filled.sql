INSERT INTO open_execution
SELECT *
FROM execution_fold FINAL
WHERE status IN ('running', 'suspended')
