CREATE TEMPORARY TABLE IF NOT EXISTS fold_call
(
    span_key UInt64,    -- of step and span
    step_run_id String, -- the call that it is known to be
    is_replay Bool      -- it is none
)
ENGINE = Memory
