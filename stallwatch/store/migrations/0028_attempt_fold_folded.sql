-- When the row was folded (a number that grows like those of batches): what is young is not among what was folded long ago.
ALTER TABLE attempt_fold
    ADD COLUMN folded UInt64,
    ADD INDEX folded_range folded TYPE minmax GRANULARITY 1
