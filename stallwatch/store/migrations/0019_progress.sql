-- How far the folds and statistics have come; one row per name, the highest value counts.
CREATE TABLE progress
(
    name String,
    value UInt64
)
ENGINE = ReplacingMergeTree(value)
ORDER BY name
