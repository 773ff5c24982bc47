CREATE TEMPORARY TABLE IF NOT EXISTS fold_touched
(
    execution_key UInt64,
    is_known Bool, -- it was folded before
    is_young Bool  -- nothing of it was received before {floor}
)
ENGINE = Memory
