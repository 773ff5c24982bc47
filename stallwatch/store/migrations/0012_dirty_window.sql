-- Minutes in which closed attempts came, went or changed: what the statistics have to compute again.
CREATE TABLE dirty_window
(
    folded_at DateTime64(6, 'UTC'),
    minute DateTime('UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (folded_at, minute)
