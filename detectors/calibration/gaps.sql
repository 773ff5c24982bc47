-- How long closed executions stood still after each of their steps (empty: after their start), with nothing open, and how long
-- they went on after it: of the latest so many of each workflow. Beginnings and ends of attempts in order, the execution's own start and end around them.
SELECT
    namespace, engine, workflow, after_step AS step,
    count() AS n,
    groupArraySample({sample:UInt32}, 1)(gap_s) AS durations_s,
    ifNull(maxIf(gap_s, NOT historical), 0) AS longest_live_s,
    quantiles(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)(rest_s) AS rests_s,
    toFloat64(0) AS lateness_s,
    min(begin_at) AS first_at,
    max(begin_at) AS last_at,
    {is_recent:Bool} AS is_recent
FROM
(
    SELECT
        namespace, engine, workflow, historical, begin_at,
        max(end_at) OVER earlier AS busy_until,
        argMax(step, end_at) OVER earlier AS after_step,
        dateDiff('microsecond', busy_until, begin_at) / 1e6 AS gap_s,
        dateDiff('microsecond', busy_until, max(end_at) OVER (PARTITION BY execution_key, run_id)) / 1e6 AS rest_s,
        row_number() OVER (PARTITION BY execution_key, run_id ORDER BY begin_at, is_end, end_at) AS place
    FROM
    (
        SELECT execution_key, run_id, namespace, engine, workflow, step, historical, ifNull(ifNull(scheduled_at, started_at), assumeNotNull(waiting_at)) AS begin_at, assumeNotNull(ended_at) AS end_at, 0 AS is_end
        FROM attempt_fold FINAL
        WHERE folded >= {folded_from:UInt64} AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != ''
            AND (execution_key, run_id) IN
            (
                SELECT execution_key, run_id FROM execution_fold FINAL
                WHERE folded >= {folded_from:UInt64} AND (execution_key <= {upto_key:UInt64} OR (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one)))
                    AND status IN ('completed', 'failed') AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != ''
                ORDER BY ended_at DESC, execution_key, run_id
                LIMIT {executions:UInt32} BY namespace, engine, workflow
            )
        UNION ALL
        SELECT execution_key, run_id, namespace, engine, workflow, '' AS step, historical, edge.1 AS begin_at, edge.1 AS end_at, edge.2 AS is_end
        FROM
        (
            SELECT execution_key, run_id, namespace, engine, workflow, historical, [(started_at, -1), (assumeNotNull(ended_at), 1)] AS edges FROM execution_fold FINAL
            WHERE folded >= {folded_from:UInt64} AND (execution_key <= {upto_key:UInt64} OR (namespace, engine, workflow) IN (SELECT one.1, one.2, one.3 FROM (SELECT arrayJoin({rare:Array(Tuple(String, String, String))}) AS one)))
            AND status IN ('completed', 'failed') AND ended_at > {from:DateTime64(6, 'UTC')} AND ended_at <= {until:DateTime64(6, 'UTC')} AND workflow != ''
            ORDER BY ended_at DESC, execution_key, run_id
            LIMIT {executions:UInt32} BY namespace, engine, workflow
        )
        ARRAY JOIN edges AS edge
    )
    WINDOW earlier AS (PARTITION BY execution_key, run_id ORDER BY begin_at, is_end, end_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE place > 1 AND gap_s >= 0
GROUP BY namespace, engine, workflow, step
SETTINGS use_skip_indexes_if_final = 1
