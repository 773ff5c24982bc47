CREATE TABLE incident_log
(
    id String,
    cause String,
    severity LowCardinality(String),
    findings Array(String),           -- fingerprints
    executions UInt64,
    opened_at DateTime64(6, 'UTC'),
    closed_at Nullable(DateTime64(6, 'UTC')),
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY id
