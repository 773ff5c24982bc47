INSERT INTO attempt_fold
SELECT *, 0
FROM fold_attempt
