CREATE TEMPORARY TABLE IF NOT EXISTS fold_touched
(
    execution_key UInt64,
    is_known Bool, -- it was folded before
    known_version UInt64, -- then so many events of it were there
    is_young Bool, -- nothing of it was received before {floor}
    is_plain Bool  -- all its events came now, none of them is a replay, and all or none name their run
)
ENGINE = Memory
