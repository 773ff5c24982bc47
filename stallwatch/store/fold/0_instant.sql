CREATE TEMPORARY TABLE IF NOT EXISTS fold_instant
(
    event_key UInt64,
    step_key UInt64,
    trust UInt8,
    kind String,
    said_step_run_id String,
    attempt Int64, -- 0: not said
    opens Bool,
    is_end Bool,
    may_be_next_call Bool,
    nth UInt64,    -- of the step's events
    place UInt64   -- the same order for what is gathered: by time, too
)
ENGINE = Memory
