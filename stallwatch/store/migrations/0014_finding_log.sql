-- Every transition of every finding, copied from the brain's own state: (fingerprint, number) is one transition.
CREATE TABLE finding_log
(
    fingerprint String,
    number UInt32,
    detector LowCardinality(String),
    severity LowCardinality(String),
    status LowCardinality(String),
    namespace LowCardinality(String),
    engine LowCardinality(String),
    workflow LowCardinality(String),
    step LowCardinality(String),
    executions Array(String),
    count UInt64,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    title String,
    explanation String,
    evidence String,                  -- JSON
    next_steps Array(String),
    written_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (fingerprint, number)
