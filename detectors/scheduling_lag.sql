-- Gaps of the last minutes between the end of a step and the scheduling of the next one in the same execution, by the step that had ended: how
-- many, their median, and the longest of them (of equally long ones the earliest). A retry is no next step, while anything is open nothing
-- stands still, and who was suspended was meant to.
SELECT
    namespace, engine, workflow, after_step AS step,
    count() AS n,
    quantileExact(0.5)(gap_s) AS median_s,
    arraySlice(arraySort(gap -> (-gap.1, gap.2, gap.3), groupArray((gap_s, begin_at, execution_id))), 1, {longest:UInt32} + intDiv(count(), 20)) AS longest
FROM
(
    SELECT
        namespace, engine, workflow, execution_key, execution_id, run_id, begin_at, attempt,
        max(end_at) OVER earlier AS idle_from,
        argMax(step, end_at) OVER earlier AS after_step,
        dateDiff('microsecond', idle_from, begin_at) / 1e6 AS gap_s,
        row_number() OVER (PARTITION BY execution_key, run_id ORDER BY begin_at, end_at) AS place
    FROM
    (
        SELECT
            namespace, engine, workflow, execution_key, execution_id, run_id, step, attempt,
            ifNull(scheduled_at, ifNull(started_at, assumeNotNull(waiting_at))) AS begin_at,
            if(status IN ('scheduled', 'running', 'waiting', 'backing_off'), toDateTime64('2200-01-01 00:00:00', 6, 'UTC'), assumeNotNull(ended_at)) AS end_at
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND ifNull(scheduled_at, ifNull(started_at, waiting_at)) > {from:DateTime64(6, 'UTC')})
            AND NOT historical
            AND workflow != ''
    )
    WINDOW earlier AS (PARTITION BY execution_key, run_id ORDER BY begin_at, end_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE place > 1
    AND gap_s >= 0
    AND attempt <= 1
    AND begin_at > {from:DateTime64(6, 'UTC')}
    AND begin_at <= {until:DateTime64(6, 'UTC')}
    AND idle_from >= {epoch:DateTime64(6, 'UTC')}
    AND (execution_key, run_id) NOT IN
        (
            SELECT execution_key, run_id
            FROM executions_since(folded_from = {folded_from:UInt64})
            WHERE execution_key IN (SELECT execution_key FROM recent_execution WHERE folded >= {folded_from:UInt64} AND suspended_s > 0) AND suspended_s > 0
        )
GROUP BY namespace, engine, workflow, step
ORDER BY namespace, engine, workflow, step
