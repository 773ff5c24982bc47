-- What was folded in the last 26 hours.
INSERT INTO recent_attempt
SELECT *
FROM attempt_fold
WHERE folded > toUInt64(toUnixTimestamp64Micro({now:DateTime64(6, 'UTC')})) - 93600000000
