-- Running executions with the time that they spent waiting or suspended so far, the wait that is still on included, and in the
-- pauses that they declare between a failed attempt and the next. Only those come that may be overdue, where they are many the oldest;
-- `suspects` is how many these are of their workflow. With them come the children that explain why a parent takes long:
-- those whose trouble is told already, and those that have children themselves. `taken_s`: where policies or definitions name steps that
-- wait though nothing labels them (`names_waits`), how long each step took so far; of calls at the same time no longer than from the first's start.
WITH {until:DateTime64(6, 'UTC')} AS until, late AS
(
    SELECT
        *,
        countIf(is_suspect) OVER (PARTITION BY namespace, engine, workflow) AS suspects,
        row_number() OVER (PARTITION BY namespace, engine, workflow ORDER BY started_at, execution_id) AS nth,
        dateDiff('microsecond', started_at, {until:DateTime64(6, 'UTC')}) / 1e6 AS old_s,
        arrayConcat(
            if(waiting_since IS NULL, [], [(least(assumeNotNull(waiting_since), until), until)]),
            arrayMap(p -> (least(p.1, until), least(p.1 + toIntervalMicrosecond(toInt64(1e6 * p.2)), until)), pauses)) AS idle,
        arrayMap(span -> (toUnixTimestamp64Micro(span.1), toUnixTimestamp64Micro(span.2)), idle) AS idle_spans,
        waited_s + paused_s + arrayReduce('intervalLengthSum', idle_spans.1, idle_spans.2) / 1e6 AS waited_so_far_s,
        cityHash64(namespace, engine, workflow, '') AS place,
        arrayMap(p -> cityHash64(p.1, p.2, p.3, p.4), {places:Array(Tuple(String, String, String, String))}) AS known_places,
        old_s - waited_so_far_s > transform(place, known_places, {limits_s:Array(Float64)}, {otherwise_s:Float64})
            OR old_s > ifNull(timeout_s, 1e15)
            OR old_s > transform(place, known_places, {age_s:Array(Float64)}, 1e15) AS is_suspect
    FROM open_execution FINAL
    WHERE status = 'running'
        AND NOT historical
        AND workflow != ''
        AND started_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond(1)
        AND (is_suspect
            OR (parent_execution_id != ''
                AND (execution_id IN {troubled:Array(String)}
                    OR (namespace, execution_id) IN (SELECT namespace, parent_execution_id FROM open_execution FINAL WHERE parent_execution_id != ''))))
    QUALIFY nth <= {rows_per_place:UInt32}
    ORDER BY nth
    LIMIT {rows_max:UInt32}
)
SELECT
    l.namespace AS namespace, l.engine AS engine, l.workflow AS workflow, l.workflow_version AS workflow_version, l.execution_id AS execution_id,
    l.started_at AS started_at, l.last_step AS last_step, l.last_progress_at AS last_progress_at, l.open_steps AS open_steps,
    l.timeout_s AS timeout_s, l.sender AS sender, l.parent_execution_id AS parent_execution_id, l.waited_so_far_s AS waited_s, l.suspects AS suspects,
    a.taken_s AS taken_s
FROM late AS l
LEFT JOIN
(
    SELECT execution_key, run_id, mapFromArrays(groupArray(step), groupArray(least(taken_s, span_s))) AS taken_s
    FROM
    (
        SELECT
            execution_key, run_id, toString(step) AS step,
            sum(dateDiff('microsecond', started_at, least(ifNull(ended_at, until), until)) / 1e6) AS taken_s,
            dateDiff('microsecond', min(started_at), max(least(ifNull(ended_at, until), until))) / 1e6 AS span_s
        FROM attempt_fold FINAL
        WHERE {names_waits:Bool} AND execution_key IN (SELECT execution_key FROM late) AND waiting_on = '' AND started_at <= until
        GROUP BY execution_key, run_id, step
    )
    GROUP BY execution_key, run_id
) AS a ON a.execution_key = l.execution_key AND a.run_id = l.run_id
ORDER BY started_at, execution_id
