INSERT INTO recent_attempt
SELECT *
FROM attempt_fold
WHERE folded > (SELECT max(folded) FROM attempt_fold) - 93600000000
