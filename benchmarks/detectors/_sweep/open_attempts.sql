-- One open attempt of as many executions, which take a day or two: they began within the last hours, some are late.
INSERT INTO open_attempt
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, step, attempt, status, started_at, last_heartbeat_at, waiting_at, retrying_at,
    waiting_on, timeout_s, heartbeat_timeout_s, max_attempts, backoff_s, queue, worker, downstream, road, starts, is_last_attempt, sender,
    first_received_at, last_event_at, version, folded, execution_status)
SELECT
    execution_key, namespace, engine, workflow, workflow_version, execution_id, concat('step-', toString(k)), 1, state, start_at,
    if(beats, {now:DateTime64(6, 'UTC')} - toIntervalSecond(1), NULL), if(state = 'waiting', start_at, NULL),
    if(state = 'backing_off', {now:DateTime64(6, 'UTC')} - toIntervalMillisecond(200), NULL),
    if(state = 'waiting', 'human', ''), if(e % 50 = 7, 1000000, NULL), if(beats, 30, NULL), 3, 0.5,
    concat('queue-', toString(e % 50)), concat('worker-', toString(e % {slow:UInt64}), '-', toString(sipHash64(e, k) % 5)), concat('service-', toString(sipHash64(e % {slow:UInt64}, k) % 40)), 'event',
    [(toString(sipHash64(e, k)), start_at, 'event', start_at + toIntervalMillisecond(50))], true, sender,
    start_at + toIntervalMillisecond(50), start_at, 5,
    toUInt64(toUnixTimestamp64Micro(if(beats OR state = 'backing_off', {now:DateTime64(6, 'UTC')} - toIntervalSecond(1), start_at))) + 1000000, 'running'
FROM
(
    SELECT
        number + {executions:UInt64} + {slow_executions:UInt64} AS e, 'default' AS namespace, 'custom' AS engine, concat('slow-', toString(e % {slow:UInt64})) AS workflow,
    '1' AS workflow_version, concat('run-', toString(e)) AS execution_id, sipHash64(namespace, engine, execution_id) AS execution_key,
    concat('sender-', toString(e % {senders:UInt64})) AS sender, intDiv(e, {slow:UInt64}) % {steps:UInt64} AS k,
        multiIf(e % 100 = 1, 'waiting', e % 100 = 2, 'backing_off', 'running') AS state, e % 20 = 3 AS beats,
        {now:DateTime64(6, 'UTC')} - toIntervalMillisecond(if(number % 1000 = 8 AND number < 1000 * {late:UInt64}, 1500000000, sipHash64(e, k) % 72000000)) AS start_at
    FROM numbers({open:UInt64})
)
