-- The executions of these attempts.
INSERT INTO execution_fold
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, status, started_at, ended_at, last_progress_at,
    last_step, attempts, error_type, sequence_max, sequences, last_received_at, ended_received_at, road, sender, version, folded)
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, if(failed, 'failed', 'completed'), began_at, end_at, end_at, 'step-9',
    10, if(failed, 'Declined', ''), 21, 22, end_at + toIntervalMillisecond(50), end_at + toIntervalMillisecond(50), 'event', sender, 20, toUInt64(toUnixTimestamp64Micro(began_at + toIntervalSecond({steps:UInt64} * {apart_s:UInt64}))) + 2000000
FROM (SELECT number AS e, 'default' AS namespace, 'custom' AS engine, concat('workflow-', toString(e % {workflows:UInt64})) AS workflow,
    '1' AS workflow_version, concat('run-', toString(e)) AS execution_id, sipHash64(namespace, engine, execution_id) AS execution_key,
    concat('sender-', toString(e % {senders:UInt64})) AS sender, toDateTime64({first:DateTime64(6, 'UTC')} + toIntervalMicrosecond(toInt64(e * ({span_us:UInt64} / {executions:UInt64}))), 6, 'UTC') AS began_at, began_at + toIntervalSecond({steps:UInt64} * {apart_s:UInt64}) AS end_at, e % 211 = 0 AS failed FROM numbers({begin:UInt64}, {end:UInt64} - {begin:UInt64}))
