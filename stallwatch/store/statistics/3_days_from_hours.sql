INSERT INTO step_histogram
SELECT
    86400, toStartOfDay(window_start) AS start, namespace, engine, workflow, workflow_version, step, queue,
    sum(completed), sum(failed), sum(timed_out), sum(cancelled), sum(retried),
    sumMap(completed_bins), sumMap(failed_bins), sumMap(censored_bins),
    {version:UInt64}, 0
FROM step_histogram FINAL
WHERE window_s = 3600
    AND toStartOfDay(window_start) IN
        (SELECT toStartOfDay(minute) FROM dirty_window WHERE if({is_shared:UInt8}, noted_us, batch) > {after:UInt64} AND if({is_shared:UInt8}, noted_us, batch) <= {upto:UInt64})
GROUP BY start, namespace, engine, workflow, workflow_version, step, queue
