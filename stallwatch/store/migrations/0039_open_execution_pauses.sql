-- As in execution_fold, in the same order.
ALTER TABLE open_execution
    ADD COLUMN paused_s Float64 AFTER waited_s,
    ADD COLUMN pauses Array(Tuple(since DateTime64(6, 'UTC'), seconds Float64)) AFTER paused_s,
    ADD COLUMN waiting_since Nullable(DateTime64(6, 'UTC')) AFTER pauses,
    ADD COLUMN retry_due_at Nullable(DateTime64(6, 'UTC')) AFTER waiting_since
