-- The attempts that are open now. What was open and is not leaves a deleted row: written before the fold forgets that it was.
INSERT INTO open_attempt
SELECT * EXCEPT (execution_status, execution_suspended_s, pause_s), 0, {mark:UInt64}, execution_status, execution_suspended_s
FROM fold_attempt
WHERE status IN ('scheduled', 'running', 'waiting', 'backing_off')
