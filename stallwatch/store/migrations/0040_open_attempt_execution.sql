-- What the attempt's execution does: it runs or is suspended, and was suspended for so long before.
ALTER TABLE open_attempt
    ADD COLUMN execution_status LowCardinality(String),
    ADD COLUMN execution_suspended_s Float64
