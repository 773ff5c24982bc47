-- Running executions with the time that they spent waiting or suspended so far, the wait that is still on included, and in the
-- pauses that they declare between a failed attempt and the next. Only those come that may be overdue, where they are many the oldest;
-- `suspects` is how many these are of their workflow. With them come the children that explain why a parent takes long:
-- those whose trouble is told already, and those that have children themselves.
SELECT
    namespace, engine, workflow, workflow_version, execution_id, started_at, last_step, last_progress_at, open_steps, timeout_s, sender,
    parent_execution_id, waited_so_far_s AS waited_s, suspects
FROM
(
    SELECT
        *,
        countIf(is_suspect) OVER (PARTITION BY namespace, engine, workflow) AS suspects,
        row_number() OVER (PARTITION BY namespace, engine, workflow ORDER BY started_at, execution_id) AS nth,
        dateDiff('microsecond', started_at, {until:DateTime64(6, 'UTC')}) / 1e6 AS old_s,
        waited_s + paused_s
            + ifNull(dateDiff('microsecond', waiting_since, {until:DateTime64(6, 'UTC')}) / 1e6, 0)
            + arraySum(p -> least(dateDiff('microsecond', p.1, {until:DateTime64(6, 'UTC')}) / 1e6, p.2), pauses) AS waited_so_far_s,
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
ORDER BY started_at, execution_id
