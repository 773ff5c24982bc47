-- When the row was folded, as attempt_fold has it: what closed lately is not among what was folded long ago.
ALTER TABLE execution_fold
    ADD COLUMN folded UInt64,
    ADD INDEX folded_range folded TYPE minmax GRANULARITY 1
