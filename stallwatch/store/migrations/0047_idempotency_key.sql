-- Which executions used an idempotency key: the way from a key to its attempts, however long ago.
CREATE TABLE idempotency_key
(
    idempotency_key String,
    execution_key UInt64,
    used_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (idempotency_key, execution_key)
