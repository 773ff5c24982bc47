INSERT INTO recent_execution
SELECT *
FROM execution_fold
WHERE folded > (SELECT max(folded) FROM execution_fold) - 93600000000
