-- Attempts of executions begin..end, number e of them: each workflow at its own pace, long ones rare.
INSERT INTO attempt_fold
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, step, attempt, status, started_at, ended_at,
    queue, worker, downstream, error_type, error_message, road, starts, is_last_attempt, closed_by, sender, max_attempts, backoff_s,
    first_received_at, ended_received_at, last_event_at, version, folded)
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, concat('step-', toString(k)), attempt,
    if(failed, 'failed', 'completed'), start_at, end_at, concat('queue-', toString(e % 50)), concat('worker-', toString(e % {workflows:UInt64}), '-', toString(sipHash64(e, k) % 5)),
    concat('service-', toString(sipHash64(e % {workflows:UInt64}, k) % 40)), if(failed, 'Unavailable', ''), if(failed, 'no answer', ''), 'event',
    [(toString(sipHash64(e, k, attempt)), start_at, 'event', start_at + toIntervalMillisecond(50))],
    NOT failed, 'event', sender, 3, 0.5,
    start_at + toIntervalMillisecond(50), end_at + toIntervalMillisecond(50), end_at, 20, toUInt64(toUnixTimestamp64Micro(began_at + toIntervalSecond({steps:UInt64} * {apart_s:UInt64}))) + 2000000
FROM
(
    SELECT
        number AS e, 'default' AS namespace, 'custom' AS engine, concat('workflow-', toString(e % {workflows:UInt64})) AS workflow,
    '1' AS workflow_version, concat('run-', toString(e)) AS execution_id, sipHash64(namespace, engine, execution_id) AS execution_key,
    concat('sender-', toString(e % {senders:UInt64})) AS sender, toDateTime64({first:DateTime64(6, 'UTC')} + toIntervalMicrosecond(toInt64(e * ({span_us:UInt64} / {executions:UInt64}))), 6, 'UTC') AS began_at,
        arrayJoin(range({steps:UInt64})) AS k,
        arrayJoin(if((e + k) % {retried:UInt64} = 0, [1, 2], [1])) AS attempt,
        attempt = 1 AND (e + k) % {retried:UInt64} = 0 AS failed,
        began_at + toIntervalMillisecond(k * {apart_s:UInt64} * 1000 + if(attempt = 2, 800, 0)) AS start_at,
        start_at + toIntervalMicrosecond(if(failed, 300000, toUInt64(1e6 * (0.2 + (e % {workflows:UInt64}) / 100) * exp(0.8 * (sipHash64(e, k) % 2000 / 1000 - 1))))) AS end_at
    FROM numbers({begin:UInt64}, {end:UInt64} - {begin:UInt64})
)
