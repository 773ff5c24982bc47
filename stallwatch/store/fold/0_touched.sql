CREATE TEMPORARY TABLE IF NOT EXISTS fold_touched (execution_key UInt64) ENGINE = Memory
