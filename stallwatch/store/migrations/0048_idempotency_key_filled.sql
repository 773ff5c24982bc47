INSERT INTO idempotency_key
SELECT idempotency_key, execution_key, first_received_at
FROM attempt_fold
WHERE idempotency_key != ''
