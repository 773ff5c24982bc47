CREATE TEMPORARY TABLE IF NOT EXISTS fold_number
(
    event_key UInt64,
    place UInt64,
    call_id String,
    call_number UInt64,
    number UInt32
)
ENGINE = Memory
