CREATE TEMPORARY TABLE IF NOT EXISTS fold_number
(
    event_key UInt64,
    place UInt64,      -- the most trusted road last
    span_place UInt64, -- spans last
    call_id String,
    call_number UInt64,
    number UInt32,
    is_outranked Bool  -- a more trusted road tells the same of this attempt: that it was scheduled, started or ended
)
ENGINE = Memory
