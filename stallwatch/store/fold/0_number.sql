CREATE TEMPORARY TABLE IF NOT EXISTS fold_number
(
    execution_key UInt64,
    event_id String,
    position Int64,
    rank UInt8,
    call_id String,
    call_number UInt64,
    number UInt32
)
ENGINE = Memory
