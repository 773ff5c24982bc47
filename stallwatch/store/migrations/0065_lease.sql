-- Who judges and alerts on this store: the last word of each process that holds or held a role.
CREATE TABLE lease
(
    role LowCardinality(String),
    holder String, -- the same after a restart
    host String,
    pid UInt32,
    since DateTime64(6, 'UTC'),      -- from then on held without a pause
    renewed_at DateTime64(6, 'UTC'), -- by the server's clock, like since
    given_back Bool
)
ENGINE = ReplacingMergeTree(renewed_at)
ORDER BY (role, holder)
