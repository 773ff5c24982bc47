-- Percentiles of completed attempts from the log-histograms: bin b holds 2^(b/32) to 2^((b+1)/32) seconds.
SELECT
    namespace, engine, workflow, step,
    any(all_completed) AS completed, any(all_failed) AS failed, any(all_timed_out) AS timed_out,
    any(all_cancelled) AS cancelled, any(all_retried) AS retried,
    quantilesExactWeightedIf(0.5, 0.95, 0.99)(bin, weight, weight > 0) AS bins
FROM
(
    SELECT namespace, engine, workflow, step, all_completed, all_failed, all_timed_out, all_cancelled, all_retried, kv.1 AS bin, kv.2 AS weight
    FROM
    (
        SELECT
            h.namespace AS namespace, h.engine AS engine, h.workflow AS workflow, h.step AS step,
            sum(h.completed) AS all_completed, sum(h.failed) AS all_failed, sum(h.timed_out) AS all_timed_out,
            sum(h.cancelled) AS all_cancelled, sum(h.retried) AS all_retried, sumMap(h.completed_bins) AS all_bins
        FROM step_histograms AS h
        WHERE h.window_s = {window_s:UInt32}
            AND h.window_start >= toStartOfInterval({since:DateTime('UTC')}, toIntervalSecond({window_s:UInt32}))
            AND h.window_start < {until:DateTime('UTC')}
            AND ({namespace:String} = '' OR h.namespace = {namespace:String})
            AND ({engine:String} = '' OR h.engine = {engine:String})
            AND ({workflow:String} = '' OR h.workflow = {workflow:String})
            AND ({step:String} = '' OR h.step = {step:String})
        GROUP BY namespace, engine, workflow, step
    )
    ARRAY JOIN if(empty(all_bins), [(toInt16(0), toUInt64(0))], CAST(all_bins, 'Array(Tuple(Int16, UInt64))')) AS kv
)
GROUP BY namespace, engine, workflow, step
ORDER BY namespace, engine, workflow, step
LIMIT 100000
