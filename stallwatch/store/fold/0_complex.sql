CREATE TEMPORARY TABLE IF NOT EXISTS fold_complex
(
    step_key UInt64,
    is_mixed Bool -- several roads tell of it
)
ENGINE = Memory
