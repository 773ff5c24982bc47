INSERT INTO attempt_fold
SELECT *, 0, {mark:UInt64}
FROM fold_attempt
