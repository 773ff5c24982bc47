-- Attempts of a day or two, one in each execution, that closed in the last days: what the open ones are compared with.
INSERT INTO attempt_fold
    (execution_key, namespace, engine, workflow, workflow_version, execution_id, step, attempt, status, started_at, ended_at,
    queue, worker, downstream, road, starts, is_last_attempt, closed_by, sender, max_attempts, backoff_s,
    first_received_at, ended_received_at, last_event_at, version, folded)
SELECT
    sipHash64(namespace, engine, execution_id), namespace, engine, workflow, '1', execution_id, concat('step-', toString(k)), 1,
    'completed', start_at, end_at,
    concat('queue-', toString(e % 50)), concat('worker-', toString(e % {slow:UInt64}), '-', toString(sipHash64(e, k) % 5)), concat('service-', toString(sipHash64(e % {slow:UInt64}, k) % 40)), 'event',
    [(toString(sipHash64(e, k)), start_at, 'event', start_at + toIntervalMillisecond(50))], true, 'event', concat('sender-', toString(e % {senders:UInt64})), 3, 0.5,
    start_at + toIntervalMillisecond(50), end_at + toIntervalMillisecond(50), end_at, 20, toUInt64(toUnixTimestamp64Micro(end_at)) + 1000000
FROM
(
    SELECT
        number + {executions:UInt64} AS e, 'default' AS namespace, 'custom' AS engine, concat('slow-', toString(e % {slow:UInt64})) AS workflow, concat('run-', toString(e)) AS execution_id,
        intDiv(e, {slow:UInt64}) % {steps:UInt64} AS k,
        {now:DateTime64(6, 'UTC')} - toIntervalMillisecond(2000 + sipHash64(e) % 500000000) AS end_at,
        end_at - toIntervalMillisecond(toUInt64(86400000 * (1 + sipHash64(e, k) % 1000 / 1000))) AS start_at
    FROM numbers({slow_executions:UInt64})
)
