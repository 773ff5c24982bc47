-- p95 of completed attempts per window, for the small curves beside each step.
SELECT namespace, engine, workflow, step, window_start, quantileExactWeighted(0.95)(kv.1, kv.2) AS bin
FROM
(
    SELECT
        h.namespace AS namespace, h.engine AS engine, h.workflow AS workflow, h.step AS step,
        toStartOfInterval(h.window_start, toIntervalSecond({bucket_s:UInt32})) AS window_start, sumMap(h.completed_bins) AS bins
    FROM step_histograms AS h
    WHERE h.window_s = {window_s:UInt32}
        AND h.window_start >= toStartOfInterval({since:DateTime('UTC')}, toIntervalSecond({window_s:UInt32}))
        AND h.window_start < {until:DateTime('UTC')}
        AND ({namespace:String} = '' OR h.namespace = {namespace:String})
        AND ({engine:String} = '' OR h.engine = {engine:String})
        AND ({workflow:String} = '' OR h.workflow = {workflow:String})
        AND ({step:String} = '' OR h.step = {step:String})
    GROUP BY namespace, engine, workflow, step, window_start
)
ARRAY JOIN CAST(bins, 'Array(Tuple(Int16, UInt64))') AS kv
GROUP BY namespace, engine, workflow, step, window_start
ORDER BY namespace, engine, workflow, step, window_start
LIMIT 200000
