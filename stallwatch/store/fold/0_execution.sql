CREATE TEMPORARY TABLE IF NOT EXISTS fold_execution ENGINE = Memory AS
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, run_id, parent_execution_id, status, started_at,
    ended_at, suspended_at, suspended_s, CAST([], 'Array(Tuple(Int64, Int64))') AS suspended_spans, last_progress_at, last_step, timeout_s, error_type, error_message, trace_id,
    sequence_max, sequences, sequence_received_at, toUInt64(0) AS run_key, false AS all_sequenced, last_received_at, ended_received_at, road, sender,
    historical, version, first_batch
FROM execution_fold
WHERE false
