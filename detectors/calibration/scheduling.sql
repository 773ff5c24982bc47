-- How long executions that closed in the trailing day stood still between the end of a step and the scheduling of the next one, by the step
-- that had ended: when (seconds since 1970) and how long. A retry is no next step, and while anything is open nothing stands still.
SELECT
    namespace, engine, workflow, after_step AS step,
    groupArraySample({sample:UInt32}, 1)((toUnixTimestamp64Micro(begin_at) / 1e6, gap_s)) AS gaps
FROM
(
    SELECT
        namespace, engine, workflow, begin_at, attempt,
        max(end_at) OVER earlier AS idle_from,
        argMax(step, end_at) OVER earlier AS after_step,
        dateDiff('microsecond', idle_from, begin_at) / 1e6 AS gap_s,
        row_number() OVER (PARTITION BY execution_key, run_id ORDER BY begin_at, end_at) AS place
    FROM
    (
        SELECT
            execution_key, run_id, namespace, engine, workflow, step, attempt,
            ifNull(scheduled_at, ifNull(started_at, assumeNotNull(waiting_at))) AS begin_at,
            assumeNotNull(ended_at) AS end_at
        FROM attempt_fold FINAL
        WHERE (execution_key, run_id) IN
            (
                SELECT execution_key, run_id
                FROM execution_fold FINAL
                WHERE folded >= {folded_from:UInt64}
                    AND ended_at > {from:DateTime64(6, 'UTC')}
                    AND ended_at <= {until:DateTime64(6, 'UTC')}
                    AND suspended_s = 0
                    AND workflow != ''
                ORDER BY execution_key
                LIMIT {executions:UInt32} BY namespace, engine, workflow
                SETTINGS use_skip_indexes_if_final = 1
            )
            AND ended_at IS NOT NULL
    )
    WINDOW earlier AS (PARTITION BY execution_key, run_id ORDER BY begin_at, end_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE place > 1 AND gap_s >= 0 AND attempt <= 1 AND begin_at > {from:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step
