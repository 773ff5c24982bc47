-- Open attempts of running executions that may be old enough to be late. Waits are not judged. A start that spans
-- cannot show (they come when the step is over) counts from its scheduling. Only those come that are older than the least limit
-- which may hold for them, where they are many the oldest of each step; `suspects` is how many these are at their step.
-- Temporal's workflow task is no step of anybody's: where it hangs, `stalled_execution` and `never_started` say why.
WITH
    arrayMap(p -> cityHash64(p.1, p.2, p.3, p.4), {places:Array(Tuple(String, String, String, String))}) AS known_places,
    suspects AS
    (
        -- The same before rows are deduplicated, from few columns: of what is open hardly anything is late.
        SELECT
            execution_key,
            ifNull(started_at, scheduled_at) AS begun_at,
            cityHash64(namespace, engine, workflow, step) AS place,
            dateDiff('microsecond', least(begun_at, scheduled_at), {until:DateTime64(6, 'UTC')}) / 1e6 AS open_s,
            multiIf(
                status = 'backing_off', dateDiff('microsecond', retrying_at, {until:DateTime64(6, 'UTC')}) / 1e6,
                last_heartbeat_at >= begun_at, dateDiff('microsecond', last_heartbeat_at, {until:DateTime64(6, 'UTC')}) / 1e6,
                dateDiff('microsecond', begun_at, {until:DateTime64(6, 'UTC')}) / 1e6 - execution_suspended_s - waited_s) AS silent_s
        FROM open_attempt
        WHERE begun_at < {until:DateTime64(6, 'UTC')} - toIntervalMillisecond({youngest_ms:UInt64})
            AND (silent_s > transform(place, known_places, {silence_s:Array(Float64)}, 1e15)
                OR open_s > transform(place, known_places, {age_s:Array(Float64)}, 1e15)
                OR open_s > least(timeout_s, schedule_to_close_timeout_s)
                OR silent_s > heartbeat_timeout_s)
    )
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.workflow_version AS workflow_version,
    a.execution_id AS execution_id, a.step AS step, a.attempt AS attempt, a.status AS status, a.sender AS sender,
    a.queue AS queue, a.worker AS worker, a.downstream AS downstream, a.region AS region,
    begun_at, a.scheduled_at AS scheduled_at, a.last_heartbeat_at AS last_heartbeat_at, a.retrying_at AS retrying_at, a.waited_s AS waited_s, suspended_s,
    a.timeout_s AS timeout_s, a.heartbeat_timeout_s AS heartbeat_timeout_s, a.schedule_to_close_timeout_s AS schedule_to_close_timeout_s,
    a.backoff_s AS backoff_s, a.backoff_rate AS backoff_rate, a.backoff_max_s AS backoff_max_s,
    c.child_started_at AS child_started_at, suspects
FROM
(
    SELECT
        *,
        count() OVER (PARTITION BY namespace, engine, workflow, step) AS suspects,
        row_number() OVER (PARTITION BY namespace, engine, workflow, step ORDER BY begun_at, execution_id) AS nth,
        execution_suspended_s AS suspended_s,
        ifNull(started_at, scheduled_at) AS begun_at,
        dateDiff('microsecond', begun_at, {until:DateTime64(6, 'UTC')}) / 1e6 - suspended_s AS old_s,
        multiIf(
            status = 'backing_off', dateDiff('microsecond', retrying_at, {until:DateTime64(6, 'UTC')}) / 1e6,
            last_heartbeat_at >= begun_at, dateDiff('microsecond', last_heartbeat_at, {until:DateTime64(6, 'UTC')}) / 1e6,
            old_s - waited_s) AS silent_s,
        dateDiff('microsecond', least(begun_at, scheduled_at), {until:DateTime64(6, 'UTC')}) / 1e6 AS open_s,
        cityHash64(namespace, engine, workflow, step) AS place
    FROM open_attempt FINAL
    WHERE execution_key IN (SELECT execution_key FROM suspects)
        AND (status IN ('running', 'backing_off') OR (status = 'scheduled' AND road = 'span'))
        AND execution_status = 'running'
        AND is_last_attempt
        AND NOT historical
        AND workflow != ''
        AND NOT (engine = 'temporal' AND step = 'workflow task')
        AND begun_at < {until:DateTime64(6, 'UTC')} - toIntervalMillisecond({youngest_ms:UInt64})
        AND (silent_s > transform(place, known_places, {silence_s:Array(Float64)}, 1e15)
            OR open_s > transform(place, known_places, {age_s:Array(Float64)}, 1e15)
            OR open_s > least(timeout_s, schedule_to_close_timeout_s)
            OR silent_s > heartbeat_timeout_s)
    QUALIFY nth <= {rows_per_place:UInt32}
    ORDER BY nth
    LIMIT {rows_max:UInt32}
) AS a
LEFT JOIN
(
    SELECT namespace, parent_execution_id, toNullable(max(started_at)) AS child_started_at
    FROM open_execution FINAL
    WHERE parent_execution_id != ''
    GROUP BY namespace, parent_execution_id
) AS c ON c.namespace = a.namespace AND c.parent_execution_id = a.execution_id
ORDER BY begun_at, execution_id
