-- The keys that a fold writes with attempts.
CREATE MATERIALIZED VIEW idempotency_key_view TO idempotency_key AS
SELECT idempotency_key, execution_key, first_received_at AS used_at
FROM attempt_fold
WHERE idempotency_key != ''
