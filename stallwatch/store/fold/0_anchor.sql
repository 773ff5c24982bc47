CREATE TEMPORARY TABLE IF NOT EXISTS fold_anchor
(
    event_key UInt64, -- the start of a span
    attempt UInt32    -- which it is known to be
)
ENGINE = Memory
