INSERT INTO attempt_fold
SELECT * EXCEPT (execution_status, execution_suspended_s, pause_s), 0, {mark:UInt64}
FROM fold_attempt
