CREATE TEMPORARY TABLE IF NOT EXISTS fold_complex (step_key UInt64) ENGINE = Memory
