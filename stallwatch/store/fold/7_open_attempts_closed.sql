-- On a server another process may be folding the same execution, having seen less: what it still finds open comes later, but is of a
-- lower version than this.
INSERT INTO open_attempt (execution_key, run_id, step, branch, step_run_id, attempt, version, is_deleted, folded)
SELECT execution_key, run_id, step, branch, step_run_id, attempt, version, 1, {mark:UInt64}
FROM fold_attempt
WHERE status NOT IN ('scheduled', 'running', 'waiting', 'backing_off')
