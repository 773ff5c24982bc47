-- Minutes in which closed attempts came, went or changed: what the statistics have to compute again.
CREATE TABLE dirty_window
(
    batch UInt64,                     -- the last batch that the fold took in
    minute DateTime('UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (batch, minute)
