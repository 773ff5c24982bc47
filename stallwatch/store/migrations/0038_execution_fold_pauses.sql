-- Of executions that run, what detectors would otherwise have to ask all their attempts for.
ALTER TABLE execution_fold
    ADD COLUMN paused_s Float64 AFTER waited_s, -- in declared pauses between attempts that were over when it last progressed
    ADD COLUMN pauses Array(Tuple(since DateTime64(6, 'UTC'), seconds Float64)) AFTER paused_s, -- those that were not
    ADD COLUMN waiting_since Nullable(DateTime64(6, 'UTC')) AFTER pauses, -- the oldest wait that is on
    ADD COLUMN retry_due_at Nullable(DateTime64(6, 'UTC')) AFTER waiting_since -- when the declared pause behind the last failure ends
